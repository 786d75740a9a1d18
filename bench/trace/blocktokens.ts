/** Block sizes engines use, in tokens, tried in this order when a trace does not name its own. */
const candidates = [512, 16, 64, 32, 128, 256, 1_024, 8, 2_048, 48, 24, 4]

/** Requests looked at. */
const sampleMax = 2_000

/** Share of the requests whose length must agree. */
const agreementMin = 0.95

/** Finds the tokens per block of a trace from pairs of prompt length and block count. */
export class BlockSizeGuess {
  readonly #tokens: number[] = []
  readonly #blocks: number[] = []

  see(inputTokens: number, blockCount: number): void {
    if (this.#tokens.length >= sampleMax || blockCount === 0) return
    this.#tokens.push(inputTokens)
    this.#blocks.push(blockCount)
  }

  /** Share of the seen requests that have ceil(tokens / blockTokens) blocks, or floor of it (full blocks only). */
  agreement(blockTokens: number): number {
    if (this.#tokens.length === 0) return 0
    let agreeing = 0
    for (const [index, tokens] of this.#tokens.entries()) {
      const exact = tokens / blockTokens
      const blocks = this.#blocks[index]
      if (blocks === Math.ceil(exact) || blocks === Math.floor(exact)) agreeing += 1
    }
    return agreeing / this.#tokens.length
  }

  /** The block size and how it was found. */
  decide(told: number | null, fallback: number): { readonly blockTokens: number; readonly why: string } {
    if (told !== null) {
      const share = this.agreement(told)
      const doubt =
        this.#tokens.length > 0 && share < agreementMin
          ? ` (only ${(share * 100).toFixed(1)} % of the prompt lengths agree with it)`
          : ''
      return { blockTokens: told, why: `${told} tokens per block as told${doubt}` }
    }
    for (const size of [fallback, ...candidates]) {
      const share = this.agreement(size)
      if (share >= agreementMin) {
        const percent = (share * 100).toFixed(1)
        return { blockTokens: size, why: `${size} tokens per block, from ${percent} % of the prompt lengths` }
      }
    }
    return {
      blockTokens: fallback,
      why: `${fallback} tokens per block assumed: prompt lengths fit no usual block size (--block-tokens says)`,
    }
  }
}
