import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const all = 1

/** Second chance: a use sets a bit; the tail leaves unless its bit is set, which buys one more round. */
export class Clock implements FlatPolicy {
  readonly #lists: RowLists
  readonly #used: Uint8Array

  constructor(rowMax: number) {
    this.#lists = new RowLists(rowMax, 1)
    this.#used = new Uint8Array(rowMax)
  }

  touch(row: Row): void {
    this.#used[row] = 1
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    const rounds = 2 * this.#lists.lengthOf(all)
    for (let step = 0; step < rounds; step += 1) {
      const row = this.#lists.tail(all)
      if (this.#used[row] === 0 && !held(row)) return row
      if (!held(row)) this.#used[row] = 0
      this.#lists.refresh(all, row)
    }
    return noRow
  }

  add(row: Row): void {
    this.#used[row] = 0
    this.#lists.pushHead(all, row)
  }

  drop(row: Row): void {
    this.#lists.remove(row)
  }

  forget(_row: Row): void {}
}

/** SIEVE: like CLOCK, but survivors keep their place and a hand walks from the tail to the head.
 *  New blocks enter at the head, so on chains the hand settles just behind them and the policy acts like LFU. */
export class Sieve implements FlatPolicy {
  readonly #lists: RowLists
  readonly #used: Uint8Array
  #hand: Row = noRow

  constructor(rowMax: number) {
    this.#lists = new RowLists(rowMax, 1)
    this.#used = new Uint8Array(rowMax)
  }

  touch(row: Row): void {
    this.#used[row] = 1
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    const steps = 2 * this.#lists.lengthOf(all)
    for (let step = 0; step < steps; step += 1) {
      const row = this.#hand === noRow ? this.#lists.tail(all) : this.#hand
      if (this.#used[row] === 0 && !held(row)) {
        this.#hand = row
        return row
      }
      if (!held(row)) this.#used[row] = 0
      this.#hand = this.#lists.newer(row)
    }
    return noRow
  }

  add(row: Row): void {
    this.#used[row] = 0
    this.#lists.pushHead(all, row)
  }

  drop(row: Row): void {
    if (this.#hand === row) this.#hand = this.#lists.newer(row)
    this.#lists.remove(row)
  }

  forget(_row: Row): void {}
}
