import { type EvictionPolicy, noRow, type PolicySizes, type Row } from './eviction.ts'
import { LeafTree } from './leaf-tree.ts'
import { RowHeap } from './row-heap.ts'

/** How a leaf-only policy ranks a block; the smallest rank leaves first. */
export interface LeafRank {
  /** Rank at insertion and at each use. `visit` counts the requests, `depth` is the position in the chain. */
  rank(row: Row, isHit: boolean, visit: number, depth: number, before: number): number
  /** A block of this rank left by eviction. */
  evicted(rank: number): void
}

/** Leaf-only eviction by an exact rank: the resident leaf off the path with the smallest (rank, row) leaves.
 *  Ties go to the smaller row, so that a replay of one trace is reproducible. */
export class LeafOrder implements EvictionPolicy {
  readonly name: string
  readonly #tree: LeafTree
  readonly #heap: RowHeap
  readonly #rank: Float64Array
  readonly #ranker: LeafRank
  #visit = -1

  constructor(name: string, sizes: PolicySizes, ranker: LeafRank) {
    this.name = name
    this.#tree = new LeafTree(sizes.rowMax)
    this.#heap = new RowHeap(sizes.rowMax)
    this.#rank = new Float64Array(sizes.rowMax)
    this.#ranker = ranker
  }

  onVisit(rows: Int32Array, count: number): void {
    this.#visit += 1
    for (let at = 0; at < count; at += 1) {
      const row = rows[at] as number
      if (!this.#tree.isResident(row)) continue
      this.#tree.mark(row)
      this.#heap.remove(row)
      this.#rank[row] = this.#ranker.rank(row, true, this.#visit, at, this.#rank[row] as number)
    }
  }

  onAdd(row: Row, parent: Row, position: number): void {
    this.#heap.remove(parent)
    this.#tree.add(row, parent)
    this.#rank[row] = this.#ranker.rank(row, false, this.#visit, position, 0)
  }

  onVisitEnd(): void {
    this.#tree.unmark((row) => {
      if (this.#tree.childrenOf(row) === 0) this.#heap.set(row, this.#rank[row] as number)
    })
  }

  onDrop(row: Row, evicted: boolean): void {
    this.#heap.remove(row)
    if (evicted) this.#ranker.evicted(this.#rank[row] as number)
    const parent = this.#tree.drop(row)
    if (parent !== noRow && this.#tree.mayLeave(parent)) this.#heap.set(parent, this.#rank[parent] as number)
  }

  victim(held: (row: Row) => boolean): Row {
    return this.#heap.firstFree(held)
  }

  /** The rank of a resident row; the bench compares it with a newcomer's. */
  rankOf(row: Row): number {
    return this.#rank[row] as number
  }
}
