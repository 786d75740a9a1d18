/** A block as a policy sees it: a small dense number given by the caller (a row of the daemon's block
 *  table, or a node of the bench's trie). It is reused only after `onDrop`. */
export type Row = number

/** No row: the answer of `victim` when every resident row is held, and the parent of a root. */
export const noRow: Row = -1

/** How soon a block is expected back, as told by a client or inferred by the router. */
export type HintClass = 'none' | 'soon' | 'minutes' | 'later' | 'never'

/** What is known about a visit beside its chain. Every field may be absent: a policy works without it. */
export type VisitNotes = {
  readonly hint: HintClass
  /** The hint was inferred from what happened before; nobody told it. */
  readonly hintIsGuess?: boolean
  /** Milliseconds to the next request of the same session, or null when nobody can tell. */
  readonly expectNextMs: number | null
  /** Dense tenant number, 0 when there is only one. */
  readonly tenant: number
  /** Per position a number that names the block for longer than it is resident (52 bits of its key), or null
   *  when there is none. With names, a policy learns from blocks that were evicted or never brought in. */
  readonly names: Float64Array | null
}

/** The notes of a visit about which nothing is known. */
export const noNotes: VisitNotes = { hint: 'none', expectNextMs: null, tenant: 0, names: null }

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
  /** A request walked this chain: `rows[0..count)`, root first, `noRow` (or a row that is not resident) where a
   *  block is absent. The first `readyCount` were ready (hits). Resident rows behind the first gap count as touched. */
  onVisit(rows: Int32Array, count: number, readyCount: number, nowMs: number, notes?: VisitNotes): void
  /** A request that was told of has brought in more blocks: where the order of residence alone decides, the blocks of its
   *  chain come newest again, so that none of them leaves before those behind it. It is no further use. */
  reorder?(rows: Int32Array, count: number): void
  /** A block became resident. `parent` is the row of the block before it (`noRow` for a root or when the parent
   *  is not resident), `position` its index in the chain, `chainLength` the length of the request's chain.
   *  `name` is as in `VisitNotes.names`: policies that remember what they evicted recognise it by this number. */
  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number, name?: number): void
  /** The request that was told of last with this chain was answered with so many tokens (0: nobody knows), for a policy that
   *  learns from it: after its visit, before its blocks are added where they come when it has ended, as an engine's adapter
   *  gives them. */
  onAnswer?(rows: Int32Array, count: number, answerTokens: number, names?: VisitNotes['names']): void
  /** The request is over. */
  onVisitEnd(): void
  /** A block left, by eviction or otherwise. `evicted` is true when it left because `victim` named it. */
  onDrop(row: Row, evicted: boolean, nowMs: number): void
  /** The row to give up next, or `noRow` when every candidate is held. */
  victim(held: (row: Row) => boolean, nowMs: number): Row
  /** Tells a policy that cares what lies below its tier; once, before the first visit. Where it is implemented, a newcomer that
   *  the tier below holds may be refused without ending the chain. */
  over?(below: TierBelow): void
  /** The tier below stored a block that is resident here. */
  onStoredBelow?(row: Row): void
  /** Chance that a block is used within `horizonMs`, or null when nothing is known of it or nothing has been learned.
   *  An absent block (`noRow`) is known by its name. */
  chanceOfUse?(row: Row, nowMs: number, horizonMs: number, name?: number): number | null
}

/** What a policy may know of the tier below its own. */
export type TierBelow = {
  readonly holds: (row: Row) => boolean
  /** How long a block that is stored there now may expect to stay. */
  readonly stayMs: () => number
  /** Chance of a use from which on a write there pays. */
  readonly bar: number
}

/** What a policy is built from. `chance` gives 32 random bits; it comes from the World. */
export type PolicySizes = {
  /** Rows are below this number. */
  readonly rowMax: number
  /** Blocks the tier holds when it is full, as far as anybody can tell: where sizes differ it may come to hold more. */
  readonly capacityBlocks: number
  readonly chance: () => number
  /** True when a row always means the same block, resident or not, so that rows are names (the bench's nodes).
   *  Chains may then hold rows that are not resident. */
  readonly rowsAreNames?: boolean
}
