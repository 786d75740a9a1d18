import { noRow, type Row } from './eviction.ts'
import type { RowLists } from './row-lists.ts'

/** A hand that goes round a list, from the oldest row to the newest and back to the oldest. Whoever moves or removes a row tells it
 *  before, so that it stays at its age. */
export class RowHand {
  readonly #lists: RowLists
  readonly #list: number
  /** The row that is next; none where the round begins. */
  #at = noRow

  constructor(lists: RowLists, list: number) {
    this.#lists = lists
    this.#list = list
  }

  /** The row under the hand, which moves on; `noRow` for an empty list. */
  next(): Row {
    const row = this.#at === noRow ? this.#lists.tail(this.#list) : this.#at
    if (row !== noRow) this.#at = this.#lists.newer(row)
    return row
  }

  /** The row is about to leave its place. */
  leaves(row: Row): void {
    if (row === this.#at) this.#at = this.#lists.newer(row)
  }
}
