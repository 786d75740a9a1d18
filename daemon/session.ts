import type { Holder, RemovedWhy } from '../tiers/block/event.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import type { NamespaceId, SessionId } from '../tiers/block/id.ts'
import { blockBytesOf } from '../tiers/block/layout.ts'
import {
  namespacesMax,
  sessionHeldBlocksMax,
  sessionNamespacesMax,
  sessionRegionsMax,
} from '../tiers/block/limits.ts'
import { type Namespace, namespaceText } from '../tiers/block/namespace.ts'
import type { RouteHash } from '../tiers/block/route.ts'
import type { Ask } from '../tiers/block/wire.ts'
import type { BlockStore } from '../tiers/store.ts'
import type { HeldBlocks } from './held.ts'

export type OpenNamespace = {
  readonly id: NamespaceId
  readonly namespace: Namespace
  readonly blockBytes: number
  /** Who holds the blocks that the engine keeps in its own cache. */
  readonly holder: Holder
}
export type AttachedRegion = {
  /** The store's number for it. */
  readonly region: number
  readonly kind: Ask<'attachRegion'>['kind']
  readonly byteCount: number
  readonly writable: boolean
}

const noBlocks: ReadonlySet<RouteHash> = new Set()

/** One attached engine: what it has opened, and its end. Numbers given out here mean nothing in another session. */
export class Session {
  readonly id: SessionId
  readonly hello: Ask<'hello'>
  /** The process at the other end, as the kernel says it. */
  readonly peerProcess: number
  readonly sinceMs: number
  readonly #store: BlockStore
  readonly #heldBlocks: HeldBlocks
  readonly #namespaces = new Map<number, OpenNamespace>()
  readonly #numberOfText = new Map<string, number>()
  readonly #regions = new Map<number, AttachedRegion>()
  readonly #held = new Map<number, ReadonlySet<RouteHash>>()
  #nextRegion = 1
  #ended = false

  constructor(options: {
    readonly id: SessionId
    readonly hello: Ask<'hello'>
    readonly peerProcess: number
    readonly sinceMs: number
    readonly store: BlockStore
    readonly heldBlocks: HeldBlocks
  }) {
    this.id = options.id
    this.hello = options.hello
    this.peerProcess = options.peerProcess
    this.sinceMs = options.sinceMs
    this.#store = options.store
    this.#heldBlocks = options.heldBlocks
  }

  /** The number of a namespace in this session; the same one gives the same number. */
  addNamespace(namespace: Namespace): { readonly number: number; readonly blockBytes: number } {
    const text = namespaceText(namespace)
    const blockBytes = blockBytesOf(namespace.layout)
    const known = this.#numberOfText.get(text)
    if (known !== undefined) return { number: known, blockBytes }
    if (this.#namespaces.size >= sessionNamespacesMax) {
      throw new KvFailure('KVT_TOO_MANY', { what: 'namespaces of one session', limit: sessionNamespacesMax })
    }
    const id = this.#store.openNamespace(namespace)
    if (id === null) {
      throw new KvFailure('KVT_TOO_MANY', { what: 'namespaces', limit: namespacesMax })
    }
    const { model, layout } = namespace
    const worker = this.hello.worker
    const holder: Holder = { tier: 'hbm', worker, model, blockTokens: layout.blockTokens, blockBytes }
    const number = this.#namespaces.size + 1
    this.#namespaces.set(number, { id, namespace, blockBytes, holder })
    this.#numberOfText.set(text, number)
    return { number, blockBytes }
  }

  namespaceOf(number: number): OpenNamespace {
    const found = this.#namespaces.get(number)
    if (found === undefined) throw new KvFailure('KVT_NAMESPACE_UNKNOWN', { namespace: number })
    return found
  }

  /** Takes over a descriptor as a region of this session. */
  addRegion(descriptor: number, wanted: Ask<'attachRegion'>): number {
    const region = this.#store.attachRegion(descriptor, wanted.byteCount, wanted.writable !== 0)
    return this.#numberOf(region, wanted)
  }

  /** Takes over GPU memory as a region of this session, once it is open. */
  async addDevice(opening: Promise<number>, wanted: Ask<'attachRegion'>): Promise<number> {
    return this.#numberOf(await this.#store.attachDevice(opening), wanted)
  }

  /** Numbers a region. One that came too late goes back at once: nobody else would ever give it back. */
  #numberOf(region: number, wanted: Ask<'attachRegion'>): number {
    try {
      if (this.#ended) throw new KvFailure('KVT_STOPPING', {})
      // Others may have attached while it was on the way.
      this.checkRoomForRegion()
    } catch (error) {
      this.#store.detachRegion(region).catch(() => undefined)
      throw error
    }
    const number = this.#nextRegion++
    const { kind, byteCount } = wanted
    this.#regions.set(number, { region, kind, byteCount, writable: wanted.writable !== 0 })
    return number
  }

  /** Fails before the caller takes a descriptor from the door, which it could not give back. */
  checkRoomForRegion(): void {
    if (this.#regions.size < sessionRegionsMax) return
    throw new KvFailure('KVT_TOO_MANY', { what: 'regions of one session', limit: sessionRegionsMax })
  }

  regionOf(number: number): AttachedRegion {
    const found = this.#regions.get(number)
    if (found === undefined) throw new KvFailure('KVT_REGION_UNKNOWN', { region: number })
    return found
  }

  /** Resolves when no copy touches the region any more. No ask that comes later can name it. */
  async removeRegion(number: number): Promise<void> {
    const { region } = this.regionOf(number)
    this.#regions.delete(number)
    await this.#store.detachRegion(region)
  }

  /** The engine's own cache now holds exactly these blocks of the namespace. */
  hold(number: number, blocks: ReadonlySet<RouteHash>): void {
    const { holder } = this.namespaceOf(number)
    if (this.#ended) return
    let others = 0
    for (const [namespace, held] of this.#held) if (namespace !== number) others += held.size
    if (others + blocks.size > sessionHeldBlocksMax) {
      throw new KvFailure('KVT_TOO_MANY', { what: 'held blocks of one session', limit: sessionHeldBlocksMax })
    }
    const before = this.#held.get(number) ?? noBlocks
    this.#held.set(number, this.#heldBlocks.replace(holder, before, blocks, 'engine'))
  }

  /** Gives everything back. Resolves when no copy touches any region of the session. */
  async end(why: RemovedWhy): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    for (const [number, blocks] of this.#held) {
      this.#heldBlocks.replace(this.namespaceOf(number).holder, blocks, noBlocks, why)
    }
    this.#held.clear()
    const regions = [...this.#regions.values()]
    this.#regions.clear()
    await Promise.all(regions.map(({ region }) => this.#store.detachRegion(region)))
  }

  /** For status: sizes and names, no content. */
  describe(): SessionStatus {
    let heldBlocks = 0
    for (const blocks of this.#held.values()) heldBlocks += blocks.size
    return {
      session: this.id,
      client: this.hello.client,
      engine: this.hello.engine,
      worker: this.hello.worker,
      processId: this.peerProcess,
      sinceMs: this.sinceMs,
      namespaces: [...this.#namespaces.values()].map(({ namespace, blockBytes }) => ({
        tenant: namespace.tenant,
        model: namespace.model,
        blockTokens: namespace.layout.blockTokens,
        blockBytes,
      })),
      regions: [...this.#regions.values()].map(({ kind, byteCount }) => ({ kind, byteCount })),
      heldBlocks,
    }
  }
}

export type SessionStatus = {
  readonly session: number
  readonly client: string
  readonly engine: string
  readonly worker: string
  readonly processId: number
  readonly sinceMs: number
  readonly namespaces: readonly {
    readonly tenant: string
    readonly model: string
    readonly blockTokens: number
    readonly blockBytes: number
  }[]
  readonly regions: readonly { readonly kind: string; readonly byteCount: number }[]
  readonly heldBlocks: number
}
