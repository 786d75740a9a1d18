/** Hands out block ids that nobody else has. */
export class IdSource {
  #next = 0
  readonly #shared = new Map<string, number[]>()

  fresh(): number {
    this.#next += 1
    return this.#next - 1
  }

  /** The first `blockCount` ids of a text that several prompts share. */
  shared(name: string, blockCount: number): readonly number[] {
    const known = this.#shared.get(name) ?? []
    while (known.length < blockCount) known.push(this.fresh())
    this.#shared.set(name, known)
    return known.slice(0, blockCount)
  }
}

/** A growing prompt, as the blocks that a KV cache would see. A block has an id once all its tokens are there; the
 *  partial tail is another block each time, because its content changes. */
export class Prompt {
  tokens = 0
  readonly #ids: number[] = []
  readonly #source: IdSource
  readonly #blockTokens: number

  constructor(source: IdSource, blockTokens: number) {
    this.#source = source
    this.#blockTokens = blockTokens
  }

  /** Starts with a text that other prompts start with too; call it first. */
  startShared(name: string, tokens: number): void {
    this.#ids.push(...this.#source.shared(name, Math.floor(tokens / this.#blockTokens)))
    this.tokens = tokens
  }

  /** Appends text of its own. */
  append(tokens: number): void {
    this.tokens += tokens
    while (this.#ids.length < Math.floor(this.tokens / this.#blockTokens))
      this.#ids.push(this.#source.fresh())
  }

  /** The block ids of the prompt as it stands. */
  blocks(): readonly number[] {
    return this.tokens % this.#blockTokens === 0 ? [...this.#ids] : [...this.#ids, this.#source.fresh()]
  }
}
