import type { Row } from './eviction.ts'

/** A policy over single blocks that knows nothing of chains. The caller decides in which order the blocks of a
 *  request are touched (`FlatEviction`, or the bench's own loop).
 *
 *  Order of calls for one absent block: `miss`, then `victim` and `drop` as often as room is needed, then `add`. */
export interface FlatPolicy {
  /** A resident block was used. */
  touch(row: Row): void
  /** A resident block comes newest, without being used; absent where the order of use is not what decides. */
  reorder?(row: Row): void
  /** A block will be brought in. Policies with ghost memory adapt here. */
  miss(row: Row): void
  victim(held: (row: Row) => boolean, incoming: Row): Row
  add(row: Row): void
  drop(row: Row, evicted: boolean): void
  /** The number will mean another block: forget what is remembered of the absent one. */
  forget(row: Row): void
}

/** In which order the blocks of one request are touched: leaf-first leaves the root newest. */
export type TouchOrder = 'leaf-first' | 'root-first'

/** The `held` of a caller that holds nothing. */
export const holdsNothing = (_row: Row): boolean => false
