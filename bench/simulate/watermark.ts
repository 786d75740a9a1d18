import { holdsNothing } from '../../tiers/policy/flat.ts'
import { Lru } from '../../tiers/policy/lru.ts'
import type { Trace } from '../trace/trace.ts'
import { countOrphans, type HitLog, type Progress, type TierResult } from './one-tier.ts'

/** A cache manager that waits until a share `high` of its memory is used and then clears a share `batch` of the
 *  resident blocks at once, oldest first. */
export type Watermark = { readonly high: number; readonly batch: number }

const progressEvery = 256

/** Leaf-first LRU with batch eviction: what the same memory gives under another manager's watermarks. */
export function simulateWatermark(
  trace: Trace,
  mark: Watermark,
  capacityBlocks: number,
  hitLog: HitLog,
  progress: Progress | null,
): TierResult {
  const { refs, starts } = trace
  const policy = new Lru(trace.nodeCount)
  const resident = new Uint8Array(trace.nodeCount)
  const high = Math.max(1, Math.floor(mark.high * capacityBlocks))
  let count = 0
  let hits = 0
  let rawHits = 0
  let inserts = 0
  let evictions = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    let front = from
    while (front < to && resident[refs[front] as number] === 1) front += 1
    hits += front - from
    if (hitLog !== null) hitLog[request] = front - from
    for (let at = from; at < to; at += 1) rawHits += resident[refs[at] as number] as number
    for (let at = to - 1; at >= from; at -= 1) {
      const row = refs[at] as number
      if (resident[row] === 1) {
        policy.touch(row)
        continue
      }
      policy.add(row)
      resident[row] = 1
      inserts += 1
      count += 1
      if (count < high) continue
      const batch = Math.max(1, Math.floor(mark.batch * count))
      for (let left = batch; left > 0; left -= 1) {
        const victim = policy.victim(holdsNothing)
        policy.drop(victim)
        resident[victim] = 0
      }
      count -= batch
      evictions += batch
    }
    if (progress !== null && request % progressEvery === 0 && !progress(request)) break
  }
  const orphans = countOrphans(trace, resident)
  return { capacityBlocks, hits, rawHits, inserts, evictions, orphans, residentBlocks: count }
}
