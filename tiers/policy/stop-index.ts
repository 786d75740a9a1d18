import { ageBucketOf, ageBuckets, bucketSeconds } from './age-buckets.ts'
import { bestRates } from './best-rates.ts'
import type { ReuseCurves } from './reuse-curves.ts'

/** What it is worth to wait with the decision whether a block is written to a tier below that wears.
 *
 *  Giving a block up now costs the smaller of two regrets: it is written and not used in time (a wasted write), or it
 *  is let go and used (a lost hit). A use in the meantime settles the question for nothing. The index is the
 *  largest fall of the regret per second of waiting, over all moments to decide: the rent for its place that the block can
 *  pay. Blocks of which the answer is known pay nothing; those in between pay most. */
export class StopIndex {
  readonly #curves: ReuseCurves
  readonly #nearness: number
  readonly #index: Float64Array
  /** Per class the learning from which its rows are. */
  readonly #madeIn: Int32Array
  #learning = 0
  #wasteCost = 0
  #stayMs = 0

  /** `nearness` is what a use in the tier itself is worth, beside the answer: so much of the block's own worth is added. */
  constructor(curves: ReuseCurves, nearness = 0) {
    this.#curves = curves
    this.#nearness = nearness
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
    const hazards = this.#curves.hazardsOf(kind)
    const regret = regrets(this.#curves, kind, this.#wasteCost, this.#stayMs)
    for (let age = 0; age < ageBuckets; age += 1) {
      const left = 1 - (hazards[age] as number)
      falls[age] = (regret[age] as number) - left * (regret[age + 1] as number)
    }
    const first = kind * ageBuckets
    const index = this.#index.subarray(first, first + ageBuckets)
    bestRates(falls, hazards, index)
    for (let age = 0; age < ageBuckets; age += 1) {
      const worth = this.#curves.worth[first + age] as number
      index[age] = Math.max(0, index[age] as number) + this.#nearness * worth
    }
  }
}

/** How much the regret falls in each bucket, of a block that comes to it; one class at a time. */
const falls = new Float64Array(ageBuckets)

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
