import { ageBucketOf, ageBuckets, bucketSeconds, type ReuseCurves } from './reuse-curves.ts'

/** Keeps a division by no time at all finite. */
const secondsFloor = 1e-6

/** What it is worth to wait with the decision whether a block is written to a tier below that wears.
 *
 *  Giving a block up now costs the smaller of two regrets: it is written and not used in time (a wasted write), or it
 *  is let go and used (a lost hit). A use in the meantime settles the question for nothing. The index is the
 *  largest fall of the regret per second of waiting, over all moments to decide: the rent for its place that the block can
 *  pay. Blocks of which the answer is known pay nothing; those in between pay most. */
export class StopIndex {
  readonly #curves: ReuseCurves
  readonly #index: Float64Array
  /** Per class the learning from which its rows are. */
  readonly #madeIn: Int32Array
  #learning = 0
  #wasteCost = 0
  #stayMs = 0

  constructor(curves: ReuseCurves) {
    this.#curves = curves
    this.#index = new Float64Array(curves.kindCount * ageBuckets)
    this.#madeIn = new Int32Array(curves.kindCount)
  }

  /** The curves were learned anew. `bar` is the chance of a use from which on a write pays. */
  learned(bar: number, stayMs: number): void {
    this.#learning += 1
    this.#wasteCost = bar / (1 - bar)
    this.#stayMs = stayMs
  }

  at(kind: number, ageMs: number): number {
    if (this.#madeIn[kind] !== this.#learning) this.#make(kind)
    return this.#index[kind * ageBuckets + ageBucketOf(ageMs)] as number
  }

  #make(kind: number): void {
    this.#madeIn[kind] = this.#learning
    const regret = regrets(this.#curves, kind, this.#wasteCost, this.#stayMs)
    for (let age = 0; age < ageBuckets; age += 1) {
      const now = regret[age] as number
      let alive = 1
      let seconds = secondsFloor
      let best = 0
      for (let bucket = age; bucket < ageBuckets && alive > 1e-3; bucket += 1) {
        const hazard = this.#curves.hazardOf(kind, bucket)
        seconds += alive * (1 - hazard / 2) * (bucketSeconds[bucket] as number)
        alive *= 1 - hazard
        const ratio = (now - alive * (regret[bucket + 1] as number)) / seconds
        if (ratio > best) best = ratio
      }
      this.#index[kind * ageBuckets + age] = best
    }
  }
}

/** Regret of deciding now, by age bucket; nothing is left to regret behind the last one. */
function regrets(curves: ReuseCurves, kind: number, wasteCost: number, stayMs: number): Float64Array {
  const regret = new Float64Array(ageBuckets + 1)
  let elapsedMs = 0
  for (let age = 0; age < ageBuckets; age += 1) {
    const chance = curves.chanceOfUse(kind, elapsedMs, stayMs)
    regret[age] = Math.min(chance, (1 - chance) * wasteCost)
    elapsedMs += 1_000 * (bucketSeconds[age] as number)
  }
  return regret
}
