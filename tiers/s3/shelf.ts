import { assert } from '../block/assert.ts'
import type { BlockKey } from '../block/id.ts'
import type { Seal } from '../block/seal.ts'
import type { PackId } from './name.ts'
import type { PackIndex } from './pack.ts'

/** A pack the tier knows. */
export type Pack = {
  readonly id: PackId
  readonly folder: string
  /** Stored by this daemon: only those are deleted to keep the budget. */
  readonly own: boolean
  readonly byteCount: number
  /** Keys of the blocks it was read with; those forgotten since are in the shelf no more, or belong to another pack. */
  readonly keys: readonly BlockKey[]
}
export type Place = { readonly pack: Pack; readonly offset: number; readonly payloadBytes: number }

/** Which block lies in which pack. Bounded: past the limit the packs unused for longest are forgotten, whole. The packs
 *  are kept in the order of their last use. */
export class Shelf {
  readonly #entriesMax: number
  readonly #places = new Map<BlockKey, Place>()
  readonly #packs = new Map<PackId, Pack>()
  readonly #liveBlocks = new Map<PackId, number>()
  #usedBytes = 0
  #ownBytes = 0

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  get blockCount(): number {
    return this.#places.size
  }
  get usedBytes(): number {
    return this.#usedBytes
  }
  get ownBytes(): number {
    return this.#ownBytes
  }

  placeOf(key: BlockKey): Place | null {
    return this.#places.get(key) ?? null
  }

  knows(id: PackId): boolean {
    return this.#packs.has(id)
  }

  packsIn(folder: string): readonly Pack[] {
    return [...this.#packs.values()].filter((pack) => pack.folder === folder)
  }

  /** Takes a pack in. Returns the seals of the blocks that were not known before: a block that another pack holds stays
   *  with that one. */
  add(index: PackIndex, folder: string, own: boolean): readonly Seal[] {
    if (this.#packs.has(index.id)) return []
    const fresh = index.entries.filter(({ seal }) => !this.#places.has(seal.key))
    const keys = fresh.map(({ seal }) => seal.key)
    const pack: Pack = { id: index.id, folder, own, byteCount: index.packBytes, keys }
    this.#packs.set(pack.id, pack)
    this.#liveBlocks.set(pack.id, fresh.length)
    this.#usedBytes += pack.byteCount
    if (own) this.#ownBytes += pack.byteCount
    for (const { seal, offset } of fresh) {
      this.#places.set(seal.key, { pack, offset, payloadBytes: seal.payloadBytes })
    }
    return fresh.map(({ seal }) => seal)
  }

  /** A pack was read or written: it is the last to be given up. */
  touch(pack: Pack): void {
    if (this.#packs.delete(pack.id)) this.#packs.set(pack.id, pack)
  }

  /** Forgets one block. Returns its pack when none of the pack's blocks is known any more. */
  forget(key: BlockKey): Pack | null {
    const place = this.#places.get(key)
    if (place === undefined) return null
    this.#places.delete(key)
    const live = (this.#liveBlocks.get(place.pack.id) ?? 0) - 1
    assert(live >= 0, 'a pack has no fewer blocks than none')
    this.#liveBlocks.set(place.pack.id, live)
    return live === 0 ? place.pack : null
  }

  /** Forgets a pack and returns the keys that went with it. */
  remove(pack: Pack): readonly BlockKey[] {
    if (!this.#packs.delete(pack.id)) return []
    this.#liveBlocks.delete(pack.id)
    this.#usedBytes -= pack.byteCount
    if (pack.own) this.#ownBytes -= pack.byteCount
    const gone = pack.keys.filter((key) => this.#places.get(key)?.pack === pack)
    for (const key of gone) this.#places.delete(key)
    return gone
  }

  /** The own pack unused for longest, or null. */
  oldestOwn(): Pack | null {
    for (const pack of this.#packs.values()) if (pack.own) return pack
    return null
  }

  /** Forgets packs until the entries fit their limit; returns the keys that went. */
  shrink(): readonly BlockKey[] {
    const gone: BlockKey[] = []
    while (this.#places.size > this.#entriesMax) {
      const oldest = this.#packs.values().next().value
      assert(oldest !== undefined, 'entries belong to packs')
      for (const key of this.remove(oldest)) gone.push(key)
    }
    return gone
  }
}
