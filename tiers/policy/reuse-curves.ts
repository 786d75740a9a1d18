/** Ages are cut into buckets, three per doubling, from half a second to about ten days. */
export const ageBuckets = 64
const bucketsPerDoubling = 3
const firstEdgeSeconds = 0.5

/** Bucket by age in steps of 64 ms, up to 70 minutes. Why a table: every look at a leaf needs one, and a logarithm costs more
 *  than the rest of the look. */
const youngStepBits = 6
const youngBuckets = Uint8Array.from({ length: 65_536 }, (_, step) => computedBucket(step << youngStepBits))

export function ageBucketOf(ageMs: number): number {
  const step = ageMs < 0 ? 0 : ageMs / 2 ** youngStepBits
  return step < youngBuckets.length ? (youngBuckets[step | 0] as number) : computedBucket(ageMs)
}

function computedBucket(ageMs: number): number {
  const bucket = Math.floor(bucketsPerDoubling * Math.log2(ageMs / 1_000 / firstEdgeSeconds + 1))
  return bucket >= ageBuckets ? ageBuckets - 1 : bucket
}

/** Seconds spent in each bucket. */
export const bucketSeconds = Float64Array.from({ length: ageBuckets }, (_, bucket) => {
  const edge = (at: number): number => (2 ** (at / bucketsPerDoubling) - 1) * firstEdgeSeconds
  return edge(bucket + 1) - edge(bucket)
})

/** Keeps a division by no time at all finite. */
const secondsFloor = 1e-6

/** How the curves are shrunk: a class leans on its parent class with this weight, in blocks at risk. */
const leanBlocks = 15

/** How curves are learned. */
export type Learning = {
  /** What a relearning leaves of the counts, so that old traffic fades. */
  readonly keptShare: number
  /** What is assumed of all classes together before it is seen: the chance of a use per age bucket, worth as much as so
   *  many blocks at risk. */
  readonly prior: { readonly hazard: number; readonly blocks: number }
}

/** Nothing comes back until it is seen to. */
export const soberLearning: Learning = { keptShare: 0.97, prior: { hazard: 0, blocks: leanBlocks } }

/** Learns per class of blocks when they are used again, and from it what a place for one more second is worth.
 *
 *  A use ends an interval (`reused`), being forgotten ends it without one (`forgotten`), and intervals that still
 *  run are counted at each `relearn`. This is how survival is estimated under censoring: what we evicted ourselves
 *  is no evidence against a class, as long as the block is still remembered.
 *
 *  The worth of a block of a given age is its Gittins index: the best ratio, over all times to give up, of the
 *  chance of a use to the expected time in the cache. Unlike the ratio over all remaining time, it is not spoilt by
 *  a long tail, and it rises before the typical moment of return. */
export class ReuseCurves {
  readonly #parentOf: Int32Array
  /** Per class how much it leans on its parent. */
  readonly #lean: Float64Array
  readonly #reused: Float64Array
  readonly #ended: Float64Array
  readonly #open: Float64Array
  /** Chance of a use within the bucket, per class, from the last relearning. */
  readonly #hazard: Float64Array
  /** Worth by class * ageBuckets + bucket: uses per second of residence. */
  readonly worth: Float64Array
  readonly #touched: Uint8Array
  readonly #learning: Learning

  /** `parents` gives for each class the class that it leans on; parents come first, a root leans on itself. */
  constructor(parents: Int32Array, learning: Learning) {
    this.#lean = new Float64Array(parents.length).fill(leanBlocks)
    this.#learning = learning
    const cells = parents.length * ageBuckets
    this.#parentOf = parents
    this.#reused = new Float64Array(cells)
    this.#ended = new Float64Array(cells)
    this.#open = new Float64Array(cells)
    this.#hazard = new Float64Array(cells)
    this.worth = new Float64Array(cells)
    this.#touched = new Uint8Array(parents.length)
  }

  get kindCount(): number {
    return this.#parentOf.length
  }

  /** Chance of a use within an age bucket. */
  hazardOf(kind: number, bucket: number): number {
    return this.#hazard[kind * ageBuckets + bucket] as number
  }

  worthAt(kind: number, ageMs: number): number {
    return this.worth[kind * ageBuckets + ageBucketOf(ageMs)] as number
  }

  /** Chance that a block of this class and age is used once more within the horizon. */
  chanceOfUse(kind: number, ageMs: number, horizonMs: number): number {
    const last = ageBucketOf(ageMs + horizonMs)
    let unused = 1
    for (let bucket = ageBucketOf(ageMs); bucket <= last; bucket += 1) {
      unused *= 1 - at(this.#hazard, kind * ageBuckets + bucket)
    }
    return 1 - unused
  }

  reused(kind: number, ageMs: number): void {
    const cell = kind * ageBuckets + ageBucketOf(ageMs)
    this.#reused[cell] = (this.#reused[cell] as number) + 1
    this.#touched[kind] = 1
  }

  forgotten(kind: number, ageMs: number): void {
    const cell = kind * ageBuckets + ageBucketOf(ageMs)
    this.#ended[cell] = (this.#ended[cell] as number) + 1
    this.#touched[kind] = 1
  }

  /** To be called for every remembered block between `beginRelearn` and `relearn`. */
  stillOpen(kind: number, ageMs: number): void {
    const cell = kind * ageBuckets + ageBucketOf(ageMs)
    this.#open[cell] = (this.#open[cell] as number) + 1
    this.#touched[kind] = 1
  }

  beginRelearn(): void {
    this.#open.fill(0)
  }

  /** Turns the counts into worths and lets them fade. */
  relearn(): void {
    this.#sumIntoParents()
    for (let kind = 0; kind < this.#parentOf.length; kind += 1) {
      const parent = this.#parentOf[kind] as number
      const first = kind * ageBuckets
      if (this.#touched[kind] === 0) {
        if (parent !== kind) this.#copyFrom(parent, first)
        continue
      }
      this.#estimate(first, parent === kind ? -1 : parent * ageBuckets)
      this.#index(first)
    }
    this.#fade()
  }

  /** Adds to every parent the counts of its children. */
  #sumIntoParents(): void {
    for (let kind = this.#parentOf.length - 1; kind >= 0; kind -= 1) {
      const parent = this.#parentOf[kind] as number
      if (parent === kind || this.#touched[kind] === 0) continue
      this.#touched[parent] = 1
      const from = kind * ageBuckets
      const into = parent * ageBuckets
      for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
        this.#reused[into + bucket] = at(this.#reused, into + bucket) + at(this.#reused, from + bucket)
        this.#ended[into + bucket] = at(this.#ended, into + bucket) + at(this.#ended, from + bucket)
        this.#open[into + bucket] = at(this.#open, into + bucket) + at(this.#open, from + bucket)
      }
    }
  }

  #estimate(first: number, parentFirst: number): void {
    const { prior } = this.#learning
    const leanOn = parentFirst < 0 ? prior.blocks : at(this.#lean, first / ageBuckets)
    let atRisk = 0
    for (let bucket = ageBuckets - 1; bucket >= 0; bucket -= 1) {
      const cell = first + bucket
      const reused = at(this.#reused, cell)
      atRisk += reused + at(this.#ended, cell) + at(this.#open, cell)
      const assumed = parentFirst < 0 ? prior.hazard : at(this.#hazard, parentFirst + bucket)
      this.#hazard[cell] = (reused + leanOn * assumed) / (atRisk + leanOn)
    }
  }

  #index(first: number): void {
    for (let age = 0; age < ageBuckets; age += 1) {
      let alive = 1
      let uses = 0
      let seconds = secondsFloor
      let best = 0
      for (let bucket = age; bucket < ageBuckets && alive > 1e-3; bucket += 1) {
        const hazard = at(this.#hazard, first + bucket)
        uses += alive * hazard
        seconds += alive * (1 - hazard / 2) * (bucketSeconds[bucket] as number)
        alive *= 1 - hazard
        const ratio = uses / seconds
        if (ratio > best) best = ratio
      }
      this.worth[first + age] = best
    }
  }

  #copyFrom(parent: number, first: number): void {
    const from = parent * ageBuckets
    this.#hazard.copyWithin(first, from, from + ageBuckets)
    this.worth.copyWithin(first, from, from + ageBuckets)
  }

  /** Takes the sums out of the parents again, root first: what a parent was told directly stays, and fades like the rest. */
  #fade(): void {
    for (let kind = 0; kind < this.#parentOf.length; kind += 1) {
      if (this.#touched[kind] === 0) continue
      const parent = this.#parentOf[kind] as number
      const first = kind * ageBuckets
      if (parent !== kind) this.#takeOut(parent * ageBuckets, first)
    }
    const { keptShare } = this.#learning
    for (let kind = 0; kind < this.#parentOf.length; kind += 1) {
      if (this.#touched[kind] === 0) continue
      for (let cell = kind * ageBuckets; cell < (kind + 1) * ageBuckets; cell += 1) {
        this.#reused[cell] = at(this.#reused, cell) * keptShare
        this.#ended[cell] = at(this.#ended, cell) * keptShare
      }
    }
  }

  #takeOut(into: number, from: number): void {
    for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
      // Rounding may leave a little less than nothing.
      const reused = at(this.#reused, into + bucket) - at(this.#reused, from + bucket)
      this.#reused[into + bucket] = Math.max(0, reused)
      const ended = at(this.#ended, into + bucket) - at(this.#ended, from + bucket)
      this.#ended[into + bucket] = Math.max(0, ended)
    }
  }

  /** Begins a class that refines another, which it leans on with the weight of so many blocks. */
  refine(kind: number, ofKind: number, lean: number): void {
    this.#parentOf[kind] = ofKind
    this.#lean[kind] = lean
    this.clear(kind)
  }

  /** Forgets all that a class learned, because its number will mean something else: it is as its parent now. */
  clear(kind: number): void {
    const from = kind * ageBuckets
    this.#reused.fill(0, from, from + ageBuckets)
    this.#ended.fill(0, from, from + ageBuckets)
    this.#touched[kind] = 0
    this.#copyFrom(this.#parentOf[kind] as number, from)
  }
}

const at = (numbers: Float64Array, index: number): number => numbers[index] as number
