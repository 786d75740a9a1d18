import { hash } from 'node:crypto'
import type { RouteHash } from '../tiers/block/route.ts'
import { type HolderId, OwnerSets, type SetId } from './owner-sets.ts'
import { PrefixSegment, placeBytes } from './prefix-segment.ts'

/** Parts of the index, by the first byte of the mixed hash. Why: each grows by itself, so no growth is long.
 *  */
const segmentCount = 256
/** Shares of the budget: places of blocks, and sets of holders with their bytes per set at worst. */
const placesShare = 0.8
const bytesPerSet = 800
const setsMax = 65_536

/** Names a model's blocks apart from those of other models in the same table. */
export type ModelSeed = { readonly high: number; readonly low: number }

export function modelSeed(model: string): ModelSeed {
  const digest = hash('sha256', model, 'buffer')
  return { high: digest.readUInt32LE(0), low: digest.readUInt32LE(4) }
}

/** Who holds which block, for all models, within a hard number of bytes. Advisory: it forgets, and it may be
 *  wrong for a while. */
export class PrefixIndex {
  readonly #segments: readonly PrefixSegment[]
  readonly #sets: OwnerSets
  #nextHolder: HolderId = 1
  readonly #retired = new Set<HolderId>()
  /** The sweep under way: the holders it takes out, and how far it came. */
  #sweep: { readonly holders: ReadonlySet<HolderId>; at: number } | null = null
  #evicted = 0
  #refused = 0

  constructor(bytesMax: number) {
    let capacityMax = 16
    while (capacityMax * 2 * segmentCount * placeBytes <= bytesMax * placesShare) capacityMax *= 2
    this.#segments = Array.from({ length: segmentCount }, () => new PrefixSegment(capacityMax))
    this.#sets = new OwnerSets(Math.min(setsMax, Math.floor((bytesMax * (1 - placesShare)) / bytesPerSet)))
  }

  get blockCount(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.count, 0)
  }

  get byteCount(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.byteCount, 0) + this.#sets.byteCount
  }

  /** Blocks forgotten to stay within the bytes. */
  get evictedCount(): number {
    return this.#evicted
  }

  /** Placements not taken for want of room for another set of holders. */
  get refusedCount(): number {
    return this.#refused
  }

  newHolder(): HolderId {
    return this.#nextHolder++
  }

  add(seed: ModelSeed, block: RouteHash, holder: HolderId): void {
    const { high, low, segment } = this.#place(seed, block)
    const before = segment.get(high, low)
    const after = this.#sets.with(before, holder)
    if (after === null) this.#refused += 1
    if (after === null || after === before) return
    this.#sets.take(after)
    this.#sets.give(before)
    segment.put(high, low, after, this.#onEvict)
  }

  remove(seed: ModelSeed, block: RouteHash, holder: HolderId): void {
    const { high, low, segment } = this.#place(seed, block)
    const before = segment.get(high, low)
    if (before === 0) return
    const after = this.#sets.without(before, holder)
    if (after === before) return
    this.#sets.take(after)
    this.#sets.give(before)
    if (after === 0) segment.delete(high, low)
    else segment.put(high, low, after, this.#onEvict)
  }

  /** The set of the block's holders, 0 for none. Retired holders may still be in it. Asking keeps a block
   *  from being forgotten. */
  setOf(seed: ModelSeed, block: RouteHash): SetId {
    const { high, low, segment } = this.#place(seed, block)
    return segment.use(high, low)
  }

  has(set: SetId, holder: HolderId): boolean {
    return this.#sets.has(set, holder)
  }

  holdersOf(set: SetId): readonly HolderId[] {
    return this.#sets.holdersOf(set)
  }

  /** Nothing counts for this holder from now on. Its traces go with later calls of `sweepStep`. */
  retire(holder: HolderId): void {
    this.#retired.add(holder)
  }

  /** Takes retired holders out of one segment. False when there is nothing to do. */
  sweepStep(): boolean {
    if (this.#sweep === null) {
      if (this.#retired.size === 0) return false
      this.#sweep = { holders: new Set(this.#retired), at: 0 }
    }
    const sweep = this.#sweep
    this.#segments[sweep.at]?.map((set) => {
      let after = set
      for (const holder of this.#sets.holdersOf(set)) {
        if (sweep.holders.has(holder)) after = this.#sets.without(after, holder)
      }
      if (after !== set) {
        this.#sets.take(after)
        this.#sets.give(set)
      }
      return after
    })
    sweep.at += 1
    if (sweep.at < segmentCount) return true
    for (const holder of sweep.holders) this.#retired.delete(holder)
    this.#sweep = null
    return this.#retired.size > 0
  }

  readonly #onEvict = (set: SetId): void => {
    this.#evicted += 1
    this.#sets.give(set)
  }

  #place(seed: ModelSeed, block: RouteHash): { high: number; low: number; segment: PrefixSegment } {
    const high = (Number.parseInt(block.slice(0, 8), 16) ^ seed.high) >>> 0
    const low = (Number.parseInt(block.slice(8), 16) ^ seed.low) >>> 0
    const segment = this.#segments[high >>> 24]
    if (segment === undefined) throw new RangeError('a byte names a segment')
    return { high, low, segment }
  }
}
