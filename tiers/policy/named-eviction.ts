import {
  type EvictionPolicy,
  noNotes,
  noRow,
  type PolicySizes,
  type Row,
  type TierBelow,
  type VisitNotes,
} from './eviction.ts'
import { NameBook } from './name-book.ts'

/** A policy that remembers absent blocks; its rows are numbers that a name book gives out. */
export interface RememberingPolicy extends EvictionPolicy {
  /** The number will mean another block. */
  forget(number: Row, nowMs: number): void
}

/** A remembering policy for rows that are names (the bench) or rows that are reused (the daemon). It knows at most so many
 *  blocks, resident ones included. */
export function rememberingPolicy(
  sizes: PolicySizes,
  knownMax: number,
  make: (sizes: PolicySizes, onForget: (number: Row) => void) => RememberingPolicy,
): EvictionPolicy {
  if (sizes.rowsAreNames === true) return make(sizes, () => {})
  return new NamedEviction(sizes, knownMax, (rowMax, onForget) => make({ ...sizes, rowMax }, onForget))
}

/** Numbers beside the remembered ones. Why: a chain gets its numbers before old ones are forgotten. */
const spareNumbers = 65_536

/** Puts a remembering policy behind rows that are reused for other blocks, as the daemon's are. */
class NamedEviction implements EvictionPolicy {
  readonly name: string
  readonly #book: NameBook
  readonly #policy: RememberingPolicy
  #chain = new Int32Array(64)

  constructor(
    sizes: PolicySizes,
    rememberedMax: number,
    make: (numberMax: number, onForget: (number: Row) => void) => RememberingPolicy,
  ) {
    const numberMax = rememberedMax + sizes.rowMax + spareNumbers
    this.#book = new NameBook(sizes.rowMax, numberMax)
    this.#policy = make(numberMax, (number) => {
      if (this.#book.rowOf(number) === noRow) this.#book.release(number)
    })
    this.name = this.#policy.name
  }

  over(below: TierBelow): void {
    this.#policy.over?.({ ...below, holds: (number) => this.#holdsRow(below, this.#book.rowOf(number)) })
  }

  /** An absent block has no row here, so nothing is known of it below. */
  #holdsRow(below: TierBelow, row: Row): boolean {
    return row !== noRow && below.holds(row)
  }

  onStoredBelow(row: Row): void {
    const number = this.#book.numberOfRow(row)
    if (number !== noRow) this.#policy.onStoredBelow?.(number)
  }

  onVisit(
    rows: Int32Array,
    count: number,
    readyCount: number,
    nowMs: number,
    notes: VisitNotes = noNotes,
  ): void {
    this.#number(rows, count, notes.names, (name) => this.#book.numberOfName(name))
    this.#policy.onVisit(this.#chain, count, readyCount, nowMs, notes)
  }

  reorder(rows: Int32Array, count: number): void {
    if (this.#policy.reorder === undefined) return
    this.#number(rows, count, null, () => noRow)
    this.#policy.reorder(this.#chain, count)
  }

  onAnswer(rows: Int32Array, count: number, answerTokens: number, names: VisitNotes['names'] = null): void {
    if (this.#policy.onAnswer === undefined) return
    this.#number(rows, count, names, (name) => this.#book.knownNumber(name))
    this.#policy.onAnswer(this.#chain, count, answerTokens)
  }

  /** Puts the numbers of a chain into `#chain`: by its rows, and by names where no row is resident. */
  #number(
    rows: Int32Array,
    count: number,
    names: VisitNotes['names'],
    numberOf: (name: number) => Row,
  ): void {
    if (this.#chain.length < count) this.#chain = new Int32Array(2 * count)
    for (let at = 0; at < count; at += 1) {
      const resident = this.#book.numberOfRow(rows[at] as number)
      const name = names === null ? undefined : names[at]
      this.#chain[at] = resident !== noRow || name === undefined ? resident : numberOf(name)
    }
  }

  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number, name?: number): void {
    const number = this.#book.bind(row, name)
    if (number === noRow) throw new RangeError('more resident rows than the policy was built for')
    this.#policy.onAdd(number, this.#book.numberOfRow(parent), position, chainLength, nowMs)
  }

  onVisitEnd(): void {
    this.#policy.onVisitEnd()
  }

  onDrop(row: Row, evicted: boolean, nowMs: number): void {
    const number = this.#book.numberOfRow(row)
    if (number === noRow) return
    this.#policy.onDrop(number, evicted, nowMs)
    if (!this.#book.unbind(row)) this.#policy.forget(number, nowMs)
  }

  victim(held: (row: Row) => boolean, nowMs: number): Row {
    const number = this.#policy.victim((candidate) => held(this.#book.rowOf(candidate)), nowMs)
    return number === noRow ? noRow : this.#book.rowOf(number)
  }

  chanceOfUse(row: Row, nowMs: number, horizonMs: number, name?: number): number | null {
    const resident = this.#book.numberOfRow(row)
    const number = resident === noRow && name !== undefined ? this.#book.knownNumber(name) : resident
    return number === noRow ? null : (this.#policy.chanceOfUse?.(number, nowMs, horizonMs) ?? null)
  }
}
