import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const fresh = 1
const main = 2
const ghost = 3

/** 2Q: new blocks queue in a quarter of the space; only those that come back after leaving it enter the main LRU. */
export class TwoQueue implements FlatPolicy {
  readonly #lists: RowLists
  readonly #freshMax: number
  readonly #ghostMax: number

  constructor(rowMax: number, capacityBlocks: number) {
    this.#lists = new RowLists(rowMax, 3)
    this.#freshMax = capacityBlocks / 4
    this.#ghostMax = Math.max(1, Math.floor(capacityBlocks / 2))
  }

  touch(row: Row): void {
    if (this.#lists.listOf(row) === main) this.#lists.refresh(main, row)
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    const fromFresh = this.#lists.lengthOf(fresh) > this.#freshMax || this.#lists.lengthOf(main) === 0
    const row = this.#lists.lastFree(fromFresh ? fresh : main, held)
    return row === noRow ? this.#lists.lastFree(fromFresh ? main : fresh, held) : row
  }

  add(row: Row): void {
    const returned = this.#lists.listOf(row) === ghost
    if (returned) this.#lists.remove(row)
    this.#lists.pushHead(returned ? main : fresh, row)
  }

  drop(row: Row, evicted: boolean): void {
    const remember = evicted && this.#lists.listOf(row) === fresh
    this.#lists.remove(row)
    if (!remember) return
    this.#lists.pushHead(ghost, row)
    if (this.#lists.lengthOf(ghost) > this.#ghostMax) this.#lists.remove(this.#lists.tail(ghost))
  }

  forget(row: Row): void {
    if (this.#lists.listOf(row) === ghost) this.#lists.remove(row)
  }
}
