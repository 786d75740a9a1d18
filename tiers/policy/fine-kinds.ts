import type { HintClass } from './eviction.ts'
import type { ReuseCurves } from './reuse-curves.ts'

const hintNumber: Readonly<Record<HintClass, number>> = { none: 0, soon: 1, minutes: 2, later: 3, never: 4 }
const hintNumbers = 5
/** How much the curves of hinted blocks lean on those of all blocks like them, in blocks. Why more for a guess: it may say
 *  nothing, and a class that is split in vain must not fall apart. */
const leanOnTold = 15
const leanOnGuess = 250

/** The same for the kind of all answers, which is there in any case. */
const leanOnAnswer = 100

/** Families of refinements that may be on trial: each is heard or not as a whole. */
const guesses = 0
const answers = 1
/** The lead from which on each is heard. Why guesses have to earn it, by what a few requests of some dozens of blocks can bring by
 *  chance: most add nothing. Lengths of answers mostly do, so a young cache hears them until they fall behind. */
export const leadsMin: readonly number[] = [20, 0]

/** Numbers of refinements: hints that were told, the same as guesses, then lengths of answers. */
const firstAnswer = 2 * hintNumbers
/** With room for more classes of answers than there are. */
const refinements = firstAnswer + 8

/** Kinds that are made as they are needed: of blocks whose request came with a hint, or got an answer of a known length. Each
 *  leans on the kind without it, so it counts for as much as it proved true; guesses and lengths are heard only while they predict
 *  as well as the kind without (`refinement-trial.ts`). Why made on demand: of all combinations a few hundred occur. */
export class FineKinds {
  readonly #curves: ReuseCurves
  readonly #first: number
  readonly #end: number
  readonly #answerEdges: readonly number[]
  /** Per kind and refinement the kind made for both; 0 for none. Why a table: every block of every request is looked up. */
  readonly #kindOf: Int32Array
  /** Per kind made for an answer or a guess, from `first` on, the kind it refines; -1 for others. */
  readonly #unanswered: Int32Array
  #next: number
  #hint = 0

  /** Numbers from `first` up to `end` are free. */
  constructor(curves: ReuseCurves, first: number, end: number, answerEdges: readonly number[]) {
    this.#curves = curves
    this.#first = first
    this.#next = first
    this.#end = end
    this.#answerEdges = answerEdges
    this.#kindOf = new Int32Array(end * refinements)
    this.#unanswered = new Int32Array(end - first).fill(-1)
  }

  /** The hint of the visit that begins. */
  hinted(hint: HintClass, isGuess: boolean): void {
    const number = hintNumber[hint]
    this.#hint = number !== 0 && isGuess ? number + hintNumbers : number
  }

  /** What blocks of kind `plain` are in this visit; `plain` itself without a hint, or when there is no more room. What was told
   *  weighs more than the application, so it refines the kind of all applications. */
  of(plain: number, ofAll: number): number {
    if (this.#hint === 0) return plain
    if (this.#hint > hintNumbers) return this.#replaceable(plain, this.#hint, leanOnGuess, guesses)
    const kind = this.#refined(ofAll, this.#hint, leanOnTold, null)
    return kind === ofAll ? plain : kind
  }

  /** What a block of this kind becomes with the length of the answer that its request got. It takes the place of a guess: what a
   *  guess tells beside it was never seen to be worth the split. */
  answered(kind: number, answerTokens: number): number {
    const before = kind < this.#first ? -1 : (this.#unanswered[kind - this.#first] as number)
    const base = before < 0 ? kind : before
    return this.#replaceable(base, firstAnswer + this.#answerClassOf(answerTokens), leanOnAnswer, answers)
  }

  #replaceable(base: number, refinement: number, lean: number, family: number): number {
    const refined = this.#refined(base, refinement, lean, family)
    if (refined !== base) this.#unanswered[refined - this.#first] = base
    return refined
  }

  #answerClassOf(answerTokens: number): number {
    let at = 0
    while (at < this.#answerEdges.length && answerTokens >= (this.#answerEdges[at] as number)) at += 1
    return at
  }

  /** A kind will mean something else, so its refinements know nothing either. */
  clear(kind: number): void {
    this.#curves.clear(kind)
    for (let refinement = 1; refinement < refinements; refinement += 1) {
      const refined = this.#kindOf[kind * refinements + refinement] as number
      if (refined !== 0) this.clear(refined)
    }
  }

  /** The kind itself when there is no more room. */
  #refined(base: number, refinement: number, lean: number, family: number | null): number {
    const key = base * refinements + refinement
    const known = this.#kindOf[key] as number
    if (known !== 0) return known
    if (this.#next === this.#end) return base
    const kind = this.#next
    this.#next += 1
    this.#kindOf[key] = kind
    this.#curves.refine(kind, base, lean, family)
    return kind
  }
}
