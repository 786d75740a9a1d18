import { Arc } from '../../tiers/policy/arc.ts'
import { type EvictionPolicy, noRow, type Row } from '../../tiers/policy/eviction.ts'
import { type FlatPolicy, holdsNothing } from '../../tiers/policy/flat.ts'
import { Hazard } from '../../tiers/policy/hazard.ts'
import { Lru } from '../../tiers/policy/lru.ts'
import { RowLists } from '../../tiers/policy/row-lists.ts'
import { S3Fifo } from '../../tiers/policy/s3-fifo.ts'
import { TinyLfu } from '../../tiers/policy/tiny-lfu.ts'
import type { Trace } from '../trace/trace.ts'
import { countOrphans, type HitLog, type Progress, type TierResult } from './one-tier.ts'

/** Requests after which a score has lost half of its weight. */
const halfLifeRequests = 3_000
/** How much better than the followed expert another must be. */
const switchRatio = 1.02
/** Blocks looked at from the old end for one that the expert gave up too. */
const searchSteps = 256
const all = 1
const progressEvery = 256

/** A cache without data that is fed every request; the follower asks it what it would keep. */
interface Expert {
  holds(row: Row): boolean
  serve(path: Int32Array, nowMs: number): void
}

class FlatExpert implements Expert {
  readonly #policy: FlatPolicy
  readonly #capacity: number
  readonly #resident: Uint8Array
  #count = 0

  constructor(policy: FlatPolicy, capacity: number, rowMax: number) {
    this.#policy = policy
    this.#capacity = capacity
    this.#resident = new Uint8Array(rowMax)
  }

  holds(row: Row): boolean {
    return this.#resident[row] === 1
  }

  serve(path: Int32Array): void {
    for (let at = path.length - 1; at >= 0; at -= 1) {
      const row = path[at] as number
      if (this.#resident[row] === 1) {
        this.#policy.touch(row)
        continue
      }
      this.#policy.miss(row)
      if (this.#count < this.#capacity) this.#count += 1
      else {
        const victim = this.#policy.victim(holdsNothing, row)
        this.#policy.drop(victim, true)
        this.#resident[victim] = 0
      }
      this.#policy.add(row)
      this.#resident[row] = 1
    }
  }
}

class TreeExpert implements Expert {
  readonly #policy: EvictionPolicy
  readonly #capacity: number
  readonly #resident: Uint8Array
  readonly #parents: Int32Array
  #count = 0

  constructor(policy: EvictionPolicy, capacity: number, parents: Int32Array) {
    this.#policy = policy
    this.#capacity = capacity
    this.#resident = new Uint8Array(parents.length)
    this.#parents = parents
  }

  holds(row: Row): boolean {
    return this.#resident[row] === 1
  }

  serve(path: Int32Array, nowMs: number): void {
    let ready = 0
    while (ready < path.length && this.#resident[path[ready] as number] === 1) ready += 1
    this.#policy.onVisit(path, path.length, ready, nowMs)
    for (let at = ready; at < path.length; at += 1) {
      const row = path[at] as number
      if (this.#count < this.#capacity) this.#count += 1
      else {
        const victim = this.#policy.victim(holdsNothing, nowMs)
        if (victim === noRow) break
        this.#policy.onDrop(victim, true, nowMs)
        this.#resident[victim] = 0
      }
      this.#policy.onAdd(row, this.#parents[row] as number, at, path.length, nowMs, row)
      this.#resident[row] = 1
    }
    this.#policy.onVisitEnd()
  }
}

function expertsOf(trace: Trace, capacity: number, chance: () => number): readonly Expert[] {
  const rowMax = trace.nodeCount
  const flat = (policy: FlatPolicy): Expert => new FlatExpert(policy, capacity, rowMax)
  const sizes = { rowMax, capacityBlocks: capacity, chance, rowsAreNames: true }
  const hazard = new Hazard('hazard', sizes, { ages: 'time', draws: 64, decay: 0.97 })
  return [
    flat(new Lru(rowMax)),
    flat(new S3Fifo(rowMax, capacity, 1)),
    flat(new Arc(rowMax, capacity)),
    flat(new TinyLfu(rowMax, capacity, 0.01)),
    new TreeExpert(hazard, capacity, trace.parents),
  ]
}

/** Follows whichever of five shadow caches hit most lately: keeps an LRU list, skips what the expert refuses, and prefers
 *  victims that the expert gave up too. Safe, but it pays for every switch. */
export function simulateAdaptive(
  trace: Trace,
  capacityBlocks: number,
  chance: () => number,
  hitLog: HitLog,
  progress: Progress | null,
): TierResult {
  const experts = expertsOf(trace, capacityBlocks, chance)
  const scores = experts.map(() => 0)
  const fade = 0.5 ** (1 / halfLifeRequests)
  const list = new RowLists(trace.nodeCount, 1)
  const resident = new Uint8Array(trace.nodeCount)
  const counts = { hits: 0, rawHits: 0, inserts: 0, evictions: 0 }
  let best = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const path = trace.refs.subarray(trace.starts[request], trace.starts[request + 1])
    const ready = leading(path, (row) => resident[row] === 1)
    counts.hits += ready
    if (hitLog !== null) hitLog[request] = ready
    for (const row of path) counts.rawHits += resident[row] as number
    experts.forEach((expert, at) => {
      scores[at] = (scores[at] as number) * fade + leading(path, (row) => expert.holds(row))
      expert.serve(path, trace.arrivalMs[request] as number)
    })
    scores.forEach((score, at) => {
      if (score > (scores[best] as number) * switchRatio) best = at
    })
    follow(experts[best] as Expert, path, list, resident, capacityBlocks, counts)
    if (progress !== null && request % progressEvery === 0 && !progress(request)) break
  }
  const residentBlocks = list.lengthOf(all)
  return { ...counts, capacityBlocks, orphans: countOrphans(trace, resident), residentBlocks }
}

function leading(path: Int32Array, holds: (row: Row) => boolean): number {
  let ready = 0
  while (ready < path.length && holds(path[ready] as number)) ready += 1
  return ready
}

function follow(
  expert: Expert,
  path: Int32Array,
  list: RowLists,
  resident: Uint8Array,
  capacityBlocks: number,
  counts: { inserts: number; evictions: number },
): void {
  for (let at = path.length - 1; at >= 0; at -= 1) {
    const row = path[at] as number
    if (resident[row] === 1) {
      list.refresh(all, row)
      continue
    }
    if (!expert.holds(row)) continue
    if (list.lengthOf(all) >= capacityBlocks) {
      const victim = givenUp(expert, list)
      list.remove(victim)
      resident[victim] = 0
      counts.evictions += 1
    }
    list.pushHead(all, row)
    resident[row] = 1
    counts.inserts += 1
  }
}

function givenUp(expert: Expert, list: RowLists): Row {
  let row = list.tail(all)
  for (let step = 0; step < searchSteps && row !== noRow; step += 1) {
    if (!expert.holds(row)) return row
    row = list.newer(row)
  }
  return list.tail(all)
}
