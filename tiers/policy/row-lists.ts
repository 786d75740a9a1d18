import { noRow, type Row } from './eviction.ts'

/** Several doubly linked lists over one set of rows, in typed arrays; a row is in at most one of them.
 *  List numbers start at 1, so that `listOf` is 0 for a row in none. Head = newest, tail = next to leave.
 *  Why sentinels at the front: insertion and removal have no branches. */
export class RowLists {
  readonly #next: Int32Array
  readonly #prev: Int32Array
  readonly #list: Uint8Array | Uint16Array
  readonly #lengths: Int32Array
  readonly #shift: number

  constructor(rowMax: number, listCount: number) {
    this.#shift = listCount + 1
    this.#next = new Int32Array(rowMax + this.#shift)
    this.#prev = new Int32Array(rowMax + this.#shift)
    this.#list = listCount < 256 ? new Uint8Array(rowMax) : new Uint16Array(rowMax)
    this.#lengths = new Int32Array(this.#shift)
    for (let list = 0; list < this.#shift; list += 1) {
      this.#next[list] = list
      this.#prev[list] = list
    }
  }

  listOf(row: Row): number {
    return this.#list[row] as number
  }

  lengthOf(list: number): number {
    return this.#lengths[list] as number
  }

  pushHead(list: number, row: Row): void {
    const at = row + this.#shift
    const first = this.#next[list] as number
    this.#next[at] = first
    this.#prev[at] = list
    this.#prev[first] = at
    this.#next[list] = at
    this.#list[row] = list
    this.#lengths[list] = (this.#lengths[list] as number) + 1
  }

  remove(row: Row): void {
    const at = row + this.#shift
    const after = this.#next[at] as number
    const before = this.#prev[at] as number
    this.#next[before] = after
    this.#prev[after] = before
    const list = this.#list[row] as number
    this.#list[row] = 0
    this.#lengths[list] = (this.#lengths[list] as number) - 1
  }

  /** Moves a row that is in `list` to its head. Cheaper than remove and push: no counters change. */
  refresh(list: number, row: Row): void {
    const at = row + this.#shift
    const before = this.#prev[at] as number
    if (before === list) return
    const after = this.#next[at] as number
    this.#next[before] = after
    this.#prev[after] = before
    const first = this.#next[list] as number
    this.#next[at] = first
    this.#prev[at] = list
    this.#prev[first] = at
    this.#next[list] = at
  }

  tail(list: number): Row {
    const at = this.#prev[list] as number
    return at === list ? noRow : at - this.#shift
  }

  head(list: number): Row {
    const at = this.#next[list] as number
    return at === list ? noRow : at - this.#shift
  }

  /** The neighbour towards the head, `noRow` at the head. */
  newer(row: Row): Row {
    const at = this.#prev[row + this.#shift] as number
    return at < this.#shift ? noRow : at - this.#shift
  }

  /** The neighbour towards the tail, `noRow` at the tail. */
  older(row: Row): Row {
    const at = this.#next[row + this.#shift] as number
    return at < this.#shift ? noRow : at - this.#shift
  }

  /** The row nearest to the tail that the caller does not hold. */
  lastFree(list: number, held: (row: Row) => boolean): Row {
    for (let row = this.tail(list); row !== noRow; row = this.newer(row)) {
      if (!held(row)) return row
    }
    return noRow
  }
}
