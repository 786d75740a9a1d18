import type { World } from '../../tiers/block/clock.ts'
import { type BlockKey, keyHex } from '../../tiers/block/id.ts'
import { type Catalog, type CatalogEntry, decodeRecord, encodeRecord } from '../../tiers/catalog.ts'
import type { SlabFile, StoreFiles } from '../../tiers/files.ts'
import type { FakeDisk } from './native.ts'

/** What a catalog keeps between lives of a process. */
export type CatalogRecords = { slabId: string; records: Map<string, Uint8Array>; usable: boolean }

/** A disk that outlives the processes of a run. */
export class SimFiles implements StoreFiles {
  readonly disk: FakeDisk = new Map()
  readonly texts = new Map<string, string>()
  readonly catalog: CatalogRecords = { slabId: '', records: new Map(), usable: true }
  free = 2 ** 40

  async bytesOf(path: string): Promise<number | null> {
    return this.disk.get(path)?.length ?? null
  }

  async freeBytes(): Promise<number> {
    return this.free
  }

  async openSlab(path: string): Promise<SlabFile> {
    const bytes = (): Uint8Array => this.disk.get(path) ?? new Uint8Array(0)
    return {
      read: async (offset, into) => {
        const found = bytes().subarray(offset, offset + into.length)
        into.set(found)
        return found.length
      },
      write: async (offset, written) => bytes().set(written, offset),
      sync: async () => undefined,
      close: async () => undefined,
    }
  }

  async readText(path: string): Promise<string | null> {
    return this.texts.get(path) ?? null
  }

  async writeText(path: string, text: string): Promise<void> {
    this.texts.set(path, text)
  }

  async remove(path: string): Promise<void> {
    this.disk.delete(path)
  }

  async openCatalog(_path: string, world: World): Promise<Catalog> {
    return new SimCatalog(this.catalog, world)
  }
}

/** A catalog whose commits take time, like the real one's. */
class SimCatalog implements Catalog {
  readonly #kept: CatalogRecords
  readonly #world: World

  constructor(kept: CatalogRecords, world: World) {
    this.#kept = kept
    this.#world = world
  }

  get state(): 'on' | 'off' {
    return this.#kept.usable ? 'on' : 'off'
  }

  get why(): string {
    return this.#kept.usable ? '' : 'damaged'
  }

  async entriesOf(slabId: string): Promise<readonly CatalogEntry[] | null> {
    if (!this.#kept.usable || this.#kept.slabId !== slabId) return null
    return [...this.#kept.records.values()].flatMap((record) => decodeRecord(record) ?? [])
  }

  async begin(slabId: string): Promise<void> {
    this.#kept.slabId = slabId
    this.#kept.records.clear()
    this.#kept.usable = true
  }

  async put(entries: readonly CatalogEntry[]): Promise<void> {
    await this.#world.sleep(1)
    for (const entry of entries) this.#kept.records.set(keyHex(entry.seal.key), encodeRecord(entry))
  }

  async remove(keys: readonly BlockKey[]): Promise<void> {
    if (keys.length === 0) return
    await this.#world.sleep(1)
    for (const key of keys) this.#kept.records.delete(keyHex(key))
  }

  async close(): Promise<void> {}
}
