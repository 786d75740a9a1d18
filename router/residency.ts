import type { World } from '../tiers/block/clock.ts'
import type { TierName } from '../tiers/block/id.ts'
import { Follower } from './follow.ts'
import { type Held, Holdings } from './holdings.ts'
import type { Log } from './log.ts'
import { cautiousLinks } from './node-report.ts'
import type { SetId } from './owner-sets.ts'
import type { RouterMeter } from './parts.ts'
import type { NoOverlapWhy, Overlap, Overlaps } from './place.ts'
import { PrefixIndex } from './prefix-index.ts'
import type { PromptNames } from './prompt-names.ts'
import type { Run } from './score.ts'
import type { Worker } from './workers.ts'

/** Between two steps of the index's sweep, in milliseconds. */
const sweepEveryMs = 20
const nodeTiers = ['host', 'nvme', 's3'] as const satisfies readonly TierName[]

/** Where prefixes are, as far as the daemons' events say: the index, what feeds it, and the questions asked
 *  of it. */
export class Residency implements Overlaps {
  readonly #world: World
  readonly #log: Log
  readonly #meter: RouterMeter
  readonly #index: PrefixIndex
  #followers: readonly Follower[] = []
  #cancelSweep: () => void = () => undefined

  constructor(world: World, log: Log, meter: RouterMeter, indexBytes: number) {
    this.#world = world
    this.#log = log
    this.#meter = meter
    this.#index = new PrefixIndex(indexBytes)
  }

  start(daemons: readonly string[]): void {
    this.#followers = daemons.map(
      (url) =>
        new Follower({
          url,
          holdings: new Holdings(this.#world, this.#index),
          world: this.#world,
          log: this.#log,
          meter: this.#meter,
        }),
    )
    for (const follower of this.#followers) follower.start()
    this.#sweep()
  }

  stop(): void {
    this.#cancelSweep()
    for (const follower of this.#followers) follower.stop()
  }

  overlapOf(worker: Worker, names: PromptNames | null): Overlap {
    const none = (why: NoOverlapWhy): Overlap => ({ runs: [], links: cautiousLinks, blockBytes: 0, why })
    if (worker.naming === 'no') return none('no_adapter')
    if (names === null) return none('no_names')
    if (names.scheme === '') return none('adapter_unable')
    if (names.hashes.length === 0) return none('no_whole_block')
    const follower = this.#followerOf(worker)
    if (follower === null) return none('no_events_of_worker')
    if (follower.holdings.scheme !== names.scheme) return none('scheme_differs')
    const holders = holdersFor(follower, worker, names)
    const sized = holders.filter(({ holder }) => holder.blockTokens === names.blockTokens)
    const [first] = sized
    if (first === undefined) {
      return none(holders.length === 0 ? 'prefix_not_held' : 'block_size_differs')
    }
    const runs = this.#runsOf(sized, names)
    return {
      runs,
      links: follower.report.links,
      blockBytes: Math.max(...sized.map(({ holder }) => holder.blockBytes)),
      why: runs.length === 0 ? 'prefix_not_held' : null,
    }
  }

  status(): unknown {
    return {
      blocks: this.#index.blockCount,
      bytes: this.#index.byteCount,
      evictedBlocks: this.#index.evictedCount,
      refusedPlacements: this.#index.refusedCount,
      daemons: this.#followers.map((follower) => ({
        url: follower.url,
        connected: follower.connected,
        cursor: follower.holdings.cursor,
        scheme: follower.holdings.scheme,
        workers: [...follower.report.workers.keys()],
        holders: [...follower.holdings.all()].map(({ holder }) => holder),
        links: follower.report.links,
      })),
    }
  }

  /** Numbers of the index, for the gauges. */
  counts(): { readonly blocks: number; readonly bytes: number; readonly evicted: number } {
    return {
      blocks: this.#index.blockCount,
      bytes: this.#index.byteCount,
      evicted: this.#index.evictedCount,
    }
  }

  /** The daemon of the worker's node: the one that says so, by its status or by events of the worker's own
   *  cache. A lone daemon is taken to be everybody's. */
  #followerOf(worker: Worker): Follower | null {
    for (const follower of this.#followers) {
      if (follower.report.workers.has(worker.name)) return follower
      for (const { holder } of follower.holdings.all()) if (holder.worker === worker.name) return follower
    }
    return this.#followers.length === 1 ? (this.#followers[0] ?? null) : null
  }

  /** Walks the prompt's blocks while some holder has the next one, and says which tier is the nearest. Device
   *  memory counts only from the start on: an engine cannot use what lies behind a hole. */
  #runsOf(holders: readonly Held[], names: PromptNames): readonly Run[] {
    const runs: { tier: TierName; blocks: number }[] = []
    const bySeed = seedGroups(holders)
    let deviceOpen = true
    for (const block of names.hashes) {
      let tier: TierName | null = null
      for (const group of bySeed) {
        const [first] = group
        if (first === undefined) continue
        const nearest = this.#nearest(this.#index.setOf(first.seed, block), group, deviceOpen)
        if (nearest !== null && (tier === null || orderOf(nearest) < orderOf(tier))) tier = nearest
      }
      if (tier === null) break
      if (tier !== 'hbm') deviceOpen = false
      const last = runs.at(-1)
      if (last?.tier === tier) last.blocks += 1
      else runs.push({ tier, blocks: 1 })
    }
    return runs
  }

  #nearest(set: SetId, holders: readonly Held[], deviceOpen: boolean): TierName | null {
    if (set === 0) return null
    let nearest: TierName | null = null
    for (const { id, holder } of holders) {
      if (holder.tier === 'hbm' && !deviceOpen) continue
      if (nearest !== null && orderOf(holder.tier) >= orderOf(nearest)) continue
      if (this.#index.has(set, id)) nearest = holder.tier
    }
    return nearest
  }

  #sweep(): void {
    this.#index.sweepStep()
    this.#cancelSweep = this.#world.after(sweepEveryMs, () => this.#sweep())
  }
}

/** The holders that this worker can have blocks from: its own cache, and its node's tiers while their daemon
 *  can be reached. */
function holdersFor(follower: Follower, worker: Worker, names: PromptNames): readonly Held[] {
  const served = [...worker.models, ...(follower.report.workers.get(worker.name) ?? [])]
  const models = new Set(names.model === null ? served : [names.model])
  const found: Held[] = []
  for (const held of follower.holdings.all()) {
    const { tier, worker: owner, model } = held.holder
    if (!models.has(model)) continue
    const reachable = tier === 'hbm' ? owner === worker.name : owner === '' && follower.connected
    if (reachable) found.push(held)
  }
  return found
}

function seedGroups(holders: readonly Held[]): readonly (readonly Held[])[] {
  const groups = new Map<string, Held[]>()
  for (const held of holders) {
    const group = groups.get(held.holder.model)
    if (group === undefined) groups.set(held.holder.model, [held])
    else group.push(held)
  }
  return [...groups.values()]
}

function orderOf(tier: TierName): number {
  return tier === 'hbm' ? 0 : 1 + nodeTiers.indexOf(tier)
}
