import { ageBucketOf, ageBuckets } from './age-buckets.ts'
import { bestRates } from './best-rates.ts'
import type { RefinementTrial } from './refinement-trial.ts'

/** How the curves are shrunk: a class leans on its parent class with this weight, in blocks at risk. */
const leanBlocks = 15

/** How curves are learned. */
export type Learning = {
  /** What a relearning leaves of the counts, so that old traffic fades. */
  readonly keptShare: number
  /** What is assumed of all classes together before it is seen: the chance of a use per age bucket, worth as much as so
   *  many blocks at risk. */
  readonly prior: { readonly hazard: number; readonly blocks: number }
  /** How far what is assumed of an age follows what was seen at the ages before it: 0 not at all, 1 wholly. Why: a young cache has
   *  seen no old block, and traffic that comes back seldom within minutes does so within hours. */
  readonly carriedShare: number
  /** Expected uses that stand against the seen ones when a class is assumed to be used so many times as often as its parent at
   *  every age; null where only the ages it was seen at tell. */
  readonly proportionUses: number | null
  /** Lengths of answers are told apart at these many tokens. Why: a label, a sentence, a paragraph and a page come from different
   *  applications, whose prompts come back in different ways. */
  readonly answerEdges: readonly number[]
  /** Whether lengths of answers and guesses are heard from the start, or only while they are seen to predict better. */
  readonly refinements?: 'on-trial' | 'heard'
}

/** Nothing comes back until it is seen to. */
export const soberLearning: Learning = {
  keptShare: 0.97,
  prior: { hazard: 0, blocks: leanBlocks },
  carriedShare: 0,
  proportionUses: 50,
  answerEdges: [8, 32, 128, 512],
  refinements: 'on-trial',
}

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
  /** Beyond the last class that is in use. */
  #kindEnd: number
  readonly #touched: Uint8Array
  /** Classes that some block was put into; the others are not kept up. */
  readonly #wanted: Uint8Array
  /** Of the class that is being estimated. */
  readonly #risk = new Float64Array(ageBuckets)
  readonly #learning: Learning
  /** Of classes that refine others; null where all of them are heard. */
  readonly #trial: RefinementTrial | null

  /** `parents` gives for each class the class that it leans on; parents come first, a root leans on itself. Roots at the end
   *  are free for `refine`. */
  constructor(parents: Int32Array, learning: Learning, trial: RefinementTrial | null = null) {
    this.#trial = trial
    this.#lean = new Float64Array(parents.length).fill(leanBlocks)
    this.#learning = learning
    const cells = parents.length * ageBuckets
    this.#parentOf = parents
    this.#kindEnd = Math.max(1, parents.findLastIndex((parent, kind) => parent !== kind) + 1)
    this.#reused = new Float64Array(cells)
    this.#ended = new Float64Array(cells)
    this.#open = new Float64Array(cells)
    this.#hazard = new Float64Array(cells)
    this.worth = new Float64Array(cells)
    this.#touched = new Uint8Array(parents.length)
    this.#wanted = new Uint8Array(parents.length)
  }

  get kindCount(): number {
    return this.#parentOf.length
  }

  /** Chance of a use within each age bucket. */
  hazardsOf(kind: number): Float64Array {
    return this.#hazard.subarray(kind * ageBuckets, (kind + 1) * ageBuckets)
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

  /** To be called when a block comes into a class. Why: of thousands of classes some hundred have blocks, and to keep the rest
   *  as their parents are cost as much as all that is learned. */
  want(kind: number): void {
    if (this.#wanted[kind] === 0) this.#keepUp(kind)
  }

  #keepUp(kind: number): void {
    this.#wanted[kind] = 1
    const parent = this.#parentOf[kind] as number
    if (parent === kind) return
    this.want(parent)
    if (this.#touched[kind] === 0) this.#copyFrom(parent, kind * ageBuckets)
  }

  reused(kind: number, ageMs: number): void {
    const bucket = ageBucketOf(ageMs)
    const cell = kind * ageBuckets + bucket
    this.#reused[cell] = (this.#reused[cell] as number) + 1
    this.#touched[kind] = 1
    this.#trial?.used(kind, bucket)
  }

  forgotten(kind: number, ageMs: number): void {
    const bucket = ageBucketOf(ageMs)
    const cell = kind * ageBuckets + bucket
    this.#ended[cell] = (this.#ended[cell] as number) + 1
    this.#touched[kind] = 1
    this.#trial?.ended(kind, bucket)
  }

  /** To be called for all remembered blocks between `beginRelearn` and `relearn`; `count` of them have this age. */
  stillOpen(kind: number, ageMs: number, count = 1): void {
    const cell = kind * ageBuckets + ageBucketOf(ageMs)
    this.#open[cell] = (this.#open[cell] as number) + count
    this.#touched[kind] = 1
  }

  beginRelearn(): void {
    this.#open.fill(0, 0, this.#kindEnd * ageBuckets)
  }

  /** Turns the counts into worths and lets them fade. */
  relearn(): void {
    this.#trial?.judge(this.#open, this.#kindEnd, this.#learning.keptShare)
    this.#sumIntoParents()
    for (let kind = 0; kind < this.#kindEnd; kind += 1) {
      const parent = this.#parentOf[kind] as number
      const first = kind * ageBuckets
      if (this.#touched[kind] === 0) {
        if (parent !== kind && this.#wanted[kind] !== 0) this.#copyFrom(parent, first)
        this.#trial?.acquit(kind)
        continue
      }
      this.#estimate(first, parent === kind ? -1 : parent * ageBuckets)
      const hazards = this.hazardsOf(kind)
      this.#trial?.compare(kind, hazards, this.hazardsOf(parent))
      if (this.#trial?.hears(kind) === false) this.#copyFrom(parent, first)
      else bestRates(hazards, hazards, this.worth.subarray(first, first + ageBuckets))
    }
    this.#fade()
  }

  /** Adds to every parent the counts of its children. */
  #sumIntoParents(): void {
    for (let kind = this.#kindEnd - 1; kind >= 0; kind -= 1) {
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
    this.#countRisk(first)
    const { prior, carriedShare } = this.#learning
    const isRoot = parentFirst < 0
    const leanOn = isRoot ? prior.blocks : at(this.#lean, first / ageBuckets)
    const times = isRoot ? 1 : this.#timesAsOften(first, parentFirst)
    let carried = prior.hazard
    for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
      const cell = first + bucket
      const assumed = isRoot ? carried : Math.min(1, times * at(this.#hazard, parentFirst + bucket))
      const hazard = (at(this.#reused, cell) + leanOn * assumed) / (at(this.#risk, bucket) + leanOn)
      this.#hazard[cell] = hazard
      carried += carriedShare * (hazard - carried)
    }
  }

  /** Blocks of the class that came to each age. */
  #countRisk(first: number): void {
    let atRisk = 0
    for (let bucket = ageBuckets - 1; bucket >= 0; bucket -= 1) {
      const cell = first + bucket
      atRisk += at(this.#reused, cell) + at(this.#ended, cell) + at(this.#open, cell)
      this.#risk[bucket] = atRisk
    }
  }

  /** How many times as often as its parent a class is used, over all ages that it was seen at. */
  #timesAsOften(first: number, parentFirst: number): number {
    const { proportionUses } = this.#learning
    if (proportionUses === null) return 1
    let seen = proportionUses
    let expected = proportionUses
    for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
      seen += at(this.#reused, first + bucket)
      expected += at(this.#risk, bucket) * at(this.#hazard, parentFirst + bucket)
    }
    return seen / expected
  }

  #copyFrom(parent: number, first: number): void {
    const from = parent * ageBuckets
    this.#hazard.copyWithin(first, from, from + ageBuckets)
    this.worth.copyWithin(first, from, from + ageBuckets)
  }

  /** Takes the sums out of the parents again, root first: what a parent was told directly stays, and fades like the rest. */
  #fade(): void {
    for (let kind = 0; kind < this.#kindEnd; kind += 1) {
      if (this.#touched[kind] === 0) continue
      const parent = this.#parentOf[kind] as number
      const first = kind * ageBuckets
      if (parent !== kind) this.#takeOut(parent * ageBuckets, first)
    }
    const { keptShare } = this.#learning
    for (let kind = 0; kind < this.#kindEnd; kind += 1) {
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

  /** Begins a class that refines another, which it leans on with the weight of so many blocks; of a family that is on trial, or
   *  of none. */
  refine(kind: number, ofKind: number, lean: number, family: number | null): void {
    if (family !== null) this.#trial?.begin(kind, family)
    this.#parentOf[kind] = ofKind
    this.#lean[kind] = lean
    this.#kindEnd = Math.max(this.#kindEnd, kind + 1)
    this.clear(kind)
  }

  /** Forgets all that a class learned, because its number will mean something else: it is as its parent now. */
  clear(kind: number): void {
    const from = kind * ageBuckets
    this.#reused.fill(0, from, from + ageBuckets)
    this.#ended.fill(0, from, from + ageBuckets)
    this.#touched[kind] = 0
    this.#trial?.acquit(kind)
    this.#copyFrom(this.#parentOf[kind] as number, from)
  }
}

const at = (numbers: Float64Array, index: number): number => numbers[index] as number
