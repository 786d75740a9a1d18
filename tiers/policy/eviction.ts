/** A block as a policy sees it: a small dense number given by the caller (a row of the daemon's block
 *  table, or a node of the bench's trie). It is reused only after `onDrop`. */
export type Row = number

/** No row: the answer of `victim` when every resident row is held, and the parent of a root. */
export const noRow: Row = -1

/** Chooses which block to give up. It sees rows, positions and times, never keys, bytes, files or clocks, so
 *  the same object runs in the daemon and in the bench.
 *
 *  The caller's order for one request: `onVisit` once with the whole chain, then `onAdd` for each block
 *  that was brought in, then `onVisitEnd`. Between the two visits the rows of the chain are never named as victims by a
 *  tree-aware policy; flat policies may name them unless the caller holds them.
 *
 *  Invariant: a policy knows exactly the rows that were added and not dropped. */
export interface EvictionPolicy {
  readonly name: string
  /** A request walked this chain: `rows[0..count)`, root first, `noRow` where a block has no row yet.
   *  The first `readyCount` of them were ready (hits). Resident rows behind the first gap count as touched. */
  onVisit(rows: Int32Array, count: number, readyCount: number, nowMs: number): void
  /** A block became resident. `parent` is the row of the block before it (`noRow` for a root or when the parent
   *  is not resident), `position` its index in the chain, `chainLength` the length of the request's chain. */
  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number): void
  /** The request is over. */
  onVisitEnd(): void
  /** A block left, by eviction or otherwise. `evicted` is true when it left because `victim` named it. */
  onDrop(row: Row, evicted: boolean, nowMs: number): void
  /** The row to give up next, or `noRow` when every candidate is held. */
  victim(held: (row: Row) => boolean, nowMs: number): Row
}
