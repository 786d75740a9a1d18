import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const small = 1
const main = 2
const ghost = 3
const countMax = 3

/** S3-FIFO: a small queue of a tenth filters one-shot blocks, the main queue gives used ones more rounds, and a
 *  ghost list of what the small queue dropped lets returning blocks in by the main door.
 *  `usesToStay` is 1 or 2: how often a block must be used while it waits in the small queue. */
export class S3Fifo implements FlatPolicy {
  readonly #lists: RowLists
  readonly #count: Uint8Array
  readonly #usesToStay: number
  readonly #smallTarget: number
  readonly #mainMax: number
  readonly #ghostMax: number

  constructor(rowMax: number, capacityBlocks: number, usesToStay: 1 | 2) {
    this.#lists = new RowLists(rowMax, 3)
    this.#count = new Uint8Array(rowMax)
    this.#usesToStay = usesToStay
    this.#smallTarget = Math.max(1, Math.floor(0.1 * capacityBlocks))
    this.#mainMax = usesToStay === 1 ? Number.POSITIVE_INFINITY : capacityBlocks - this.#smallTarget
    this.#ghostMax = Math.max(1, Math.floor(0.9 * capacityBlocks))
  }

  touch(row: Row): void {
    const count = this.#count[row] as number
    if (count < countMax) this.#count[row] = count + 1
  }

  miss(_row: Row): void {}

  victim(held: (row: Row) => boolean): Row {
    const steps = (countMax + 2) * (this.#lists.lengthOf(small) + this.#lists.lengthOf(main))
    for (let step = 0; step < steps; step += 1) {
      const row = this.#step(held)
      if (row !== noRow) return row
    }
    return noRow
  }

  /** Looks at one block: names it, or gives it another round. */
  #step(held: (row: Row) => boolean): Row {
    const lists = this.#lists
    const smallLength = lists.lengthOf(small)
    const mainLength = lists.lengthOf(main)
    if (
      mainLength <= this.#mainMax &&
      smallLength > 0 &&
      (smallLength >= this.#smallTarget || mainLength === 0)
    ) {
      const row = lists.tail(small)
      if (held(row)) return this.#round(row, small)
      if ((this.#count[row] as number) < this.#usesToStay) return row
      this.#count[row] = 0
      return this.#round(row, main)
    }
    const row = lists.tail(main)
    if (row === noRow) return noRow
    if (held(row)) return this.#round(row, main)
    const count = this.#count[row] as number
    if (count === 0) return row
    this.#count[row] = count - 1
    return this.#round(row, main)
  }

  #round(row: Row, to: number): Row {
    this.#lists.remove(row)
    this.#lists.pushHead(to, row)
    return noRow
  }

  add(row: Row): void {
    this.#count[row] = 0
    const returned = this.#lists.listOf(row) === ghost
    if (returned) this.#lists.remove(row)
    this.#lists.pushHead(returned ? main : small, row)
  }

  drop(row: Row, evicted: boolean): void {
    const remember = evicted && this.#lists.listOf(row) === small
    this.#lists.remove(row)
    if (!remember) return
    this.#lists.pushHead(ghost, row)
    if (this.#lists.lengthOf(ghost) > this.#ghostMax) this.#lists.remove(this.#lists.tail(ghost))
  }

  forget(row: Row): void {
    if (this.#lists.listOf(row) === ghost) this.#lists.remove(row)
  }
}
