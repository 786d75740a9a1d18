import { noRow, type Row } from './eviction.ts'
import type { FlatPolicy } from './flat.ts'
import { RowLists } from './row-lists.ts'

const recent = 1
const probation = 2
const guarded = 3
const countMax = 15

/** W-TinyLFU: a small LRU window in front of a segmented LRU; a block that leaves the window enters the main
 *  part only if it was used more often than the one it would replace. Counts are exact, one per row. */
export class TinyLfu implements FlatPolicy {
  readonly #lists: RowLists
  readonly #count: Uint8Array
  readonly #windowMax: number
  readonly #mainMax: number
  readonly #guardedMax: number
  readonly #agePeriod: number
  #counted = 0

  constructor(rowMax: number, capacityBlocks: number, windowShare: number) {
    this.#lists = new RowLists(rowMax, 3)
    this.#count = new Uint8Array(rowMax)
    this.#windowMax = Math.max(1, Math.floor(windowShare * capacityBlocks))
    this.#mainMax = capacityBlocks - this.#windowMax
    this.#guardedMax = Math.floor(0.8 * this.#mainMax)
    this.#agePeriod = 10 * capacityBlocks
  }

  #countUse(row: Row): void {
    const count = this.#count[row] as number
    if (count < countMax) this.#count[row] = count + 1
    this.#counted += 1
    if (this.#counted < this.#agePeriod) return
    for (let at = 0; at < this.#count.length; at += 1) this.#count[at] = (this.#count[at] as number) >> 1
    this.#counted >>= 1
  }

  touch(row: Row): void {
    this.#countUse(row)
    const list = this.#lists.listOf(row)
    if (list !== probation) {
      this.#lists.refresh(list, row)
      return
    }
    this.#move(row, guarded)
    if (this.#lists.lengthOf(guarded) > this.#guardedMax) this.#move(this.#lists.tail(guarded), probation)
  }

  #move(row: Row, to: number): void {
    this.#lists.remove(row)
    this.#lists.pushHead(to, row)
  }

  miss(row: Row): void {
    this.#countUse(row)
  }

  victim(held: (row: Row) => boolean): Row {
    const lists = this.#lists
    const mainRow = lists.lastFree(probation, held)
    const loser = mainRow === noRow ? lists.lastFree(guarded, held) : mainRow
    if (lists.lengthOf(recent) < this.#windowMax && loser !== noRow) return loser
    const candidate = lists.lastFree(recent, held)
    if (candidate === noRow) return loser
    if (loser === noRow) return candidate
    if ((this.#count[candidate] as number) <= (this.#count[loser] as number)) return candidate
    this.#move(candidate, probation)
    return loser
  }

  add(row: Row): void {
    this.#lists.pushHead(recent, row)
    if (this.#lists.lengthOf(recent) <= this.#windowMax) return
    if (this.#lists.lengthOf(probation) + this.#lists.lengthOf(guarded) >= this.#mainMax) return
    this.#move(this.#lists.tail(recent), probation)
  }

  drop(row: Row): void {
    this.#lists.remove(row)
  }

  forget(row: Row): void {
    this.#count[row] = 0
  }
}
