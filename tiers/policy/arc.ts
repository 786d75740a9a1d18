import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const once = 1
const often = 2
const ghostOnce = 3
const ghostOften = 4

/** ARC: two LRU lists, blocks used once and blocks used again, whose shares follow the hits in their ghost lists. */
export class Arc implements FlatPolicy {
  readonly #lists: RowLists
  readonly #capacity: number
  /** Wanted length of `once`; moves with the ghost hits. */
  #target = 0
  /** Where the block that is being brought in was last seen. */
  #incoming: Row = noRow
  #incomingFrom = 0

  constructor(rowMax: number, capacityBlocks: number) {
    this.#lists = new RowLists(rowMax, 4)
    this.#capacity = capacityBlocks
  }

  touch(row: Row): void {
    if (this.#lists.listOf(row) === often) {
      this.#lists.refresh(often, row)
      return
    }
    this.#lists.remove(row)
    this.#lists.pushHead(often, row)
  }

  miss(row: Row): void {
    const lists = this.#lists
    const from = lists.listOf(row)
    this.#incoming = row
    this.#incomingFrom = from
    const onceGhosts = lists.lengthOf(ghostOnce)
    const oftenGhosts = lists.lengthOf(ghostOften)
    if (from === ghostOnce) {
      this.#target = Math.min(this.#capacity, this.#target + Math.max(1, oftenGhosts / onceGhosts))
    } else if (from === ghostOften) {
      this.#target = Math.max(0, this.#target - Math.max(1, onceGhosts / oftenGhosts))
    } else {
      this.#trimGhosts()
    }
  }

  /** Keeps |once| + |ghostOnce| within the capacity and everything within twice of it. */
  #trimGhosts(): void {
    const lists = this.#lists
    const first = lists.lengthOf(once) + lists.lengthOf(ghostOnce)
    const total = first + lists.lengthOf(often) + lists.lengthOf(ghostOften)
    if (first >= this.#capacity) {
      if (lists.lengthOf(once) < this.#capacity) this.#forgetTail(ghostOnce)
    } else if (total >= 2 * this.#capacity) {
      this.#forgetTail(ghostOften)
    }
  }

  #forgetTail(list: number): void {
    const row = this.#lists.tail(list)
    if (row !== noRow) this.#lists.remove(row)
  }

  victim(held: (row: Row) => boolean): Row {
    const lists = this.#lists
    const length = lists.lengthOf(once)
    const overTarget = length > this.#target || (this.#incomingFrom === ghostOften && length === this.#target)
    const fromOnce = length > 0 && (overTarget || lists.lengthOf(often) === 0)
    const row = lists.lastFree(fromOnce ? once : often, held)
    return row === noRow ? lists.lastFree(fromOnce ? often : once, held) : row
  }

  add(row: Row): void {
    const from = this.#lists.listOf(row)
    if (from !== 0) this.#lists.remove(row)
    const known = this.#incoming === row && this.#incomingFrom !== 0
    this.#lists.pushHead(known ? often : once, row)
    this.#incoming = noRow
    this.#incomingFrom = 0
  }

  drop(row: Row, evicted: boolean): void {
    const from = this.#lists.listOf(row)
    // A full `once` list has no ghosts: its victim is forgotten, as the textbook has it.
    const whole = from === once && this.#lists.lengthOf(once) >= this.#capacity && this.#incomingFrom === 0
    this.#lists.remove(row)
    if (evicted && !whole) this.#lists.pushHead(from === once ? ghostOnce : ghostOften, row)
  }

  forget(row: Row): void {
    const list = this.#lists.listOf(row)
    if (list === ghostOnce || list === ghostOften) this.#lists.remove(row)
  }
}
