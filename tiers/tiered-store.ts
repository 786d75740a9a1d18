import type { Native } from '../addon/native.ts'
import type { TierAdmission } from './admit.ts'
import { beforeDeadline } from './block/clock.ts'
import type { KvEvent } from './block/event.ts'
import { KvFailure } from './block/failures.ts'
import type { NamespaceId } from './block/id.ts'
import type { Place } from './block/layout.ts'
import type { Namespace } from './block/namespace.ts'
import type { RouteHash } from './block/route.ts'
import { Climber } from './climb.ts'
import { KeepFlow } from './keep.ts'
import { LoadFlow } from './load.ts'
import { holderOf, type OpenNamespace } from './namespaces.ts'
import type { Parts } from './parts.ts'
import type {
  BlockStore,
  ClearWhich,
  LoadAnswer,
  LoadWanted,
  LookupAnswer,
  StoreAnswer,
  StoreWanted,
} from './store.ts'
import type { Identity } from './table.ts'
import type { ColdTier, TierUsage } from './tier.ts'
import { Writeback } from './writeback.ts'

/** Time that ending what runs may take beyond the deadline of a close, in milliseconds. */
const endMsMax = 1_000
const emptyCounts = { hbm: 0, host: 0, nvme: 0, s3: 0 }
const off: TierUsage = { blockCount: 0, usedBytes: 0, capacityBytes: 0, state: 'off', why: 'not configured' }

/** The rule in front of a tier, or null where it takes everything. */
export type AdmissionOf = (tier: ColdTier['name']) => TierAdmission | null

/** The tiers of one node behind one interface: routes each ask to its flow and keeps account of the engines' memory. */
export class TieredStore implements BlockStore {
  readonly #parts: Parts
  readonly #climber: Climber
  readonly #loads: LoadFlow
  readonly #keeps: KeepFlow
  readonly #admissionOf: AdmissionOf
  readonly #writebacks: readonly Writeback[]
  readonly #regions = new Set<number>()
  readonly #namespaceOpened: (opened: OpenNamespace) => void
  readonly #ended: () => Promise<void>
  #state: 'serving' | 'stopping' = 'serving'
  #asks = 0
  #asksEnded: (() => void)[] = []

  /** `ended` closes what the store was opened on. */
  constructor(
    parts: Parts,
    admissionOf: AdmissionOf,
    namespaceOpened: (opened: OpenNamespace) => void,
    ended: () => Promise<void>,
  ) {
    this.#parts = parts
    this.#climber = new Climber(parts)
    this.#admissionOf = admissionOf
    this.#writebacks = parts.cold.map(
      (tier) => new Writeback(parts, this.#climber, tier, admissionOf(tier.name)),
    )
    const offer = (identities: readonly Identity[]): void => {
      for (const writeback of this.#writebacks) writeback.add(identities)
    }
    this.#loads = new LoadFlow(parts, this.#climber, offer)
    this.#keeps = new KeepFlow(parts, offer)
    this.#namespaceOpened = namespaceOpened
    this.#ended = ended
    const [nearest] = this.#writebacks
    parts.host.useBelow({
      isSaved: (identity) => this.#isSaved(identity),
      save: async (pinned) => nearest?.save(pinned),
      evicted: (identity) => {
        parts.admissions?.leftHost(identity.key)
        parts.meter.add('terrace_tier_evicted_blocks_total', { tier: 'host' })
        parts.announcer.removed('host', identity.namespace, identity.route, 'evicted')
      },
    })
  }

  openNamespace(namespace: Namespace): NamespaceId | null {
    const found = this.#parts.book.open(namespace)
    if (found === null) return null
    if (found.isNew) {
      this.#namespaceOpened(found.opened)
      for (const tier of this.#parts.cold) {
        tier.openNamespace?.(found.opened.fingerprint)
        this.#parts.residents[tier.name].opened(found.opened)
      }
    }
    return found.opened.id
  }

  lookup(namespace: NamespaceId, tokens: Uint32Array): LookupAnswer {
    const opened = this.#parts.book.of(namespace)
    if (opened === null || this.#state !== 'serving') {
      return { readyBlocks: 0, byTier: emptyCounts, loadMs: 0 }
    }
    return this.#loads.lookup(opened, this.#parts.book.keysOf(opened, tokens))
  }

  async load(namespace: NamespaceId, tokens: Uint32Array, wanted: LoadWanted): Promise<LoadAnswer> {
    const opened = this.#parts.book.of(namespace)
    const nothing = (stop: LoadAnswer['stop']): LoadAnswer => ({
      readyBlocks: 0,
      byTier: emptyCounts,
      stop,
      knownBlocks: 0,
    })
    if (this.#state !== 'serving') return nothing('stopping')
    if (opened === null || !this.#regions.has(wanted.into.region)) return nothing('tier_failed')
    const keys = this.#parts.book.keysOf(opened, tokens)
    const load = (place: number) => this.#loads.load(opened, keys, tokens, place, wanted)
    return (await this.#withPlace(opened, wanted.into.place, load)) ?? nothing('tier_failed')
  }

  async store(namespace: NamespaceId, tokens: Uint32Array, wanted: StoreWanted): Promise<StoreAnswer> {
    const opened = this.#parts.book.of(namespace)
    const nothing = (drop: StoreAnswer['drop']): StoreAnswer => ({
      storedBlocks: 0,
      alreadyBlocks: 0,
      droppedBlocks: wanted.blockCount,
      drop,
    })
    if (this.#state !== 'serving') return nothing('stopping')
    if (opened === null || !this.#regions.has(wanted.from.region)) return nothing('copy_failed')
    const { book } = this.#parts
    const [keys, routes] = [book.keysOf(opened, tokens), book.routesOf(opened, tokens)]
    const store = (place: number) => this.#keeps.store(opened, keys, routes, place, wanted)
    return (await this.#withPlace(opened, wanted.from.place, store)) ?? nothing('copy_failed')
  }

  routeHashes(namespace: NamespaceId, tokens: Uint32Array): readonly RouteHash[] {
    const opened = this.#parts.book.of(namespace)
    return opened === null ? [] : this.#parts.book.routesOf(opened, tokens)
  }

  attachRegion(descriptor: number, byteCount: number, writable: boolean): number {
    if (this.#state !== 'serving') throw new KvFailure('KVT_STOPPING', {})
    try {
      const region = this.#parts.native.openShared(descriptor, byteCount, writable)
      this.#regions.add(region)
      return region
    } catch (error) {
      const why = error instanceof Error ? error.message : 'it cannot be mapped'
      throw new KvFailure('KVT_REGION_BAD', { why })
    }
  }

  async attachDevice(opening: Promise<number>): Promise<number> {
    const region = await opening.catch((error: unknown) => {
      throw new KvFailure('KVT_REGION_BAD', {
        why: error instanceof Error ? error.message : 'it cannot be opened',
      })
    })
    if (this.#state !== 'serving') {
      this.#parts.native.closeRegion(region)
      throw new KvFailure('KVT_STOPPING', {})
    }
    this.#regions.add(region)
    const { host, runner, meter } = this.#parts
    host.pin(runner, (byteCount) => meter.set('terrace_tier_pinned_bytes', {}, byteCount))
    return region
  }

  async detachRegion(region: number): Promise<void> {
    if (!this.#regions.delete(region)) return
    // A load or store under way may begin one more copy while this waits for the last one.
    while (this.#parts.runner.uses(region)) await this.#parts.runner.whenIdle(region)
    this.#parts.native.closeRegion(region)
  }

  onEvent(listener: (event: KvEvent) => void): void {
    this.#parts.announcer.listen(listener)
  }

  holdings(): readonly KvEvent[] {
    const { book, host, residents } = this.#parts
    const blocks = new Map<NamespaceId, RouteHash[]>()
    for (const { namespace, route } of host.table.sealed()) {
      const routes = blocks.get(namespace) ?? []
      routes.push(route)
      blocks.set(namespace, routes)
    }
    const events: KvEvent[] = []
    for (const [namespace, routes] of blocks) {
      const opened = book.of(namespace)
      if (opened !== null) events.push({ kind: 'stored', holder: holderOf(opened, 'host'), blocks: routes })
    }
    for (const tier of this.#parts.cold) events.push(...residents[tier.name].holdings())
    return events
  }

  usage(): Readonly<Record<'host' | 'nvme' | 's3', TierUsage>> {
    const usageOf = (name: 'nvme' | 's3'): TierUsage => {
      const tier = this.#parts.cold.find((one) => one.name === name)
      const admission = this.#admissionOf(name)?.usage()
      if (tier === undefined) return off
      return admission === undefined ? tier.usage() : { ...tier.usage(), admission }
    }
    const usage = { host: this.#parts.host.usage(), nvme: usageOf('nvme'), s3: usageOf('s3') }
    for (const tier of ['host', 'nvme', 's3'] as const) {
      this.#parts.meter.set('terrace_tier_resident_blocks', { tier }, usage[tier].blockCount)
      this.#parts.meter.set('terrace_tier_used_bytes', { tier }, usage[tier].usedBytes)
      this.#parts.meter.set('terrace_tier_capacity_bytes', { tier }, usage[tier].capacityBytes)
      const budgetUsed = usage[tier].admission?.budgetUsed ?? null
      if (budgetUsed !== null)
        this.#parts.meter.set('terrace_tier_write_budget_used_ratio', { tier }, budgetUsed)
    }
    return usage
  }

  async clear(which: ClearWhich): Promise<void> {
    const { host, announcer, residents, world } = this.#parts
    for (const identity of [...host.table.sealed()]) {
      host.table.drop(host.table.sealedRowOf(identity.key), false, world.nowMs())
      announcer.removed('host', identity.namespace, identity.route, 'evicted')
    }
    if (which === 'host') return
    for (const [i, tier] of this.#parts.cold.entries()) {
      if (which === 'local' && tier.name === 's3') continue
      this.#writebacks[i]?.clear()
      for (const key of residents[tier.name].keys()) tier.drop(key)
      residents[tier.name].clear('evicted')
    }
  }

  async close(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopping') return
    this.#state = 'stopping'
    const { world } = this.#parts
    if (this.#asks > 0) {
      const ended = new Promise<void>((resolve) => this.#asksEnded.push(resolve))
      await beforeDeadline(world, deadlineMs, ended)
    }
    await Promise.all(this.#writebacks.map((writeback) => writeback.close(deadlineMs)))
    this.#parts.announcer.flush()
    const ends = Promise.all([...this.#regions].map((region) => this.detachRegion(region))).then(this.#ended)
    // A drive that does not answer any more must not keep the process from ending.
    await beforeDeadline(world, Math.max(deadlineMs, world.nowMs() + endMsMax), ends)
  }

  /** Asserts the invariants of the host table, and says what is under way: all zero once nobody asks any more. */
  check(): {
    readonly leases: number
    readonly climbs: number
    readonly steps: number
    readonly filling: number
  } {
    const { table } = this.#parts.host
    table.check()
    return {
      leases: table.leases.count,
      climbs: this.#climber.inFlight,
      steps: this.#parts.runner.inFlight(),
      filling: table.isInUse ? 1 : 0,
    }
  }

  /** A block counts as saved when any tier below has it: losing it from host memory loses nothing. What the nearest one does
   *  not want is let go. */
  #isSaved(identity: Identity): 'saved' | 'unsaved' | 'nowhere' {
    const [nearest, ...others] = this.#parts.cold
    if (nearest === undefined) return 'nowhere'
    if (nearest.bytesOf(identity.key) !== null) return 'saved'
    const otherwise = others.some((tier) => tier.bytesOf(identity.key) !== null) ? 'saved' : 'nowhere'
    // A tier that is offered blocks only now must see also those that a tier below it holds already.
    const isOffered = this.#admissionOf(nearest.name)?.demotion === 'demote' || otherwise === 'nowhere'
    if (!isOffered || nearest.usage().state !== 'serving') return otherwise
    return this.#writebacks[0]?.takes(identity) === 'wanted' ? 'unsaved' : otherwise
  }

  /** Null when the native side refuses the place. */
  async #withPlace<Value>(
    opened: OpenNamespace,
    place: Place,
    work: (handle: number) => Promise<Value>,
  ): Promise<Value | null> {
    const { native } = this.#parts
    let handle: number
    try {
      handle = native.openPlace(planesOf(opened, place))
    } catch {
      return null
    }
    this.#asks += 1
    this.#parts.host.sweepLeases((count) =>
      this.#parts.meter.add('terrace_tier_leases_expired_total', {}, count),
    )
    try {
      return await work(handle)
    } finally {
      native.closePlace(handle)
      this.#asks -= 1
      if (this.#asks === 0) for (const resolve of this.#asksEnded.splice(0)) resolve()
    }
  }
}

/** The five numbers per plane that the native side wants. */
function planesOf(opened: OpenNamespace, place: Place): Parameters<Native['openPlace']>[0] {
  const planes = new Float64Array(place.planes.length * 5)
  for (const [i, { baseOffset, layerStride, blockStride }] of place.planes.entries()) {
    const plane = opened.namespace.layout.planes[i]
    planes.set([baseOffset, layerStride, blockStride, plane?.layerCount ?? 0, plane?.pieceBytes ?? 0], i * 5)
  }
  return planes
}
