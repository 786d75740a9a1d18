import { LeafOrder } from '../../tiers/policy/leaf-order.ts'
import type { Trace } from '../trace/trace.ts'
import { neverUsed } from './limit.ts'
import { type HitLog, type Progress, simulateTree, type TierResult } from './one-tier.ts'

/** What a hint tells about each block of a request: whether it will be used again (with a share of requests told
 *  wrongly), or roughly when. */
export type HintRow = { readonly tells: 'again'; readonly wrongPercent: number } | { readonly tells: 'when' }

/** Outranks every recency. */
const againBonus = 1e9
const neverRank = -1e12

/** Estimates of the three gap classes, in milliseconds: under 30 s, under 300 s, later. */
function estimateMs(gapMs: number): number {
  if (gapMs < 30_000) return 15_000
  return gapMs < 300_000 ? 120_000 : 1_500_000
}

/** Whether the whole request is told wrongly: a fixed hash of its index, so that every run agrees. */
const toldWrongly = (request: number, percent: number): boolean =>
  (Math.imul(request, 2_654_435_761) >>> 0) % 100 < percent

/** What an online policy could reach if clients told their plans: leaf-only, ranked by the hint, then by recency. */
export function simulateHintRow(
  trace: Trace,
  next: Int32Array,
  hint: HintRow,
  capacityBlocks: number,
  hitLog: HitLog,
  progress: Progress | null,
): TierResult {
  const rank = (visit: number, depth: number): number => {
    const use = next[(trace.starts[visit] as number) + depth] as number
    if (hint.tells === 'again') {
      const again = (use !== neverUsed) !== toldWrongly(visit, hint.wrongPercent)
      return again ? visit + againBonus : visit
    }
    if (use === neverUsed) return neverRank + visit
    const nowMs = trace.arrivalMs[visit] as number
    return -(nowMs + estimateMs((trace.arrivalMs[use] as number) - nowMs))
  }
  const policy = new LeafOrder(
    'hint',
    { rowMax: trace.nodeCount, capacityBlocks, chance: () => 0 },
    {
      rank: (_row, _isHit, visit, depth) => rank(visit, depth),
      evicted: () => {},
    },
  )
  return simulateTree(trace, policy, capacityBlocks, null, hitLog, progress)
}
