import { noRow, type Row } from './eviction.ts'

/** Rows in no order, with O(1) random choice, add and remove. */
export class LeafSet {
  readonly #rows: Int32Array
  readonly #place: Int32Array
  #length = 0

  constructor(rowMax: number) {
    this.#rows = new Int32Array(rowMax)
    this.#place = new Int32Array(rowMax).fill(-1)
  }

  get length(): number {
    return this.#length
  }

  has(row: Row): boolean {
    return row !== noRow && (this.#place[row] as number) >= 0
  }

  at(place: number): Row {
    return this.#rows[place] as number
  }

  /** The row that 32 random bits pick; only for a set that is not empty. */
  pick(bits: number): Row {
    return this.#rows[Math.floor((bits / 2 ** 32) * this.#length)] as number
  }

  add(row: Row): void {
    if (this.has(row)) return
    this.#rows[this.#length] = row
    this.#place[row] = this.#length
    this.#length += 1
  }

  remove(row: Row): void {
    if (!this.has(row)) return
    const place = this.#place[row] as number
    this.#length -= 1
    const last = this.#rows[this.#length] as number
    this.#rows[place] = last
    this.#place[last] = place
    this.#place[row] = -1
  }
}
