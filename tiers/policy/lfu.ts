import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

/** Counts above this share one list and are told apart by recency only. */
const countMax = 65_534

/** Least frequently used: the smallest count leaves, the oldest use among equals. A count dies with its block
 *  and never ages, so blocks of dead sessions stay. One list per count keeps every step O(1). */
export class Lfu implements FlatPolicy {
  readonly #byCount: RowLists
  #lowest = 1

  constructor(rowMax: number) {
    this.#byCount = new RowLists(rowMax, countMax)
  }

  touch(row: Row): void {
    const count = this.#byCount.listOf(row)
    if (count === countMax) {
      this.#byCount.refresh(count, row)
      return
    }
    this.#byCount.remove(row)
    this.#byCount.pushHead(count + 1, row)
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    while (this.#lowest < countMax && this.#byCount.lengthOf(this.#lowest) === 0) this.#lowest += 1
    for (let count = this.#lowest; count <= countMax; count += 1) {
      const row = this.#byCount.lastFree(count, held)
      if (row !== noRow) return row
    }
    return noRow
  }

  add(row: Row): void {
    this.#byCount.pushHead(1, row)
    this.#lowest = 1
  }

  drop(row: Row): void {
    this.#byCount.remove(row)
  }

  forget(_row: Row): void {}
}
