import { noRow, type Row } from './eviction.ts'
import { LeafSet } from './leaf-set.ts'
import type { LeafTree } from './leaf-tree.ts'

/** How a pool looks for the poorest leaf. */
export type PoolShape = {
  /** Leaves drawn at random per eviction. */
  readonly draws: number
  /** Leaves kept in mind from one eviction to the next, at most. */
  readonly kept: number
}

/** What a place is worth to the block in it at this moment; the lowest leaves first. */
export type WorthOf = (row: Row, atMs: number) => number

/** The leaves of a tier, and the poorest of those that were looked at lately. An eviction draws some at random and takes
 *  the poorest of them and of those kept. Why keep any: the second poorest of one eviction need not be found again by the next.
 *  Why not many: the worths are learned, and whoever always gives up the very poorest acts on their errors.
 *
 *  Invariant: what is kept are leaves, each once, the poorest first, with their worths at `#atMs`. */
export class LeafPool {
  readonly #tree: LeafTree
  readonly #leaves: LeafSet
  readonly #draws: number
  readonly #worthOf: WorthOf
  readonly #rows: Int32Array
  readonly #worths: Float64Array
  #kept = 0
  /** The moment for which the worths are; not a number when they must be asked for again. */
  #atMs = Number.NaN
  /** State of the generator that draws. Why one of its own: a call into the World per draw costs more than the look. */
  #bits: number

  /** `chance` is asked once. */
  constructor(rowMax: number, tree: LeafTree, shape: PoolShape, chance: () => number, worthOf: WorthOf) {
    this.#tree = tree
    this.#leaves = new LeafSet(rowMax)
    this.#draws = shape.draws
    this.#worthOf = worthOf
    this.#rows = new Int32Array(shape.kept)
    this.#worths = new Float64Array(shape.kept)
    this.#bits = chance() | 1
  }

  add(row: Row): void {
    this.#leaves.add(row)
  }

  remove(row: Row): void {
    if (!this.#leaves.has(row)) return
    this.#leaves.remove(row)
    const place = this.#placeOf(row)
    if (place >= 0) this.#takeOut(place)
  }

  /** Worths changed otherwise than by age: a visit began, or something was learned. */
  expire(): void {
    this.#atMs = Number.NaN
  }

  /** The poorest leaf that may leave, or `noRow`. */
  poorest(held: (row: Row) => boolean, atMs: number): Row {
    if (atMs !== this.#atMs) this.#lookAgain(atMs)
    if (this.#leaves.length > 0) this.#draw(held, atMs)
    while (this.#kept > 0) {
      const row = this.#rows[0] as number
      if (!this.#tree.onPath(row) && !held(row)) return row
      this.#takeOut(0)
    }
    for (let place = 0; place < this.#leaves.length; place += 1) {
      const row = this.#leaves.at(place)
      if (!this.#tree.onPath(row) && !held(row)) return row
    }
    return noRow
  }

  #draw(held: (row: Row) => boolean, atMs: number): void {
    const leaves = this.#leaves
    const worthOf = this.#worthOf
    let bits = this.#bits
    let limit = this.#limit()
    for (let draw = 0; draw < this.#draws; draw += 1) {
      bits ^= bits << 13
      bits ^= bits >>> 17
      bits ^= bits << 5
      const row = leaves.pick(bits >>> 0)
      const worth = worthOf(row, atMs)
      // Whether it may leave is asked of the few that would: every question is a look at far memory.
      if (worth >= limit || this.#tree.onPath(row) || held(row)) continue
      this.#offer(row, worth)
      limit = this.#limit()
    }
    this.#bits = bits
  }

  /** Time has passed, and some of what is kept may have been used. */
  #lookAgain(atMs: number): void {
    this.#atMs = atMs
    const count = this.#kept
    this.#kept = 0
    // What is put in never lies behind what is still to be read.
    for (let place = 0; place < count; place += 1) {
      const row = this.#rows[place] as number
      if (!this.#tree.onPath(row)) this.#insert(row, this.#worthOf(row, atMs))
    }
  }

  /** What is worth as much or more is not kept. */
  #limit(): number {
    const full = this.#kept === this.#rows.length
    return full ? (this.#worths[this.#kept - 1] as number) : Number.POSITIVE_INFINITY
  }

  #offer(row: Row, worth: number): void {
    if (worth < this.#limit() && this.#placeOf(row) < 0) this.#insert(row, worth)
  }

  /** Behind those that are worth as much; when there is no more room the richest falls out. */
  #insert(row: Row, worth: number): void {
    const rows = this.#rows
    const worths = this.#worths
    if (this.#kept < rows.length) this.#kept += 1
    let place = this.#kept - 1
    while (place > 0 && worth < (worths[place - 1] as number)) {
      rows[place] = rows[place - 1] as number
      worths[place] = worths[place - 1] as number
      place -= 1
    }
    rows[place] = row
    worths[place] = worth
  }

  #placeOf(row: Row): number {
    for (let place = 0; place < this.#kept; place += 1) if (this.#rows[place] === row) return place
    return -1
  }

  #takeOut(from: number): void {
    this.#kept -= 1
    for (let place = from; place < this.#kept; place += 1) {
      this.#rows[place] = this.#rows[place + 1] as number
      this.#worths[place] = this.#worths[place + 1] as number
    }
  }
}
