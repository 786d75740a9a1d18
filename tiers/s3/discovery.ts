import type { World } from '../block/clock.ts'
import type { BlockKey } from '../block/id.ts'
import {
  namespacesMax,
  packOrphanMs,
  s3ListOverlapMs,
  s3PacksListedMax,
  s3PollNamespacesMax,
  s3RelistMs,
  s3RequestMsMax,
} from '../block/limits.ts'
import type { Bucket, CallOptions, Listed } from './bucket.ts'
import {
  idBefore,
  isNamespaceFolder,
  namespaceFolder,
  type ObjectNames,
  type PackId,
  packIdOf,
  packWallMs,
} from './name.ts'
import { blockCountOf, indexBytesMax, type PackIndex, readIndex, type Sum } from './pack.ts'

/** What discovery tells the tier. */
export type Found = {
  knows(id: PackId): boolean
  packIds(folder: string): readonly PackId[]
  /** How many more blocks can be remembered. */
  roomBlocks(): number
  pack(index: PackIndex, folder: string): void
  /** The store has the pack no more. */
  gone(id: PackId, folder: string): void
  damagedIndex(why: string): void
}

/** One namespace's folder in the bucket, and how far it was looked through. */
type Folder = {
  readonly name: string
  lookedMs: number
  newestMs: number
  /** When it was last listed from its start. */
  listedWholeMs: number | null
  /** Packs whose index cannot be used. */
  readonly bad: Set<PackId>
}

const neverMs = Number.NEGATIVE_INFINITY
const pageObjects = 1_000
const indexesAtOnce = 4

/** Finds packs that other daemons stored, and own ones of an earlier run: by listing the small index objects, newest packs first.
 *  Reads no payload. */
export class Discovery {
  readonly #bucket: Bucket
  readonly #names: ObjectNames
  readonly #world: World
  readonly #sum: Sum
  readonly #found: Found
  readonly #folders = new Map<string, Folder>()
  #told = false

  constructor(bucket: Bucket, names: ObjectNames, world: World, sum: Sum, found: Found) {
    this.#bucket = bucket
    this.#names = names
    this.#world = world
    this.#sum = sum
    this.#found = found
  }

  /** A namespace that is served here. Once one was named, only named ones are looked at; before, all of the bucket. */
  open(namespace: BlockKey): void {
    if (!this.#told) this.#folders.clear()
    this.#told = true
    this.#add(namespaceFolder(namespace))
  }

  /** Looks through the next few namespaces, new ones first. Says whether new ones are left. Errors are counted where they
   *  happen; the next look tries again. */
  async look(): Promise<'more' | 'all'> {
    if (!this.#told) await this.#listFolders()
    const folders = [...this.#folders.values()].sort((a, b) => a.lookedMs - b.lookedMs)
    let failed = false
    for (const folder of folders.slice(0, s3PollNamespacesMax)) {
      folder.lookedMs = this.#world.nowMs()
      failed = !(await this.#lookIn(folder)) || failed
    }
    return !failed && folders.some((folder) => folder.lookedMs === neverMs) ? 'more' : 'all'
  }

  #call(): CallOptions {
    return { urgency: 'background', deadlineMs: this.#world.nowMs() + s3RequestMsMax }
  }

  #add(name: string): void {
    if (this.#folders.has(name) || this.#folders.size >= namespacesMax) return
    this.#folders.set(name, { name, lookedMs: neverMs, newestMs: 0, listedWholeMs: null, bad: new Set() })
  }

  async #listFolders(): Promise<void> {
    const root = this.#names.root
    let next: string | null = null
    do {
      const wanted = { prefix: root, after: null, next, folders: true, most: pageObjects }
      const listed = await this.#bucket.list(wanted, this.#call())
      if (listed.as !== 'ok') return
      for (const path of listed.value.folders) {
        const name = path.slice(root.length, -1)
        if (isNamespaceFolder(name)) this.#add(name)
      }
      next = listed.value.next
    } while (next !== null && this.#folders.size < namespacesMax)
  }

  /** Whether the listing came. */
  async #lookIn(folder: Folder): Promise<boolean> {
    const startMs = this.#world.nowMs()
    const whole = folder.listedWholeMs === null || startMs - folder.listedWholeMs >= s3RelistMs
    const prefix = this.#names.indexes(folder.name)
    const after = whole ? null : prefix + idBefore(folder.newestMs - s3ListOverlapMs)
    const known = whole ? this.#found.packIds(folder.name) : []
    const listed = await this.#listPacks(prefix, after)
    if (listed === null) return false
    if (whole) {
      folder.listedWholeMs = startMs
      // A listing that was cut says nothing about packs older than its first.
      const [first = ''] = listed.size < s3PacksListedMax ? [] : listed.keys()
      for (const id of known) if (id > first && !listed.has(id)) this.#found.gone(id, folder.name)
      await this.#removeOrphans(folder, listed)
    }
    const wanted = this.#newestThatFit(
      [...listed].filter(([id]) => !this.#found.knows(id) && !folder.bad.has(id)),
    )
    for (let i = 0; i < wanted.length; i += indexesAtOnce) {
      const some = wanted.slice(i, i + indexesAtOnce)
      await Promise.all(some.map(([id, { byteCount }]) => this.#readIndex(folder, id, byteCount)))
    }
    for (const id of listed.keys()) folder.newestMs = Math.max(folder.newestMs, packWallMs(id))
    return true
  }

  /** The newest packs whose blocks have room, oldest of them first. An index's length says how many blocks it names. */
  #newestThatFit(packs: readonly (readonly [PackId, Listed])[]): readonly (readonly [PackId, Listed])[] {
    let room = this.#found.roomBlocks()
    let first = packs.length
    while (first > 0) {
      room -= blockCountOf(packs[first - 1]?.[1].byteCount ?? 0)
      if (room < 0) break
      first -= 1
    }
    return packs.slice(first)
  }

  /** Pack ids under a prefix in the order of their names; the newest ones when there are too many. Null when a page failed. */
  async #listPacks(prefix: string, after: string | null): Promise<Map<PackId, Listed> | null> {
    const found = new Map<PackId, Listed>()
    let next: string | null = null
    do {
      const wanted = { prefix, after: next === null ? after : null, next, folders: false, most: pageObjects }
      const listed = await this.#bucket.list(wanted, this.#call())
      if (listed.as !== 'ok') return null
      for (const object of listed.value.objects) {
        const id = packIdOf(object.name)
        if (id !== null && object.name === prefix + id) found.set(id, object)
      }
      for (const id of found.keys()) {
        if (found.size <= s3PacksListedMax) break
        found.delete(id)
      }
      next = listed.value.next
    } while (next !== null)
    return found
  }

  async #readIndex(folder: Folder, id: PackId, byteCount: number): Promise<void> {
    if (byteCount < 1 || byteCount > indexBytesMax) return this.#bad(folder, id, 'length')
    const bytes = new Uint8Array(byteCount)
    let count = 0
    const sink = {
      begin: () => {
        count = 0
        return 'go_on' as const
      },
      take: (chunk: Uint8Array) => {
        if (count + chunk.length > byteCount) {
          count = byteCount + 1
          return 'enough' as const
        }
        bytes.set(chunk, count)
        count += chunk.length
        return 'go_on' as const
      },
    }
    const answer = await this.#bucket.get(this.#names.index(folder.name, id), null, sink, this.#call())
    if (answer.as !== 'ok') return
    if (count !== byteCount) return this.#bad(folder, id, 'length')
    const read = readIndex(bytes, this.#sum)
    if (read.as === 'refused') return this.#bad(folder, id, read.why)
    if (read.index.id !== id) return this.#bad(folder, id, 'pack_id')
    if (namespaceFolder(read.index.namespace) !== folder.name) return this.#bad(folder, id, 'namespace')
    this.#found.pack(read.index, folder.name)
  }

  #bad(folder: Folder, id: PackId, why: string): void {
    folder.bad.add(id)
    this.#found.damagedIndex(why)
  }

  /** Packs whose index was never written: their daemon died in between. Old ones only: a young one may be at work. */
  async #removeOrphans(folder: Folder, indexed: ReadonlyMap<PackId, Listed>): Promise<void> {
    const before = this.#world.wallMs() - packOrphanMs
    const packs = await this.#listPacks(this.#names.packs(folder.name), null)
    if (packs === null) return
    for (const id of packs.keys()) {
      if (indexed.has(id) || packWallMs(id) >= before) continue
      await this.#bucket.remove(this.#names.pack(folder.name, id), this.#call())
    }
  }
}
