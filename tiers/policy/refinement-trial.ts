import { ageBuckets } from './age-buckets.ts'

/** How far from the plain curve to the refined one the tried prediction goes. Why not all the way: blocks of a request come back
 *  together, so a refined curve exaggerates long before it points the wrong way. Whether it points the right way is asked. */
const triedShare = 0.3

const hazardMin = 1e-6
const hazardMax = 0.999
const bounded = (hazard: number): number => Math.min(hazardMax, Math.max(hazardMin, hazard))

/** Whether a family of refinements (the lengths of answers, say) predicts better than the curves without it: each stay that
 *  finished, and each that still runs, is judged by curves that were learned before it ended. A family is heard while its lead is
 *  enough. Why as a whole and not kind by kind: a single kind sees a few requests, and its lead is mostly luck. */
export class RefinementTrial {
  readonly #firstKind: number
  readonly #leadsMin: readonly number[]
  /** Per kind on trial its family; -1 for others. */
  readonly #familyOf: Int8Array
  /** Per kind and age bucket how many times as likely a use there, or an end without one, is by the tried prediction. Why no
   *  logarithms: far fewer stays end than there are cells. */
  readonly #forUse: Float32Array
  readonly #forEnd: Float32Array
  /** Per family: what finished stays say, and with the running ones. */
  readonly #finished: Float64Array
  readonly #lead: Float64Array

  /** For kinds from `firstKind` up to `kindEnd`; a family is heard with a lead of `leadsMin` and more: the logarithm of the odds
   *  for it, summed over blocks. With 0 it is heard until it falls behind. */
  constructor(firstKind: number, kindEnd: number, leadsMin: readonly number[]) {
    this.#firstKind = firstKind
    this.#leadsMin = leadsMin
    this.#familyOf = new Int8Array(kindEnd - firstKind).fill(-1)
    this.#forUse = new Float32Array((kindEnd - firstKind) * ageBuckets)
    this.#forEnd = new Float32Array((kindEnd - firstKind) * ageBuckets)
    this.#finished = new Float64Array(leadsMin.length)
    this.#lead = new Float64Array(leadsMin.length)
  }

  /** A kind begins, as one of a family. */
  begin(kind: number, family: number): void {
    this.#familyOf[kind - this.#firstKind] = family
    this.acquit(kind)
  }

  /** Nothing is known of the kind: it predicts what its parent does. */
  acquit(kind: number): void {
    if (kind < this.#firstKind) return
    const from = (kind - this.#firstKind) * ageBuckets
    this.#forUse.fill(1, from, from + ageBuckets)
    this.#forEnd.fill(1, from, from + ageBuckets)
  }

  /** A stay of a block of this kind ended in this age bucket, with a use. */
  used(kind: number, bucket: number): void {
    this.#count(kind, bucket, this.#forUse)
  }

  /** The same without one. */
  ended(kind: number, bucket: number): void {
    this.#count(kind, bucket, this.#forEnd)
  }

  #count(kind: number, bucket: number, likelier: Float32Array): void {
    const at = kind - this.#firstKind
    const family = at < 0 ? -1 : (this.#familyOf[at] as number)
    if (family < 0) return
    const times = likelier[at * ageBuckets + bucket] as number
    if (times !== 1) this.#finished[family] = (this.#finished[family] as number) + Math.log(times)
  }

  /** Judges before the curves are learned anew; `open` counts the running stays per kind and age bucket. What finished stays said
   *  fades by `keptShare`, as the counts do. */
  judge(open: Float64Array, kindEnd: number, keptShare: number): void {
    this.#lead.set(this.#finished)
    for (let kind = this.#firstKind; kind < kindEnd; kind += 1) {
      const at = kind - this.#firstKind
      const family = this.#familyOf[at] as number
      if (family < 0) continue
      let sum = 0
      for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
        const count = open[kind * ageBuckets + bucket] as number
        if (count !== 0) sum += count * Math.log(this.#forEnd[at * ageBuckets + bucket] as number)
      }
      this.#lead[family] = (this.#lead[family] as number) + sum
    }
    for (let family = 0; family < this.#finished.length; family += 1) {
      this.#finished[family] = (this.#finished[family] as number) * keptShare
    }
  }

  /** Whether the curves of this kind are heard. */
  hears(kind: number): boolean {
    const family = kind < this.#firstKind ? -1 : (this.#familyOf[kind - this.#firstKind] as number)
    return family < 0 || (this.#lead[family] as number) >= (this.#leadsMin[family] as number)
  }

  /** A kind on trial has learned new curves: what stays will say of them, against those of its parent. */
  compare(kind: number, refined: Float64Array, plain: Float64Array): void {
    const at = kind - this.#firstKind
    if (at < 0 || (this.#familyOf[at] as number) < 0) return
    let outlived = 1
    for (let bucket = 0; bucket < ageBuckets; bucket += 1) {
      const without = bounded(plain[bucket] as number)
      const tried = without + triedShare * (bounded(refined[bucket] as number) - without)
      const cell = at * ageBuckets + bucket
      this.#forEnd[cell] = outlived
      this.#forUse[cell] = (outlived * tried) / without
      outlived *= (1 - tried) / (1 - without)
    }
  }
}
