import type { Native } from '../../addon/native.ts'
import { assert } from '../block/assert.ts'
import type { World } from '../block/clock.ts'
import type { BlockKey } from '../block/id.ts'
import {
  packBlocksMax,
  packBytesMax,
  packBytesTarget,
  packWaitingBytesMax,
  packWaitMsMax,
  s3BytesPerSecondMin,
  s3RequestMsMax,
} from '../block/limits.ts'
import type { WriteResult, WriteWanted } from '../tier.ts'
import type { Answer, Bucket, CallOptions } from './bucket.ts'
import { namespaceFolder, type ObjectNames, type PackNames } from './name.ts'
import { blockSpanBytes, headerPageBytes, indexBytes, layPack, type PackIndex, packParts } from './pack.ts'
import { type Capabilities, checksumText } from './probe.ts'
import { refusalText } from './refusal.ts'

type Waiting = {
  readonly wanted: WriteWanted
  readonly result: Promise<WriteResult>
  readonly settle: (result: WriteResult) => void
}
/** Blocks of one namespace that wait for their pack to fill. */
type Pile = { readonly blocks: Waiting[]; spanBytes: number; readonly cancelTimer: () => void }

export type WriterParts = {
  readonly native: Pick<Native, 'windowOf' | 'crc32c'>
  readonly world: World
  readonly bucket: Bucket
  readonly names: ObjectNames
  readonly packNames: PackNames
  capabilities(): Capabilities
  /** The pack and its index are stored. */
  onStored(index: PackIndex): void
}

/** Gathers blocks into packs and stores those: pack first, then its index, so that what is listed is whole. Payloads are sent
 *  from host memory; nothing is copied. */
export class Writer {
  readonly #parts: WriterParts
  readonly #piles = new Map<BlockKey, Pile>()
  /** Blocks that wait or are under way, by key. */
  readonly #pending = new Map<BlockKey, Waiting>()
  readonly #storing = new Set<Promise<void>>()
  #pendingBytes = 0

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  write(wanted: WriteWanted): Promise<WriteResult> {
    const { seal, from } = wanted
    const earlier = this.#pending.get(seal.key)
    if (earlier !== undefined) {
      return earlier.result.then((result) => (result.as === 'written' ? { as: 'already' } : result))
    }
    assert(from.byteCount === seal.payloadBytes, 'the span is as long as the sealed payload')
    const spanBytes = blockSpanBytes(seal.payloadBytes)
    if (headerPageBytes + spanBytes > packBytesMax) return refusedFor('too_large')
    if (this.#pendingBytes + seal.payloadBytes > packWaitingBytesMax) return refusedFor('no_room')
    let settle: (result: WriteResult) => void = () => undefined
    const result = new Promise<WriteResult>((resolve) => {
      settle = resolve
    })
    const waiting: Waiting = { wanted, result, settle }
    this.#pending.set(seal.key, waiting)
    this.#pendingBytes += seal.payloadBytes
    this.#pile(waiting, spanBytes)
    return result
  }

  /** Stores what waits, without waiting for packs to fill. */
  async flush(): Promise<void> {
    for (const namespace of [...this.#piles.keys()]) this.#start(namespace)
    while (this.#storing.size > 0) await Promise.all(this.#storing)
  }

  #pile(waiting: Waiting, spanBytes: number): void {
    const namespace = waiting.wanted.seal.namespace
    const held = this.#piles.get(namespace)
    if (held !== undefined && held.spanBytes + spanBytes > packBytesTarget) this.#start(namespace)
    let pile = this.#piles.get(namespace)
    if (pile === undefined) {
      const cancelTimer = this.#parts.world.after(packWaitMsMax, () => this.#start(namespace))
      pile = { blocks: [], spanBytes: 0, cancelTimer }
      this.#piles.set(namespace, pile)
    }
    pile.blocks.push(waiting)
    pile.spanBytes += spanBytes
    if (pile.spanBytes >= packBytesTarget || pile.blocks.length >= packBlocksMax) this.#start(namespace)
  }

  #start(namespace: BlockKey): void {
    const pile = this.#piles.get(namespace)
    if (pile === undefined) return
    this.#piles.delete(namespace)
    pile.cancelTimer()
    const storing = this.#store(pile).finally(() => this.#storing.delete(storing))
    this.#storing.add(storing)
  }

  async #store(pile: Pile): Promise<void> {
    const { native, world, packNames } = this.#parts
    let result: WriteResult = { as: 'failed', why: 'the pack could not be laid out' }
    try {
      const id = packNames.next(world.wallMs())
      const index = layPack(
        id,
        pile.blocks.map(({ wanted }) => wanted.seal),
      )
      const payloads = pile.blocks.map(({ wanted: { from } }) =>
        native.windowOf(from.region, from.offset, from.byteCount),
      )
      result = await this.#storePack(index, payloads)
      if (result.as === 'written') this.#parts.onStored(index)
    } finally {
      for (const { wanted, settle } of pile.blocks) {
        this.#pending.delete(wanted.seal.key)
        this.#pendingBytes -= wanted.seal.payloadBytes
        settle(result)
      }
    }
  }

  async #storePack(index: PackIndex, payloads: readonly Uint8Array[]): Promise<WriteResult> {
    const { native, names } = this.#parts
    const sum = (bytes: Uint8Array, previous: number): number => native.crc32c(bytes, previous)
    const folder = namespaceFolder(index.namespace)
    const stored = await this.#put(names.pack(folder, index.id), packParts(index, payloads, sum))
    if (stored !== null) return { as: 'failed', why: stored }
    const listed = await this.#put(names.index(folder, index.id), [indexBytes(index, sum)])
    // Without its index the pack is a leftover, which discovery removes when it is old.
    return listed === null ? { as: 'written' } : { as: 'failed', why: listed }
  }

  /** Stores one object; null when it is there, else why not. */
  async #put(name: string, parts: readonly Uint8Array[]): Promise<string | null> {
    const { native, bucket, world } = this.#parts
    const { conditionalPut, checksumEcho } = this.#parts.capabilities()
    const byteCount = parts.reduce((sum, part) => sum + part.length, 0)
    const checksum = checksumEcho
      ? checksumText(parts.reduce((sum, part) => native.crc32c(part, sum), 0))
      : null
    const call: CallOptions = {
      urgency: 'background',
      deadlineMs: world.nowMs() + 2 * s3RequestMsMax + (byteCount / s3BytesPerSecondMin) * 1_000,
    }
    const answer: Answer<{ readonly checksumEchoed: boolean }> = await bucket.put(
      name,
      parts,
      { onlyNew: conditionalPut, checksum },
      call,
    )
    if (answer.as === 'ok') return null
    if (answer.as !== 'exists') return refusalText(answer)
    // An earlier try of this very write was stored, and only its answer was lost.
    return answer.again ? null : 'another daemon uses this daemon id: give each its own data directory'
  }
}

function refusedFor(why: 'too_large' | 'no_room'): Promise<WriteResult> {
  return Promise.resolve({ as: 'refused', why })
}
