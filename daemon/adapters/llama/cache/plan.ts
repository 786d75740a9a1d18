/** What a slot of the server holds, as far as the adapter knows. `whole`: leading tokens whose KV came from block
 *  parts or from the daemon, a multiple of the block. What lies behind them came from tails and decoding, whose KV
 *  differs in low bits, and is never built upon. `grows`: the server has appended tokens of its own that are not in
 *  `tokens`. */
export type SlotContent =
  | { readonly as: 'unknown' }
  | {
      readonly as: 'known'
      readonly tenant: string
      readonly tokens: Uint32Array
      readonly whole: number
      readonly grows: boolean
    }

export const emptySlot: SlotContent = {
  as: 'known',
  tenant: '',
  tokens: new Uint32Array(),
  whole: 0,
  grows: false,
}

/** How a slot's content relates to a prompt. `shared`: tokens that the server would find in common, or more (`open`)
 *  when its own tokens may go on matching. `kept`: the part of them that may be built upon. */
export type Overlap = { readonly shared: number; readonly open: boolean; readonly kept: number }

const nothing: Overlap = { shared: 0, open: false, kept: 0 }

export function commonLength(left: Uint32Array, right: Uint32Array): number {
  const end = Math.min(left.length, right.length)
  let index = 0
  while (index < end && left[index] === right[index]) index++
  return index
}

/** Tokens of the block part: whole blocks below the end of the prompt. The last token is always left for the tail,
 *  since the server must compute at least one. */
export function blockPartOf(promptTokens: number, blockTokens: number): number {
  return promptTokens === 0 ? 0 : Math.floor((promptTokens - 1) / blockTokens) * blockTokens
}

export function overlapOf(
  content: SlotContent,
  tenant: string,
  prompt: Uint32Array,
  blockTokens: number,
): Overlap {
  if (content.as === 'unknown') return { shared: 0, open: true, kept: 0 }
  const shared = commonLength(content.tokens, prompt)
  const open = content.grows && shared === content.tokens.length
  if (content.tenant !== tenant) return { ...nothing, shared, open }
  const wholeShared = Math.floor(shared / blockTokens) * blockTokens
  return { shared, open, kept: Math.min(content.whole, wholeShared, blockPartOf(prompt.length, blockTokens)) }
}

/** What must be done to a slot before the server may use it for a prompt.
 *  `keep`: it holds in common with the prompt exactly what may be built upon.
 *  `cut`: it holds more; one foreign token sent behind `at` makes the server drop the rest.
 *  `erase`: nothing of it may be used. */
export type Trim =
  | { readonly as: 'keep' }
  | { readonly as: 'cut'; readonly at: number; readonly token: number }
  | { readonly as: 'erase' }

export function trimOf(content: SlotContent, tenant: string, prompt: Uint32Array, overlap: Overlap): Trim {
  if (content.as === 'unknown') return { as: 'erase' }
  if (content.tenant !== tenant && content.tokens.length > 0) return { as: 'erase' }
  if (overlap.shared === overlap.kept && !overlap.open) return { as: 'keep' }
  if (overlap.kept === 0) return { as: 'erase' }
  return {
    as: 'cut',
    at: overlap.kept,
    token: tokenUnlike(content.tokens[overlap.kept], prompt[overlap.kept]),
  }
}

/** A token of every vocabulary that is neither of the two. */
export function tokenUnlike(first: number | undefined, second: number | undefined): number {
  for (const token of [0, 1, 2]) if (token !== first && token !== second) return token
  return 0
}

/** Where the leading tokens of a prompt come from, by the time the tail is computed. All are multiples of the block. */
export type Sources = {
  readonly resident: number
  readonly loaded: number
  readonly computed: number
  readonly byTier: { readonly host: number; readonly nvme: number; readonly s3: number }
}

/** Splits loaded blocks by tier; blocks that the slot held already count as the engine's, fastest tier first, because
 *  loading them again gained nothing. */
export function sourcesOf(
  kept: number,
  loadedBlocks: { readonly host: number; readonly nvme: number; readonly s3: number },
  blockPart: number,
  blockTokens: number,
): Sources {
  const loaded = (loadedBlocks.host + loadedBlocks.nvme + loadedBlocks.s3) * blockTokens
  if (loaded <= kept) {
    return { resident: kept, loaded: 0, computed: blockPart - kept, byTier: { host: 0, nvme: 0, s3: 0 } }
  }
  let spare = kept
  const rest = (blocks: number): number => {
    const tokens = blocks * blockTokens
    const taken = Math.min(spare, tokens)
    spare -= taken
    return tokens - taken
  }
  const byTier = { host: rest(loadedBlocks.host), nvme: rest(loadedBlocks.nvme), s3: rest(loadedBlocks.s3) }
  return { resident: kept, loaded: loaded - kept, computed: blockPart - loaded, byTier }
}
