import type { EvictionPolicy, Row } from '../../tiers/policy/eviction.ts'
import { type FlatPolicy, holdsNothing, type TouchOrder } from '../../tiers/policy/flat.ts'
import type { Trace } from '../trace/trace.ts'
import { answerOf, answersOnly, type Hints, notesOf } from './hint-stream.ts'

/** What one policy did with one trace in one tier. Hits count the contiguous prefix only. */
export type TierResult = {
  readonly capacityBlocks: number
  readonly hits: number
  /** Resident blocks of a request anywhere in it, not only in front. */
  readonly rawHits: number
  readonly inserts: number
  readonly evictions: number
  /** Resident blocks at the end that have an absent ancestor: paid for and not servable. */
  readonly orphans: number
  readonly residentBlocks: number
}

/** Called now and then with the number of requests served; answers false to stop early. */
export type Progress = (requestsDone: number) => boolean

/** Requests between two calls of `Progress`. */
const progressEvery = 256

/** How often each request found how many leading blocks; a caller that wants curves over time passes one. */
export type HitLog = Int32Array | null

/** One tier under a flat policy: the blocks of a request are touched or brought in one by one, in `order`.
 *  The request's own blocks are not protected. */
export function simulateFlat(
  trace: Trace,
  policy: FlatPolicy,
  order: TouchOrder,
  capacityBlocks: number,
  hitLog: HitLog,
  progress: Progress | null,
): TierResult {
  const { refs, starts } = trace
  const resident = new Uint8Array(trace.nodeCount)
  let count = 0
  let hits = 0
  let rawHits = 0
  let inserts = 0
  let evictions = 0
  const step = order === 'leaf-first' ? -1 : 1
  for (let request = 0; request < trace.requestCount; request += 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    let front = from
    while (front < to && resident[refs[front] as number] === 1) front += 1
    hits += front - from
    if (hitLog !== null) hitLog[request] = front - from
    for (let at = front; at < to; at += 1) rawHits += resident[refs[at] as number] as number
    let at = step < 0 ? to - 1 : from
    for (let left = to - from; left > 0; left -= 1, at += step) {
      const row = refs[at] as number
      if (resident[row] === 1) {
        policy.touch(row)
        continue
      }
      policy.miss(row)
      if (count >= capacityBlocks) {
        const victim = policy.victim(holdsNothing, row)
        policy.drop(victim, true)
        resident[victim] = 0
        evictions += 1
      } else {
        count += 1
      }
      policy.add(row)
      resident[row] = 1
      inserts += 1
    }
    if (progress !== null && request % progressEvery === 0 && !progress(request)) break
  }
  const orphans = countOrphans(trace, resident)
  return { capacityBlocks, hits, rawHits: rawHits + hits, inserts, evictions, orphans, residentBlocks: count }
}

/** Whether a row is not worth bringing in at the price of the victim (only the limit refuses). */
export type Refuses = (row: Row, victim: Row, reference: number) => boolean

/** One tier under a tree-aware policy: the path is protected, and what does not fit any more is not admitted. */
export function simulateTree(
  trace: Trace,
  policy: EvictionPolicy,
  capacityBlocks: number,
  refuses: Refuses | null,
  hitLog: HitLog,
  progress: Progress | null,
  hints: Hints = answersOnly,
): TierResult {
  const { refs, starts, parents, arrivalMs } = trace
  const resident = new Uint8Array(trace.nodeCount)
  let count = 0
  let hits = 0
  let rawHits = 0
  let inserts = 0
  let evictions = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    const nowMs = arrivalMs[request] as number
    const path = refs.subarray(from, to)
    const length = to - from
    let ready = 0
    while (ready < length && resident[path[ready] as number] === 1) ready += 1
    hits += ready
    if (hitLog !== null) hitLog[request] = ready
    for (let at = ready; at < length; at += 1) rawHits += resident[path[at] as number] as number
    policy.onVisit(path, length, ready, nowMs, notesOf(hints, request))
    policy.onAnswer?.(path, length, answerOf(hints, trace, request))
    for (let at = ready; at < length; at += 1) {
      const row = path[at] as number
      if (resident[row] === 1) continue
      if (count >= capacityBlocks) {
        const victim = policy.victim(holdsNothing, nowMs)
        if (victim < 0 || refuses?.(row, victim, from + at) === true) break
        policy.onDrop(victim, true, nowMs)
        resident[victim] = 0
        evictions += 1
      } else {
        count += 1
      }
      policy.onAdd(row, parents[row] as number, at, length, nowMs, row)
      resident[row] = 1
      inserts += 1
    }
    policy.onVisitEnd()
    if (progress !== null && request % progressEvery === 0 && !progress(request)) break
  }
  const orphans = countOrphans(trace, resident)
  return { capacityBlocks, hits, rawHits: rawHits + hits, inserts, evictions, orphans, residentBlocks: count }
}

/** Resident nodes with an absent ancestor. Parents have smaller ids, so one pass is enough. */
export function countOrphans(trace: Trace, resident: Uint8Array): number {
  const reachable = new Uint8Array(trace.nodeCount)
  let orphans = 0
  for (let node = 0; node < trace.nodeCount; node += 1) {
    if (resident[node] === 0) continue
    const parent = trace.parents[node] as number
    if (parent < 0 || reachable[parent] === 1) reachable[node] = 1
    else orphans += 1
  }
  return orphans
}
