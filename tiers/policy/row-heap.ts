import { noRow, type Row } from './eviction.ts'

/** Rows ordered by (priority, row), smallest first, each at most once; removal and change of any row. */
export class RowHeap {
  readonly #rows: Int32Array
  readonly #place: Int32Array
  readonly #priority: Float64Array
  #length = 0

  constructor(rowMax: number) {
    this.#rows = new Int32Array(rowMax)
    this.#place = new Int32Array(rowMax).fill(-1)
    this.#priority = new Float64Array(rowMax)
  }

  get length(): number {
    return this.#length
  }

  has(row: Row): boolean {
    return row !== noRow && (this.#place[row] as number) >= 0
  }

  priorityOf(row: Row): number {
    return this.#priority[row] as number
  }

  /** The smallest, or `noRow`. */
  peek(): Row {
    return this.#length === 0 ? noRow : (this.#rows[0] as number)
  }

  /** Puts a row in, or moves it when it is in already. */
  set(row: Row, priority: number): void {
    this.#priority[row] = priority
    let place = this.#place[row] as number
    if (place < 0) {
      place = this.#length
      this.#length += 1
      this.#put(row, place)
    }
    this.#sink(this.#rise(place))
  }

  /** Takes a row out; a row that is not in, or `noRow`, is left alone. */
  remove(row: Row): void {
    if (!this.has(row)) return
    const place = this.#place[row] as number
    this.#place[row] = -1
    this.#length -= 1
    if (place === this.#length) return
    this.#put(this.#rows[this.#length] as number, place)
    this.#sink(this.#rise(place))
  }

  /** The smallest row that is not held, or `noRow`. Held rows stay in; they are few (pins, copies in flight). */
  firstFree(held: (row: Row) => boolean): Row {
    const top = this.peek()
    if (top === noRow || !held(top)) return top
    const aside: Row[] = []
    let found = noRow
    while (this.#length > 0) {
      const row = this.peek()
      if (!held(row)) {
        found = row
        break
      }
      aside.push(row)
      this.remove(row)
    }
    for (const row of aside) this.set(row, this.priorityOf(row))
    return found
  }

  #put(row: Row, place: number): void {
    this.#rows[place] = row
    this.#place[row] = place
  }

  #before(left: Row, right: Row): boolean {
    const a = this.#priority[left] as number
    const b = this.#priority[right] as number
    return a < b || (a === b && left < right)
  }

  #rise(from: number): number {
    const row = this.#rows[from] as number
    let place = from
    while (place > 0) {
      const up = (place - 1) >> 1
      const above = this.#rows[up] as number
      if (!this.#before(row, above)) break
      this.#put(above, place)
      place = up
    }
    this.#put(row, place)
    return place
  }

  #sink(from: number): void {
    const row = this.#rows[from] as number
    let place = from
    for (;;) {
      let down = 2 * place + 1
      if (down >= this.#length) break
      if (
        down + 1 < this.#length &&
        this.#before(this.#rows[down + 1] as number, this.#rows[down] as number)
      ) {
        down += 1
      }
      const below = this.#rows[down] as number
      if (!this.#before(below, row)) break
      this.#put(below, place)
      place = down
    }
    this.#put(row, place)
  }
}
