import type { PolicySizes, Row } from './eviction.ts'
import type { LeafRank } from './leaf-order.ts'

/** Recency breaks ties between equal counts; small enough never to outweigh a use. */
const recencyWeight = 1e-8

/** Last use, in requests. Over leaves only it equals leaf-first LRU. */
export function rankByRecency(): LeafRank {
  return { rank: (_row, _isHit, visit) => visit, evicted: () => {} }
}

/** Insertion, in requests. */
export function rankByAge(): LeafRank {
  return { rank: (_row, isHit, visit, _depth, before) => (isHit ? before : visit), evicted: () => {} }
}

/** Uses since insertion, optionally aged: with `ages`, a new block starts at the rank of the last victims.
 *  `depthWeight` makes deep blocks dearer (GDSF with the position as cost). */
class UseRank implements LeafRank {
  readonly #uses: Int32Array
  readonly #ages: boolean
  readonly #depthWeight: number
  #floor = 0

  constructor(rowMax: number, ages: boolean, depthWeight: number) {
    this.#uses = new Int32Array(rowMax)
    this.#ages = ages
    this.#depthWeight = depthWeight
  }

  rank(row: Row, isHit: boolean, visit: number, depth: number): number {
    const uses = isHit ? (this.#uses[row] as number) + 1 : 1
    this.#uses[row] = uses
    const recency = this.#depthWeight === 0 ? recencyWeight * visit : 0
    return this.#floor + uses * (1 + this.#depthWeight * depth) + recency
  }

  evicted(rank: number): void {
    if (this.#ages && rank > this.#floor) this.#floor = rank
  }
}

export const rankByUses = (sizes: PolicySizes): LeafRank => new UseRank(sizes.rowMax, false, 0)
export const rankByAgedUses = (sizes: PolicySizes): LeafRank => new UseRank(sizes.rowMax, true, 0)
export const rankByAgedDepthUses = (sizes: PolicySizes): LeafRank => new UseRank(sizes.rowMax, true, 0.01)
