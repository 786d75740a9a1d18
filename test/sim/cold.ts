import { crc32c } from '../../tiers/block/crc32c.ts'
import type { BlockKey } from '../../tiers/block/id.ts'
import { damageOf, readSeal, type Seal, sealByteCount, writeSeal } from '../../tiers/block/seal.ts'
import type {
  ColdTier,
  ReadResult,
  ReadWanted,
  TierChange,
  TierUsage,
  WriteResult,
  WriteWanted,
} from '../../tiers/tier.ts'
import type { FakeNative, Faults } from './native.ts'
import type { SimWorld } from './world.ts'

/** Objects of a bucket, whole or absent: they outlive every process. */
export type Bucket = Map<BlockKey, Uint8Array>

/** A far tier with slow answers, errors and rot. */
export class SimCold implements ColdTier {
  readonly name = 's3'
  readonly #world: SimWorld
  readonly #native: FakeNative
  readonly #bucket: Bucket
  readonly #faults: () => Faults
  readonly #listeners: ((change: TierChange) => void)[] = []
  rotted = 0

  constructor(world: SimWorld, native: FakeNative, bucket: Bucket, faults: () => Faults) {
    this.#world = world
    this.#native = native
    this.#bucket = bucket
    this.#faults = faults
  }

  /** Tells what is in the bucket already. */
  discover(): void {
    const seals: Seal[] = []
    for (const object of this.#bucket.values()) {
      const read = readSeal(object, 0)
      if (read.as === 'seal') seals.push(read.seal)
    }
    for (const listener of this.#listeners) listener({ kind: 'appeared', seals })
  }

  bytesOf(key: BlockKey): number | null {
    const object = this.#bucket.get(key)
    return object === undefined ? null : object.length - sealByteCount
  }

  async read(wanted: readonly ReadWanted[], deadlineMs: number): Promise<readonly ReadResult[]> {
    return Promise.all(wanted.map((one) => this.#readOne(one, deadlineMs)))
  }

  async #readOne({ wanted, into }: ReadWanted, deadlineMs: number): Promise<ReadResult> {
    const { chance } = this.#world
    const object = this.#bucket.get(wanted.key)
    if (object === undefined) return { as: 'missing' }
    const tookMs = chance() < 0.03 ? 3_000 * chance() : 5 + 40 * chance()
    const leftMs = deadlineMs - this.#world.nowMs()
    if (tookMs > leftMs) {
      await this.#world.sleep(Math.max(0, leftMs))
      return { as: 'busy', retryAfterMs: 10 }
    }
    await this.#world.sleep(tookMs)
    if (chance() < this.#faults().fail) return { as: 'failed', why: 'status_500' }
    if (chance() < this.#faults().rot) {
      const at = Math.floor(chance() * object.length)
      object[at] = (object[at] ?? 0) ^ 16
      this.rotted += 1
    }
    const payload = object.subarray(sealByteCount)
    this.#native.windowOf(into.region, into.offset, into.byteCount).set(payload.subarray(0, into.byteCount))
    const read = readSeal(object, 0)
    const why = damageOf(read, wanted, crc32c(payload))
    if (why !== null) return { as: 'damaged', why }
    if (read.as !== 'seal') return { as: 'missing' }
    return { as: 'found', seal: read.seal }
  }

  blocksMaxOf(): number {
    return Number.POSITIVE_INFINITY
  }

  async write(blocks: readonly WriteWanted[]): Promise<readonly WriteResult[]> {
    await this.#world.sleep(5 + 60 * this.#world.chance())
    return blocks.map(({ seal, from }) => {
      if (this.#bucket.has(seal.key)) return { as: 'already' }
      if (this.#world.chance() < this.#faults().fail) return { as: 'failed', why: 'status_503' }
      const object = new Uint8Array(sealByteCount + from.byteCount)
      writeSeal(seal, object, 0)
      object.set(this.#native.windowOf(from.region, from.offset, from.byteCount), sealByteCount)
      this.#bucket.set(seal.key, object)
      return { as: 'written' }
    })
  }

  drop(key: BlockKey): void {
    this.#bucket.delete(key)
  }

  onChange(listener: (change: TierChange) => void): void {
    this.#listeners.push(listener)
  }

  usage(): TierUsage {
    return { blockCount: this.#bucket.size, usedBytes: 0, capacityBytes: 0, state: 'serving', why: '' }
  }

  readMsOf(): number | null {
    return null
  }

  async close(): Promise<void> {}
}
