import { closeSync, fstatSync } from 'node:fs'
import type { KvEvent } from '../../tiers/block/event.ts'
import { KvFailure } from '../../tiers/block/failures.ts'
import type { NamespaceId } from '../../tiers/block/id.ts'
import { blockBytesOf } from '../../tiers/block/layout.ts'
import { type Namespace, namespaceText } from '../../tiers/block/namespace.ts'
import { type RouteHash, routeHashes, routeSecretOf } from '../../tiers/block/route.ts'
import type {
  BlockStore,
  LoadAnswer,
  LoadWanted,
  LookupAnswer,
  StoreAnswer,
  StoreWanted,
  TierCounts,
} from '../../tiers/store.ts'

/** A store that keeps names and no bytes: for what the real one does too well to be provoked (copies that
 *  never end, failures at a chosen moment). */
export class StoreDouble implements BlockStore {
  readonly namespaces: Namespace[] = []
  readonly stored = new Set<string>()
  /** Descriptors of regions attached now, by region. */
  readonly regions = new Map<number, number>()
  readonly loads: LoadWanted[] = []
  readonly stores: StoreWanted[] = []
  /** Answers wait for it: a copy that takes its time. */
  gate: Promise<void> = Promise.resolve()
  /** Thrown by every load while set. */
  failure: Error | null = null
  /** GPU memory that is attached. */
  readonly devices = new Set<number>()
  readonly gaveBack = new Set<number>()
  closed = false
  #listener: (event: KvEvent) => void = () => undefined
  #nextRegion = 100
  readonly #secret = new Uint8Array(32).fill(7)

  openNamespace(namespace: Namespace): NamespaceId | null {
    const texts = this.namespaces.map(namespaceText)
    const known = texts.indexOf(namespaceText(namespace))
    if (known >= 0) return known as NamespaceId
    this.namespaces.push(namespace)
    return (this.namespaces.length - 1) as NamespaceId
  }

  lookup(namespace: NamespaceId, tokens: Uint32Array): LookupAnswer {
    const readyBlocks = this.#ready(namespace, tokens)
    return { readyBlocks, byTier: hosted(readyBlocks), loadMs: readyBlocks }
  }

  async load(namespace: NamespaceId, tokens: Uint32Array, wanted: LoadWanted): Promise<LoadAnswer> {
    this.loads.push(wanted)
    await this.gate
    if (this.failure !== null) throw this.failure
    const knownBlocks = this.#ready(namespace, tokens)
    const readyBlocks = Math.max(0, Math.min(wanted.blockCount, knownBlocks - wanted.firstBlock))
    const stop = readyBlocks === wanted.blockCount ? 'complete' : 'absent'
    return { readyBlocks, byTier: hosted(readyBlocks), stop, knownBlocks }
  }

  async store(namespace: NamespaceId, tokens: Uint32Array, wanted: StoreWanted): Promise<StoreAnswer> {
    this.stores.push(wanted)
    await this.gate
    const { firstBlock, blockCount } = wanted
    const fresh: RouteHash[] = []
    for (const hash of this.routeHashes(namespace, tokens).slice(firstBlock, firstBlock + blockCount)) {
      if (!this.stored.has(hash)) fresh.push(hash)
      this.stored.add(hash)
    }
    if (fresh.length > 0) {
      this.#listener({ kind: 'stored', holder: this.#holderOf(namespace), blocks: fresh })
    }
    const storedBlocks = fresh.length
    return { storedBlocks, alreadyBlocks: blockCount - storedBlocks, droppedBlocks: 0, drop: 'none' }
  }

  routeHashes(namespace: NamespaceId, tokens: Uint32Array): readonly RouteHash[] {
    const { tenant, adapter, layout } = this.#named(namespace)
    return routeHashes(routeSecretOf(this.#secret, tenant, adapter), tokens, layout.blockTokens)
  }

  async attachDevice(opening: Promise<number>): Promise<number> {
    const region = await opening.catch((error: Error) => {
      throw new KvFailure('KVT_REGION_BAD', { why: error.message })
    })
    this.devices.add(region)
    return region
  }

  attachRegion(descriptor: number, byteCount: number): number {
    if (fstatSync(descriptor).size < byteCount) {
      closeSync(descriptor)
      throw new KvFailure('KVT_REGION_BAD', { why: 'the file is shorter than byteCount' })
    }
    this.regions.set(this.#nextRegion, descriptor)
    return this.#nextRegion++
  }

  async detachRegion(region: number): Promise<void> {
    await this.gate
    if (this.devices.delete(region)) {
      this.gaveBack.add(region)
      return
    }
    closeSync(this.regions.get(region) ?? -1)
    this.regions.delete(region)
  }

  onEvent(listener: (event: KvEvent) => void): void {
    this.#listener = listener
  }

  holdings(): readonly KvEvent[] {
    if (this.stored.size === 0) return []
    const blocks = [...this.stored] as RouteHash[]
    return [{ kind: 'stored', holder: this.#holderOf(0 as NamespaceId), blocks }]
  }

  usage(): ReturnType<BlockStore['usage']> {
    const off = {
      blockCount: 0,
      usedBytes: 0,
      capacityBytes: 0,
      state: 'off',
      why: 'not configured',
    } as const
    const blockCount = this.stored.size
    const host = {
      blockCount,
      usedBytes: blockCount * 512,
      capacityBytes: 2 ** 20,
      state: 'serving',
      why: '',
    } as const
    return { host, nvme: off, s3: off }
  }

  async clear(): Promise<void> {
    this.stored.clear()
    this.#listener({ kind: 'cleared', holder: this.#holderOf(0 as NamespaceId), why: 'evicted' })
  }

  async close(): Promise<void> {
    this.closed = true
  }

  #ready(namespace: NamespaceId, tokens: Uint32Array): number {
    const hashes = this.routeHashes(namespace, tokens)
    const absent = hashes.findIndex((hash) => !this.stored.has(hash))
    return absent < 0 ? hashes.length : absent
  }

  #named(namespace: NamespaceId): Namespace {
    const found = this.namespaces[namespace]
    if (found === undefined) throw new Error('a namespace that was never opened')
    return found
  }

  #holderOf(id: NamespaceId) {
    const { model, layout } = this.#named(id)
    const blockBytes = blockBytesOf(layout)
    return { tier: 'host', worker: '', model, blockTokens: layout.blockTokens, blockBytes } as const
  }
}

function hosted(host: number): TierCounts {
  return { hbm: 0, host, nvme: 0, s3: 0 }
}
