import type { Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const all = 1

/** Least recently used: a use moves a block to the head, the tail leaves. */
export class Lru implements FlatPolicy {
  readonly #lists: RowLists

  constructor(rowMax: number) {
    this.#lists = new RowLists(rowMax, 1)
  }

  touch(row: Row): void {
    this.#lists.refresh(all, row)
  }

  reorder(row: Row): void {
    this.#lists.refresh(all, row)
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    return this.#lists.lastFree(all, held)
  }

  add(row: Row): void {
    this.#lists.pushHead(all, row)
  }

  drop(row: Row): void {
    this.#lists.remove(row)
  }

  forget(_row: Row): void {}
}

/** First in, first out: a use changes nothing. */
export class Fifo extends Lru {
  override touch(_row: Row): void {}

  override reorder(_row: Row): void {}
}
