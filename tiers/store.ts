import type { KvEvent } from './block/event.ts'
import type { NamespaceId, TierName } from './block/id.ts'
import type { Place } from './block/layout.ts'
import type { Namespace } from './block/namespace.ts'
import type { RouteHash } from './block/route.ts'
import type { LoadStop, StoreDrop } from './block/wire.ts'
import type { TierUsage } from './tier.ts'

/** How far a `clear` goes down the tiers. */
export const clearWhiches = ['host', 'local', 'all'] as const
export type ClearWhich = (typeof clearWhiches)[number]

export type TierCounts = Readonly<Record<TierName, number>>

/** Blocks of an engine: the ones of a place in one of its regions, by their index there. */
export type EngineBlocks = {
  readonly region: number
  readonly place: Place
  /** Index in the place for each block of the request's range. */
  readonly indexes: Uint32Array
}

export type LookupAnswer = {
  /** Consecutive blocks from the start of the chain that could be loaded now. */
  readonly readyBlocks: number
  readonly byTier: TierCounts
  /** What loading them would take, in milliseconds, from measured rates. */
  readonly loadMs: number
}
export type LoadWanted = {
  readonly firstBlock: number
  readonly blockCount: number
  readonly into: EngineBlocks
  /** On the monotonic clock. */
  readonly deadlineMs: number
  /** What a block costs the engine to compute; 0 when unknown (then loading is taken to be worth it). */
  readonly prefillMsPerBlock: number
}
export type LoadAnswer = {
  readonly readyBlocks: number
  readonly byTier: TierCounts
  readonly stop: LoadStop
  /** How many consecutive blocks from the chain's start the store knew of, whatever was then loaded. */
  readonly knownBlocks: number
}
export type StoreWanted = {
  readonly firstBlock: number
  readonly blockCount: number
  readonly from: EngineBlocks
  /** Tokens that the request was answered with; 0 when unknown. */
  readonly answerTokens: number
}
export type StoreAnswer = {
  readonly storedBlocks: number
  readonly alreadyBlocks: number
  readonly droppedBlocks: number
  readonly drop: StoreDrop
}

/** Everything the daemon asks of the tiers. Nothing here throws for an expected outcome, and nothing waits past its
 *  deadline. */
export interface BlockStore {
  /** Interns a namespace; the same one gives the same number. Null when too many are open. */
  openNamespace(namespace: Namespace): NamespaceId | null
  lookup(namespace: NamespaceId, tokens: Uint32Array): LookupAnswer
  load(namespace: NamespaceId, tokens: Uint32Array, wanted: LoadWanted): Promise<LoadAnswer>
  store(namespace: NamespaceId, tokens: Uint32Array, wanted: StoreWanted): Promise<StoreAnswer>
  routeHashes(namespace: NamespaceId, tokens: Uint32Array): readonly RouteHash[]
  /** Takes over a descriptor of an engine's memory. Throws KvFailure KVT_REGION_BAD. */
  attachRegion(descriptor: number, byteCount: number, writable: boolean): number
  /** Takes over GPU memory of an engine, once it is open; from the first one on host memory is page-locked. Throws KvFailure
   *  KVT_REGION_BAD. */
  attachDevice(opening: Promise<number>): Promise<number>
  /** Resolves when no copy touches the region any more. */
  detachRegion(region: number): Promise<void>
  /** What the node's tiers stored and dropped, in order. One listener. */
  onEvent(listener: (event: KvEvent) => void): void
  /** The same as state: one `stored` event per holder. */
  holdings(): readonly KvEvent[]
  usage(): Readonly<Record<Exclude<TierName, 'hbm'>, TierUsage>>
  /** Drops blocks, for tests and operators: what a lost process loses (`host`), what a lost disk loses (`local`), or all. */
  clear(which: ClearWhich): Promise<void>
  /** Writes back what is only in host memory, within the deadline, then ends. */
  close(deadlineMs: number): Promise<void>
}
