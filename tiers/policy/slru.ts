import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const probation = 1
const guarded = 2

/** Segmented LRU: a second use moves a block from probation to a protected segment of four fifths. */
export class Slru implements FlatPolicy {
  readonly #lists: RowLists
  readonly #guardedMax: number

  constructor(rowMax: number, capacityBlocks: number) {
    this.#lists = new RowLists(rowMax, 2)
    this.#guardedMax = Math.floor(0.8 * capacityBlocks)
  }

  touch(row: Row): void {
    if (this.#lists.listOf(row) === guarded) {
      this.#lists.refresh(guarded, row)
      return
    }
    this.#lists.remove(row)
    this.#lists.pushHead(guarded, row)
    if (this.#lists.lengthOf(guarded) <= this.#guardedMax) return
    const pushedOut = this.#lists.tail(guarded)
    this.#lists.remove(pushedOut)
    this.#lists.pushHead(probation, pushedOut)
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    const row = this.#lists.lastFree(probation, held)
    return row === noRow ? this.#lists.lastFree(guarded, held) : row
  }

  add(row: Row): void {
    this.#lists.pushHead(probation, row)
  }

  drop(row: Row): void {
    this.#lists.remove(row)
  }

  forget(_row: Row): void {}
}
