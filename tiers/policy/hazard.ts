import { type EvictionPolicy, noRow, type PolicySizes, type Row } from './eviction.ts'
import { HazardTables } from './hazard-tables.ts'
import { LeafPool } from './leaf-pool.ts'
import { LeafTree } from './leaf-tree.ts'

/** Ages of hazard B: 96 buckets, four per doubling, from a tenth of a second. */
const timeBuckets = 96
const timeStepMs = 100
const secondsPerStep = 0.1

function computedTimeBucket(ageMs: number): number {
  const bucket = Math.floor(4 * Math.log2(ageMs / timeStepMs + 1))
  return bucket < 0 ? 0 : bucket >= timeBuckets ? timeBuckets - 1 : bucket
}

/** Bucket by age in steps of 64 ms, up to 70 minutes; `mixed` for a step with the edge of a bucket in it. Why a table: a logarithm
 *  costs more than the rest of a look at a leaf. */
const stepBits = 6
const mixed = 255
const bucketOfStep = Uint8Array.from({ length: 65_536 }, (_, step) => {
  const bucket = computedTimeBucket(step << stepBits)
  return bucket === computedTimeBucket((step + 1) << stepBits) ? bucket : mixed
})

function timeBucketOf(ageMs: number): number {
  const step = ageMs / 2 ** stepBits
  const bucket = step >= 0 && step < bucketOfStep.length ? (bucketOfStep[step | 0] as number) : mixed
  return bucket === mixed ? computedTimeBucket(ageMs) : bucket
}

const timeMidOf = (bucket: number): number => (2 ** ((bucket + 0.5) / 4) - 1) * secondsPerStep

/** Ages of hazard A: 64 buckets of requests, four per doubling. */
const visitBuckets = 64
const visitBucketOf = (age: number): number =>
  Math.min(visitBuckets - 1, Math.floor(4 * Math.log2(Math.max(1, age))))

/** Which variant of the hazard policy to build: `draws` leaves are looked at per eviction and `kept` in mind, learned counts
 *  fade by `decay` at each relearning. Why few are kept: it takes its own evictions for evidence, so now
 *  and then it must give up what it deems worth something, or it never learns that it was right. */
export type HazardKind = {
  readonly ages: 'time' | 'visits'
  readonly draws: number
  readonly kept: number
  readonly decay: number
}

/** Evicts, of some leaves drawn at random, the one with the lowest expected hits per unit of further residence,
 *  learned per class of blocks and age (after LHD). Classes: uses, turn of the conversation, place in the request, branching. */
export class Hazard implements EvictionPolicy {
  readonly name: string
  readonly #tree: LeafTree
  readonly #leaves: LeafPool
  readonly #tables: HazardTables
  readonly #bucketCount: number
  readonly #uses: Int32Array
  readonly #turn: Int32Array
  /** Per row its last use (in the unit of ages) and the first cell of its class: side by side, because both are asked for
   *  at once. */
  readonly #lastUseAndCell: Float64Array
  readonly #isTimed: boolean
  readonly #relearnEvery: number
  #evictions = 0
  #visit = -1
  #turnNow = 0

  constructor(name: string, sizes: PolicySizes, kind: HazardKind) {
    this.name = name
    this.#tree = new LeafTree(sizes.rowMax)
    this.#leaves = new LeafPool(sizes.rowMax, this.#tree, kind, sizes.chance, (row, now) =>
      this.#worth(row, now),
    )
    this.#bucketCount = kind.ages === 'time' ? timeBuckets : visitBuckets
    this.#tables = new HazardTables(
      kind.ages === 'time'
        ? {
            classCount: 120,
            bucketCount: timeBuckets,
            midOf: timeMidOf,
            prior: 50,
            hitFloor: 1e-6,
            timeFloor: () => 1e-3,
            decay: kind.decay,
          }
        : {
            classCount: 48,
            bucketCount: visitBuckets,
            midOf: (bucket) => 2 ** ((bucket + 0.5) / 4),
            prior: 0,
            hitFloor: 1e-3,
            timeFloor: (bucket) => 4e-3 * 2 ** ((bucket + 0.5) / 4) + 1e-9,
            decay: kind.decay,
          },
    )
    this.#uses = new Int32Array(sizes.rowMax)
    this.#turn = new Int32Array(sizes.rowMax)
    this.#lastUseAndCell = new Float64Array(2 * sizes.rowMax)
    this.#isTimed = kind.ages === 'time'
    this.#relearnEvery = Math.max(2000, Math.floor(sizes.capacityBlocks / 4))
  }

  onVisit(rows: Int32Array, count: number, readyCount: number, nowMs: number): void {
    this.#visit += 1
    this.#leaves.expire()
    const last = readyCount > 1 ? (rows[readyCount - 1] as number) : noRow
    this.#turnNow = last === noRow ? 0 : (this.#turn[last] as number) + 1
    const now = this.#isTimed ? nowMs : this.#visit
    for (let at = 0; at < count; at += 1) {
      const row = rows[at] as number
      if (!this.#tree.isResident(row)) continue
      this.#tree.mark(row)
      this.#tables.hit(this.#cellOf(row, now))
      const uses = (this.#uses[row] as number) + 1
      this.#uses[row] = uses
      this.#used(row, now, this.#classOf(row, uses, at, count))
      if (at === readyCount - 1) this.#turn[row] = this.#turnNow
    }
  }

  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number): void {
    this.#leaves.remove(parent)
    this.#tree.add(row, parent)
    this.#leaves.add(row)
    this.#uses[row] = 1
    this.#turn[row] = this.#turnNow
    const now = this.#isTimed ? nowMs : this.#visit
    this.#used(row, now, this.#classOf(row, 1, position, chainLength))
  }

  onVisitEnd(): void {
    this.#tree.unmark(() => {})
  }

  onDrop(row: Row, evicted: boolean, nowMs: number): void {
    const now = this.#isTimed ? nowMs : this.#visit
    if (evicted) {
      this.#tables.evicted(this.#cellOf(row, now))
      this.#evictions += 1
      if (this.#evictions % this.#relearnEvery === 0) {
        this.#tables.relearn()
        this.#leaves.expire()
      }
    }
    this.#leaves.remove(row)
    const parent = this.#tree.drop(row)
    if (parent !== noRow) this.#leaves.add(parent)
  }

  victim(held: (row: Row) => boolean, nowMs: number): Row {
    return this.#leaves.poorest(held, this.#isTimed ? nowMs : this.#visit)
  }

  #worth(row: Row, now: number): number {
    return this.#tables.density[this.#cellOf(row, now)] as number
  }

  #cellOf(row: Row, now: number): number {
    const known = this.#lastUseAndCell
    const age = now - (known[2 * row] as number)
    return (known[2 * row + 1] as number) + (this.#isTimed ? timeBucketOf(age) : visitBucketOf(age))
  }

  #used(row: Row, now: number, itsClass: number): void {
    this.#lastUseAndCell[2 * row] = now
    this.#lastUseAndCell[2 * row + 1] = itsClass * this.#bucketCount
  }

  #classOf(row: Row, uses: number, position: number, chainLength: number): number {
    const branches = this.#tree.childrenOf(row) > 1 ? 1 : 0
    const toEnd = chainLength - position
    if (this.#isTimed) {
      const used = uses >= 9 ? 4 : uses >= 5 ? 3 : uses >= 3 ? 2 : uses - 1
      const turn = this.#turnNow >= 6 ? 3 : this.#turnNow >= 3 ? 2 : this.#turnNow >= 1 ? 1 : 0
      const place = toEnd <= 1 ? 0 : position < 4 ? 1 : 2
      return ((used * 4 + turn) * 3 + place) * 2 + branches
    }
    const used = uses >= 9 ? 5 : uses >= 5 ? 4 : uses >= 3 ? 3 : uses
    const place = toEnd <= 1 ? 0 : position < 8 ? 1 : toEnd <= 8 ? 2 : 3
    return used * 8 + place * 2 + branches
  }
}
