import { noRow, type Row } from './eviction.ts'
import type { LeafTree } from './leaf-tree.ts'

/** The chain of the request that is being served, and which of its blocks would be brought in next. Nothing is served
 *  between two visits. */
export class ServedPath {
  #rows: Int32Array = new Int32Array(0)
  #count = 0
  #nextAt = 0

  begin(rows: Int32Array, count: number, nextAt: number): void {
    this.#rows = rows
    this.#count = count
    this.#nextAt = nextAt
  }

  end(): void {
    this.#count = 0
  }

  /** The block at this position came in, or is left out. */
  passed(position: number): void {
    this.#nextAt = position + 1
  }

  /** The position of the block that would be brought in next, or -1 when none is to come. */
  nextAbsent(tree: LeafTree): number {
    while (this.#nextAt < this.#count && tree.isResident(this.#rows[this.#nextAt] as number))
      this.#nextAt += 1
    return this.#nextAt < this.#count ? this.#nextAt : -1
  }

  rowAt(position: number): Row {
    return this.#rows[position] ?? noRow
  }

  /** Calls for every row of the chain from the last one on. */
  eachFromEnd(each: (row: Row) => void): void {
    for (let at = this.#count - 1; at >= 0; at -= 1) each(this.#rows[at] as number)
  }
}
