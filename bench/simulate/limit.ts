import { LeafOrder } from '../../tiers/policy/leaf-order.ts'
import type { Trace } from '../trace/trace.ts'
import { type HitLog, type Progress, simulateTree, type TierResult } from './one-tier.ts'

/** Index of a request that never comes. */
export const neverUsed = 0x7fff_ffff

/** Per reference: the index of the next request that uses the same block, `neverUsed` when there is none. */
export function nextUses(trace: Trace): Int32Array {
  const { refs, starts } = trace
  const next = new Int32Array(trace.referenceCount)
  const seen = new Int32Array(trace.nodeCount).fill(neverUsed)
  for (let request = trace.requestCount - 1; request >= 0; request -= 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    for (let at = from; at < to; at += 1) {
      const row = refs[at] as number
      next[at] = seen[row] as number
      seen[row] = request
    }
  }
  return next
}

/** Belady's MIN with bypass over the leaves of the prefix tree: the best any policy can do without knowing more
 *  than the whole future. A block whose next use is not earlier than the victim's is not brought in. */
export function simulateLimit(
  trace: Trace,
  next: Int32Array,
  capacityBlocks: number,
  hitLog: HitLog,
  progress: Progress | null,
): TierResult {
  const nextOf = new Int32Array(trace.nodeCount)
  const policy = new LeafOrder(
    'belady',
    { rowMax: trace.nodeCount, capacityBlocks, chance: () => 0 },
    {
      rank: (row, _isHit, visit, depth) => {
        const use = next[(trace.starts[visit] as number) + depth] as number
        nextOf[row] = use
        return use === neverUsed ? Number.NEGATIVE_INFINITY : -use
      },
      evicted: () => {},
    },
  )
  const refuses = (_row: number, victim: number, reference: number): boolean =>
    (next[reference] as number) >= (nextOf[victim] as number)
  return simulateTree(trace, policy, capacityBlocks, refuses, hitLog, progress)
}
