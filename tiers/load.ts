import { assert } from './block/assert.ts'
import { beforeDeadline } from './block/clock.ts'
import type { BlockKey, TierName } from './block/id.ts'
import type { LoadStop } from './block/wire.ts'
import type { Climbed, Climber } from './climb.ts'
import type { OpenNamespace } from './namespaces.ts'
import { identitiesOf, type Parts, tierOf } from './parts.ts'
import { loadMsOf, type MsOf } from './policy/cost.ts'
import { type LoadGroup, planLoad } from './policy/plan.ts'
import { sameSlot } from './state.ts'
import type { LoadAnswer, LoadWanted, LookupAnswer } from './store.ts'
import type { Identity, Pinned } from './table.ts'

/** Copies into the engine that are in flight at once. Why: after the deadline those already started are waited for,
 *  since the engine
 *  may write to its memory as soon as it has the answer. */
const scattersMax = 32
/** Copies of one block that a load tries when the nearer ones turn out damaged: one per tier. */
const copiesMax = 3

type Counts = Record<TierName, number>

/** Looks a chain up, climbs what is worth it, and copies it into the engine's memory. */
export class LoadFlow {
  readonly #parts: Parts
  readonly #climber: Climber
  /** Called with blocks that reached an engine, root first, where an admission rule may think better of them now. */
  readonly #used: (identities: readonly Identity[]) => void

  constructor(parts: Parts, climber: Climber, used: (identities: readonly Identity[]) => void) {
    this.#parts = parts
    this.#climber = climber
    this.#used = used
  }

  lookup(opened: OpenNamespace, keys: readonly BlockKey[]): LookupAnswer {
    const byTier: Counts = { hbm: 0, host: 0, nvme: 0, s3: 0 }
    const sources = this.#knownSources(keys)
    for (const tier of sources) byTier[tier] += 1
    const { meter } = this.#parts
    meter.add('terrace_tier_lookups_total', {})
    meter.add('terrace_tier_lookup_blocks_total', {}, keys.length)
    meter.add('terrace_tier_known_blocks_total', {}, sources.length)
    return { readyBlocks: sources.length, byTier, loadMs: loadMsOf(byTier, opened.blockBytes, this.#msOf) }
  }

  async load(
    opened: OpenNamespace,
    keys: readonly BlockKey[],
    tokens: Uint32Array,
    place: number,
    wanted: LoadWanted,
  ): Promise<LoadAnswer> {
    const { world, host } = this.#parts
    const startMs = world.nowMs()
    const known = this.#knownSources(keys)
    const count = Math.min(wanted.blockCount, Math.max(0, keys.length - wanted.firstBlock))
    const sources: (TierName | null)[] = []
    for (let i = 0; i < count; i++) sources.push(known[wanted.firstBlock + i] ?? null)
    const end = wanted.firstBlock + count
    const asked = keys.slice(0, end)
    this.#parts.admissions?.asked(asked, Math.min(known.length, end))
    const plan = planLoad({
      sources,
      blockBytes: opened.blockBytes,
      prefillMsPerBlock: wanted.prefillMsPerBlock,
      leftMs: wanted.deadlineMs - startMs,
      hostSlots: host.arena.slotsMax(opened.blockBytes),
      msOf: this.#msOf,
    })
    const run = new LoadRun(this.#parts, this.#climber, opened, keys, place, wanted)
    const arrived = host.table.wantChain(asked)
    const routes = plan.groups.length === 0 ? [] : this.#parts.book.routesOf(opened, tokens)
    const stop = await run.all(plan.groups, routes).finally(arrived)
    if (this.#parts.admissions !== null) {
      this.#used(identitiesOf(opened, keys, routes, wanted.firstBlock, run.ready))
    }
    this.#parts.visited('load', asked, run.ready === 0 ? 0 : wanted.firstBlock + run.ready)
    this.#count(count, run, stop ?? plan.stop, startMs)
    return {
      readyBlocks: run.ready,
      byTier: run.byTier,
      stop: stop ?? plan.stop,
      knownBlocks: known.length,
    }
  }

  #knownSources(keys: readonly BlockKey[]): TierName[] {
    const sources: TierName[] = []
    for (const key of keys) {
      const tier = tierOf(this.#parts, key)
      if (tier === null) break
      sources.push(tier)
    }
    return sources
  }

  readonly #msOf: MsOf = (tier, byteCount) => {
    if (tier === 'host') return this.#parts.runner.msOf('copy', byteCount)
    return this.#parts.cold.find(({ name }) => name === tier)?.readMsOf(byteCount) ?? null
  }

  #count(wantedBlocks: number, run: LoadRun, stop: LoadStop, startMs: number): void {
    const { meter, world } = this.#parts
    meter.add('terrace_load_requests_total', { stop })
    meter.add('terrace_load_wanted_blocks_total', {}, wantedBlocks)
    for (const tier of ['host', 'nvme', 's3'] as const) {
      if (run.byTier[tier] > 0) meter.add('terrace_load_hit_blocks_total', { tier }, run.byTier[tier])
    }
    if (run.ready > 0) meter.observe('terrace_load_seconds', {}, (world.nowMs() - startMs) / 1_000)
  }
}

/** One load under way. */
class LoadRun {
  ready = 0
  readonly byTier: Counts = { hbm: 0, host: 0, nvme: 0, s3: 0 }
  readonly #parts: Parts
  readonly #climber: Climber
  readonly #opened: OpenNamespace
  readonly #keys: readonly BlockKey[]
  readonly #place: number
  readonly #wanted: LoadWanted

  constructor(
    parts: Parts,
    climber: Climber,
    opened: OpenNamespace,
    keys: readonly BlockKey[],
    place: number,
    wanted: LoadWanted,
  ) {
    this.#parts = parts
    this.#climber = climber
    this.#opened = opened
    this.#keys = keys
    this.#place = place
    this.#wanted = wanted
  }

  /** Works through the groups; the next one climbs while the last one is copied. Null when all of them arrived, else
   *  why not. */
  async all(
    groups: readonly LoadGroup[],
    routes: Parameters<typeof identitiesOf>[2],
  ): Promise<LoadStop | null> {
    const climbOf = (group: LoadGroup | undefined) => {
      if (group === undefined) return null
      const first = this.#wanted.firstBlock + group.first
      const identities = identitiesOf(this.#opened, this.#keys, routes, first, group.sources.length)
      const climbs = this.#climber.climb(this.#opened, identities, this.#wanted.deadlineMs)
      return { first, identities, climbs }
    }
    let next = climbOf(groups[0])
    let retriesLeft = copiesMax
    for (let i = 0; next !== null; i++) {
      const group = next
      next = climbOf(groups[i + 1])
      let stop = await this.#copyGroup(group.identities, group.climbs)
      while (stop === 'try_again' && retriesLeft > 0) {
        retriesLeft -= 1
        const rest = group.identities.slice(this.#wanted.firstBlock + this.ready - group.first)
        stop = await this.#copyGroup(rest, this.#climber.climb(this.#opened, rest, this.#wanted.deadlineMs))
      }
      if (stop !== null) return stop === 'try_again' ? 'damaged' : stop
    }
    return null
  }

  /** `try_again`: a host copy was found damaged and dropped; another tier may have a good one. */
  async #copyGroup(
    identities: readonly Identity[],
    climbs: readonly Promise<Climbed>[],
  ): Promise<LoadStop | 'try_again' | null> {
    for (let first = 0; first < identities.length; first += scattersMax) {
      const slice = identities.slice(first, first + scattersMax)
      const pins: Pinned[] = []
      const origins: TierName[] = []
      let stop: LoadStop | null = null
      for (const [i, identity] of slice.entries()) {
        const { world, host } = this.#parts
        const climb = climbs[first + i]
        assert(climb !== undefined, 'every block has a climb')
        const climbed = await beforeDeadline(world, this.#wanted.deadlineMs, climb)
        if (climbed === null) stop = 'deadline'
        else if (climbed.value.as === 'stopped') stop = climbed.value.stop
        const pinned = stop === null ? host.table.pin(identity.key, world.nowMs()) : null
        // Between its climb and now the block may have been evicted again: then it is absent.
        if (pinned === null) {
          stop ??= 'absent'
          break
        }
        pins.push(pinned)
        origins.push(climbed?.value.as === 'ready' ? climbed.value.from : 'host')
      }
      const { copied, stop: stopped } = await this.#scatter(pins)
      for (const tier of origins.slice(0, copied)) this.byTier[tier] += 1
      this.ready += copied
      if (stopped !== null) return stopped
      if (stop !== null) return stop
    }
    return null
  }

  /** Copies pinned blocks into the engine's place and says how many leading ones arrived. Always waits for every
   *  copy it began:
   *  the engine may use its memory again as soon as it has the answer. */
  async #scatter(pins: readonly Pinned[]): Promise<{ copied: number; stop: LoadStop | 'try_again' | null }> {
    if (this.#parts.world.nowMs() >= this.#wanted.deadlineMs) {
      for (const { lease } of pins) this.#parts.host.table.unpin(lease)
      return { copied: 0, stop: 'deadline' }
    }
    const outcomes = await Promise.all(pins.map((pinned) => this.#scatterOne(pinned)))
    const copied = outcomes.findIndex((outcome) => outcome !== 'copied')
    if (copied === -1) return { copied: pins.length, stop: null }
    return { copied, stop: outcomes[copied] === 'damaged' ? 'try_again' : 'tier_failed' }
  }

  async #scatterOne(pinned: Pinned): Promise<'copied' | 'damaged' | 'failed'> {
    const { runner, host } = this.#parts
    const { into, firstBlock } = this.#wanted
    const index = into.indexes[pinned.identity.position - firstBlock]
    assert(index !== undefined, 'every block of the range has an index')
    const ended = await runner.runToEnd({
      operation: 'scatter',
      sourceRegion: host.region,
      source: host.arena.byteOffsetOf(pinned.slot.index),
      targetRegion: into.region,
      target: index,
      byteCount: pinned.identity.payloadBytes,
      place: this.#place,
      checksum: pinned.checksum,
      seal: null,
    })
    const same = host.table.stillHolds(pinned.lease)
    host.table.unpin(pinned.lease)
    if (ended.as === 'ok' && same === 'same') return 'copied'
    if (ended.as === 'ok' || ended.why !== 'checksum') return 'failed'
    this.#dropHostCopy(pinned)
    return 'damaged'
  }

  #dropHostCopy({ identity, slot }: Pinned): void {
    const { host, meter, announcer, world } = this.#parts
    meter.add('terrace_tier_damaged_blocks_total', { tier: 'host', why: 'payload_checksum' })
    const row = host.table.sealedRowOf(identity.key)
    if (row < 0 || !sameSlot(host.table.at(row).state.slot, slot)) return
    host.table.drop(row, false, world.nowMs())
    announcer.removed('host', identity.namespace, identity.route, 'damaged')
  }
}
