import { noRow, type Row } from './eviction.ts'

/** The resident part of the prefix tree: parents, numbers of resident children, and the path being served.
 *  A leaf is a resident row without resident children; only a leaf that is not on the path may leave, so what
 *  stays is always a usable prefix. */
export class LeafTree {
  readonly #parent: Int32Array
  readonly #children: Int32Array
  /** Counts residences, so that a child of an earlier block in the same row is not taken for one of this. */
  readonly #birth: Int32Array
  readonly #parentBirth: Int32Array
  #births = 0
  #count = 0
  /** 0 absent, 1 resident, 2 resident and on the path. */
  readonly #state: Uint8Array
  #path = new Int32Array(64)
  #pathLength = 0

  constructor(rowMax: number) {
    this.#parent = new Int32Array(rowMax).fill(noRow)
    this.#children = new Int32Array(rowMax)
    this.#birth = new Int32Array(rowMax)
    this.#parentBirth = new Int32Array(rowMax)
    this.#state = new Uint8Array(rowMax)
  }

  /** Resident rows. */
  get count(): number {
    return this.#count
  }

  isResident(row: Row): boolean {
    return row !== noRow && this.#state[row] !== 0
  }

  onPath(row: Row): boolean {
    return this.#state[row] === 2
  }

  childrenOf(row: Row): number {
    return this.#children[row] as number
  }

  parentOf(row: Row): Row {
    return this.#parent[row] as number
  }

  mayLeave(row: Row): boolean {
    return this.#state[row] === 1 && this.#children[row] === 0
  }

  /** Marks a resident row as part of the path being served. */
  mark(row: Row): void {
    if (this.#state[row] === 2) return
    this.#state[row] = 2
    if (this.#pathLength === this.#path.length) {
      const longer = new Int32Array(2 * this.#path.length)
      longer.set(this.#path)
      this.#path = longer
    }
    this.#path[this.#pathLength] = row
    this.#pathLength += 1
  }

  /** Ends the path. Returns the rows that were on it and are still resident, deepest last. */
  unmark(each: (row: Row) => void): void {
    for (let at = 0; at < this.#pathLength; at += 1) {
      const row = this.#path[at] as number
      if (this.#state[row] !== 2) continue
      this.#state[row] = 1
      each(row)
    }
    this.#pathLength = 0
  }

  /** Adds a row on the path, under its parent when that is resident. */
  add(row: Row, parent: Row): void {
    this.#state[row] = 1
    this.#children[row] = 0
    this.#count += 1
    this.#births += 1
    this.#birth[row] = this.#births
    const under = this.isResident(parent) ? parent : noRow
    this.#parent[row] = under
    if (under !== noRow) {
      this.#children[under] = (this.#children[under] as number) + 1
      this.#parentBirth[row] = this.#birth[under] as number
    }
    this.mark(row)
  }

  /** Removes a row; its children become roots of their own. Returns the parent when that is a leaf now. */
  drop(row: Row): Row {
    this.#state[row] = 0
    this.#count -= 1
    const parent = this.#parent[row] as number
    this.#parent[row] = noRow
    if (parent === noRow || !this.isResident(parent)) return noRow
    if (this.#parentBirth[row] !== this.#birth[parent]) return noRow
    const left = (this.#children[parent] as number) - 1
    this.#children[parent] = left
    return left === 0 ? parent : noRow
  }
}
