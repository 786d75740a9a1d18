import type { TierName } from '../tiers/block/id.ts'

/** What a link to a tier gives, as its daemon measured it. */
export type Link = { readonly bytesPerSecond: number; readonly latencySeconds: number }
export type Links = Readonly<Record<Exclude<TierName, 'hbm'>, Link>>

/** Consecutive blocks of a prompt that the same tier is the nearest to have. */
export type Run = { readonly tier: TierName; readonly blocks: number }

/** Everything about one worker that its price depends on: plain numbers. */
export type CandidateFacts = {
  readonly worker: string
  /** Prompt tokens that it has to compute before. */
  readonly waitingTokens: number
  /** Answers it is writing. */
  readonly streams: number
  readonly prefillTokensPerSecond: number
  /** The prompt's prefix at this worker, from its start without a gap; device blocks first. */
  readonly runs: readonly Run[]
  readonly links: Links
  /** Whether the conversation belongs here, other things being equal. */
  readonly affine: boolean
}

export type PromptFacts = {
  readonly tokenCount: number
  readonly blockTokens: number
  readonly blockBytes: number
}

/** Prices that are set, not measured. */
export type Weights = {
  /** What one answer being written costs a prompt that comes beside it, in seconds. */
  readonly decodeSecondsPerStream: number
  /** What going back to the same worker is worth beyond the blocks we know of, in seconds: a tie-breaker with
   *  a roof. */
  readonly affinitySeconds: number
}

export type Terms = {
  readonly worker: string
  readonly queueSeconds: number
  readonly loadSeconds: number
  readonly prefillSeconds: number
  readonly decodeSeconds: number
  readonly affinitySeconds: number
  readonly totalSeconds: number
  /** Blocks it has in device memory, from the start. */
  readonly deviceBlocks: number
  /** Blocks it could load after those. */
  readonly loadableBlocks: number
  /** Where loading stops paying: blocks loaded, at most `loadableBlocks`. */
  readonly loadBlocks: number
  /** Blocks that each tier gives up to the cut. */
  readonly blocksByTier: Readonly<Record<TierName, number>>
  /** Tokens left to compute. */
  readonly computeTokens: number
}

/** What serving the prompt at this worker costs until its first token, in seconds, with the terms kept:
 *  queue + the cheapest cut of (load up to the cut + prefill of the rest) + decode - affinity. Pure. */
export function score(prompt: PromptFacts, facts: CandidateFacts, weights: Weights): Terms {
  const rate = Math.max(1e-3, facts.prefillTokensPerSecond)
  const deviceBlocks = facts.runs[0]?.tier === 'hbm' ? facts.runs[0].blocks : 0
  const loadable = facts.runs.filter(({ tier }) => tier !== 'hbm')
  const cut = cheapestCut(prompt, deviceBlocks, loadable, facts.links, rate)
  const queueSeconds = facts.waitingTokens / rate
  const decodeSeconds = facts.streams * weights.decodeSecondsPerStream
  const affinitySeconds = facts.affine ? weights.affinitySeconds : 0
  return {
    worker: facts.worker,
    queueSeconds,
    loadSeconds: cut.loadSeconds,
    prefillSeconds: cut.computeTokens / rate,
    decodeSeconds,
    affinitySeconds,
    totalSeconds: queueSeconds + cut.loadSeconds + cut.computeTokens / rate + decodeSeconds - affinitySeconds,
    deviceBlocks,
    loadableBlocks: loadable.reduce((sum, { blocks }) => sum + blocks, 0),
    loadBlocks: cut.loadBlocks,
    blocksByTier: { ...cut.byTier, hbm: deviceBlocks },
    computeTokens: cut.computeTokens,
  }
}

type Cut = {
  readonly loadSeconds: number
  readonly computeTokens: number
  readonly loadBlocks: number
  readonly byTier: Readonly<Record<TierName, number>>
}

/** Links work side by side, and the slowest one sets the time: the price over all cuts is made of straight
 *  pieces. Inside a run it can turn only where the run's own link becomes the slowest; there and at the ends
 *  of runs the cut is tried. */
function cheapestCut(
  prompt: PromptFacts,
  deviceBlocks: number,
  runs: readonly Run[],
  links: Links,
  rate: number,
): Cut {
  const before = { hbm: 0, host: 0, nvme: 0, s3: 0 }
  let blocksBefore = 0
  let best = cutAt(prompt, deviceBlocks, 0, before, links)
  for (const { tier, blocks } of runs) {
    if (tier === 'hbm') continue
    const turn = turnOf(prompt, before, tier, blocks, links)
    for (const count of [turn, Math.min(blocks, turn + 1), blocks]) {
      const byTier = { ...before, [tier]: before[tier] + count }
      const cut = cutAt(prompt, deviceBlocks, blocksBefore + count, byTier, links)
      if (priceOf(cut, rate) < priceOf(best, rate)) best = cut
    }
    before[tier] += blocks
    blocksBefore += blocks
  }
  return best
}

function cutAt(
  prompt: PromptFacts,
  deviceBlocks: number,
  loadBlocks: number,
  byTier: Readonly<Record<TierName, number>>,
  links: Links,
): Cut {
  return {
    loadSeconds: secondsOf(byTier, links, prompt.blockBytes),
    computeTokens: tokensAfter(prompt, deviceBlocks + loadBlocks),
    loadBlocks,
    byTier: { ...byTier },
  }
}

function priceOf(cut: Cut, rate: number): number {
  return cut.loadSeconds + cut.computeTokens / rate
}

/** How many whole blocks of the run still come within the time that the other links take anyway. */
function turnOf(
  prompt: PromptFacts,
  before: Readonly<Record<TierName, number>>,
  tier: Exclude<TierName, 'hbm'>,
  blocks: number,
  links: Links,
): number {
  const others = secondsOf({ ...before, [tier]: 0 }, links, prompt.blockBytes)
  const { bytesPerSecond, latencySeconds } = links[tier]
  const inTime = ((others - latencySeconds) * bytesPerSecond) / Math.max(1, prompt.blockBytes)
  return Math.min(blocks, Math.max(0, Math.floor(inTime) - before[tier]))
}

/** An engine computes at least the last token itself. */
function tokensAfter(prompt: PromptFacts, blocks: number): number {
  return Math.max(1, prompt.tokenCount - blocks * prompt.blockTokens)
}

function secondsOf(byTier: Readonly<Record<TierName, number>>, links: Links, blockBytes: number): number {
  let slowest = 0
  for (const tier of ['host', 'nvme', 's3'] as const) {
    if (byTier[tier] === 0) continue
    const { bytesPerSecond, latencySeconds } = links[tier]
    slowest = Math.max(slowest, latencySeconds + (byTier[tier] * blockBytes) / Math.max(1, bytesPerSecond))
  }
  return slowest
}

/** The candidates from the cheapest on. Exact ties are in an order of chance, so that equal workers share the
 *  work. */
export function ranked(terms: readonly Terms[], random: () => number): readonly Terms[] {
  return terms
    .map((entry) => ({ entry, chance: random() }))
    .sort((a, b) => a.entry.totalSeconds - b.entry.totalSeconds || a.chance - b.chance)
    .map(({ entry }) => entry)
}

/** The terms on one line for a reply header: numbers and the worker's name only. */
export function termsText(terms: Terms): string {
  const ms = (seconds: number): string => (seconds * 1_000).toFixed(1)
  const { hbm, host, nvme, s3 } = terms.blocksByTier
  return [
    `worker=${terms.worker}`,
    `total_ms=${ms(terms.totalSeconds)}`,
    `queue_ms=${ms(terms.queueSeconds)}`,
    `load_ms=${ms(terms.loadSeconds)}`,
    `prefill_ms=${ms(terms.prefillSeconds)}`,
    `decode_ms=${ms(terms.decodeSeconds)}`,
    `affinity_ms=${ms(terms.affinitySeconds)}`,
    `blocks=hbm:${hbm},host:${host},nvme:${nvme},s3:${s3}`,
    `loadable_blocks=${terms.loadableBlocks}`,
    `compute_tokens=${terms.computeTokens}`,
  ].join('; ')
}
