import type { HintClass } from './eviction.ts'
import type { ReuseCurves } from './reuse-curves.ts'

const hintNumber: Readonly<Record<HintClass, number>> = { none: 0, soon: 1, minutes: 2, later: 3, never: 4 }
const hintNumbers = 5
/** How much the curves of hinted blocks lean on those of all blocks like them, in blocks. Why more for a guess: it may say
 *  nothing, and a class that is split in vain must not fall apart. */
const leanOnTold = 15
const leanOnGuess = 250

/** Kinds that are made as they are needed: of blocks whose visit came with a hint. Each leans on the kind without the hint, so a
 *  hint counts for as much as it proved true. Why made on demand: of all combinations a few hundred occur. */
export class FineKinds {
  readonly #curves: ReuseCurves
  readonly #end: number
  readonly #kindOf = new Map<number, number>()
  #next: number
  #hint = 0
  #lean = leanOnTold

  /** Numbers from `first` up to `end` are free. */
  constructor(curves: ReuseCurves, first: number, end: number) {
    this.#curves = curves
    this.#next = first
    this.#end = end
  }

  /** The hint of the visit that begins. */
  hinted(hint: HintClass, isGuess: boolean): void {
    const number = hintNumber[hint]
    this.#hint = number !== 0 && isGuess ? number + hintNumbers : number
    this.#lean = isGuess ? leanOnGuess : leanOnTold
  }

  /** What blocks of kind `plain` are in this visit; `plain` itself without a hint, or when there is no more room. What was told
   *  weighs more than the application, so it refines the kind of all applications. */
  of(plain: number, ofAll: number): number {
    if (this.#hint === 0) return plain
    const base = this.#hint > hintNumbers ? plain : ofAll
    const key = base * 2 * hintNumbers + this.#hint
    const known = this.#kindOf.get(key)
    if (known !== undefined) return known
    if (this.#next === this.#end) return plain
    const kind = this.#next
    this.#next += 1
    this.#kindOf.set(key, kind)
    this.#curves.refine(kind, base, this.#lean)
    return kind
  }
}
