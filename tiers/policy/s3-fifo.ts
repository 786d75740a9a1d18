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
    const fromSmall = this.#isSmallDue() ? this.#fromSmall(held) : noRow
    if (fromSmall !== noRow) return fromSmall
    const fromMain = this.#fromMain(held)
    return fromMain === noRow ? this.#fromSmall(held) : fromMain
  }

  #isSmallDue(): boolean {
    const mainLength = this.#lists.lengthOf(main)
    if (mainLength > this.#mainMax) return false
    return mainLength === 0 || this.#lists.lengthOf(small) >= this.#smallTarget
  }

  /** Once begun, the small queue is walked until a block leaves, however short it becomes: used ones go to the main queue. */
  #fromSmall(held: (row: Row) => boolean): Row {
    for (let left = this.#lists.lengthOf(small); left > 0; left -= 1) {
      const row = this.#lists.tail(small)
      if (held(row)) {
        this.#round(row, small)
        continue
      }
      if ((this.#count[row] as number) < this.#usesToStay) return row
      this.#count[row] = 0
      this.#round(row, main)
      if (this.#lists.lengthOf(main) > this.#mainMax) return noRow
    }
    return noRow
  }

  #fromMain(held: (row: Row) => boolean): Row {
    for (let left = (countMax + 1) * this.#lists.lengthOf(main); left > 0; left -= 1) {
      const row = this.#lists.tail(main)
      const count = this.#count[row] as number
      if (!held(row)) {
        if (count === 0) return row
        this.#count[row] = count - 1
      }
      this.#round(row, main)
    }
    return noRow
  }

  #round(row: Row, to: number): void {
    this.#lists.remove(row)
    this.#lists.pushHead(to, row)
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
