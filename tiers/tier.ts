import type { BlockKey, NamespaceId, TierName } from './block/id.ts'
import type { Damage, Seal, SealWanted } from './block/seal.ts'

/** Where in host memory the payload of a block lies or shall lie. */
export type HostSpan = { readonly region: number; readonly offset: number; readonly byteCount: number }

/** Everything a tier may answer to a read. There is no boolean: a caller cannot mistake damage for success. */
export type ReadResult =
  /** The payload is in the span, and its seal was checked field by field. */
  | { readonly as: 'found'; readonly seal: Seal }
  | { readonly as: 'missing' }
  /** `quiet` is there when a copy into the span may still be under way; it resolves once the span is still. */
  | { readonly as: 'busy'; readonly retryAfterMs: number; readonly quiet?: Promise<void> }
  | { readonly as: 'damaged'; readonly why: Damage }
  | { readonly as: 'failed'; readonly why: string }

export type WriteResult =
  | { readonly as: 'written' }
  /** The tier holds the block already. */
  | { readonly as: 'already' }
  | { readonly as: 'refused'; readonly why: 'no_room' | 'resting' | 'too_large' | 'stopping' }
  | { readonly as: 'failed'; readonly why: string }

export type ReadWanted = {
  readonly wanted: SealWanted
  readonly namespace: NamespaceId
  readonly into: HostSpan
}
export type WriteWanted = { readonly seal: Seal; readonly namespace: NamespaceId; readonly from: HostSpan }

/** A tier below host memory. The store above it decides what goes in and out; the tier says how it went. A tier that keeps
 *  failing rests by itself and answers `busy` meanwhile: the others serve on. */
export interface ColdTier {
  readonly name: Extract<TierName, 'nvme' | 's3'>
  /** What the tier knows of a block right now, without waiting: its bytes, or null for absent. */
  bytesOf(key: BlockKey): number | null
  /** How many blocks of this size it could hold at most; infinite without a limit. */
  blocksMaxOf(payloadBytes: number): number
  /** One result per wanted block, in their order. Ends by the deadline at the latest, with `busy` for the rest. */
  read(wanted: readonly ReadWanted[], deadlineMs: number): Promise<readonly ReadResult[]>
  /** One result per block, in their order. The spans must not change until the promise ends. */
  write(blocks: readonly WriteWanted[]): Promise<readonly WriteResult[]>
  /** Forgets a block: because it was evicted, or found damaged by the caller. */
  drop(key: BlockKey): void
  /** Says that blocks of this namespace will be asked for: a tier shared with other daemons looks for what they
   *  stored in it. */
  openNamespace?(namespace: BlockKey): void
  /** Blocks that appeared or went without a call of ours (recovery, another daemon's pack, a rotten file). */
  onChange(listener: (change: TierChange) => void): void
  usage(): TierUsage
  /** What a read of so many bytes would take now, in milliseconds, from measured rate and queue; null before any
   *  measurement. */
  readMsOf(byteCount: number): number | null
  close(): Promise<void>
}

export type TierChange =
  | { readonly kind: 'appeared'; readonly seals: readonly Seal[] }
  | {
      readonly kind: 'gone'
      readonly keys: readonly BlockKey[]
      readonly why: 'damaged' | 'tier_lost' | 'evicted'
    }

/** What the admission rule in front of a tier did since the start. */
export type AdmissionUsage = {
  readonly rule: string
  /** Blocks that it was asked about; a refused one is offered again later. */
  readonly offeredBlocks: number
  readonly refusedBlocksByWhy: Readonly<Record<string, number>>
  /** Share of the daily write budget in use; null without one. */
  readonly budgetUsed: number | null
  /** Set while it has admitted nothing for long: since when, in milliseconds, and how many blocks it refused. */
  readonly dry: { readonly ms: number; readonly blocks: number } | null
}

export type TierUsage = {
  readonly blockCount: number
  readonly usedBytes: number
  readonly capacityBytes: number
  readonly state: 'serving' | 'resting' | 'off'
  /** Why it rests or is off; empty while it serves. */
  readonly why: string
  /** Absent where no rule stands in front of the tier. */
  readonly admission?: AdmissionUsage
}
