import type { AdmissionSetting, DemotionMode } from '../../tiers/admit.ts'
import type { KvEvent } from '../../tiers/block/event.ts'
import type { NamespaceId } from '../../tiers/block/id.ts'
import { Meter } from '../../tiers/block/metric.ts'
import type { Namespace } from '../../tiers/block/namespace.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore, type StoreOptions } from '../../tiers/open-store.ts'
import { type AdmissionEntry, admissions } from '../../tiers/policy/admission.ts'
import type { BlockStore } from '../../tiers/store.ts'
import type { TieredStore } from '../../tiers/tiered-store.ts'
import { type Bucket, SimCold } from './cold.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from './engine.ts'
import { SimFiles } from './files.ts'
import { FakeNative, type Faults, noFaults } from './native.ts'
import { SimWorld } from './world.ts'

/** What one seed did. */
export type SimResult = {
  readonly seed: number
  readonly servedBlocks: number
  readonly storedBlocks: number
  readonly lives: number
  readonly steps: number
  readonly damagedBlocks: number
  readonly injectedDamage: number
}

const small = layoutOf(4, 2, 700)
const wide = layoutOf(4, 2, 2_900)
const engineBlocks = 12
/** Every seed draws its own mixture; most of them have few kinds of fault, so that rare pairs come up alone. */
type Mix = {
  readonly faults: Faults
  readonly hostSlots: number
  readonly nvmeBytes: number
  readonly s3: boolean
  readonly policy: string
  readonly namespaces: readonly Namespace[]
  readonly lives: number
  readonly catalogLost: boolean
  readonly admission: NonNullable<StoreOptions['admission']>
}

export function mixOf(world: SimWorld): Mix {
  const { chance } = world
  const rate = (share: number, most: number): number => (chance() < share ? chance() * most : 0)
  const faults = {
    fail: rate(0.4, 0.2),
    rot: rate(0.3, 0.1),
    tear: rate(0.3, 0.2),
    double: rate(0.3, 0.1),
    late: rate(0.3, 0.1),
    misdirect: rate(0.3, 0.1),
  }
  const namespaces = [namespaceOf('a', small), namespaceOf('b', small), namespaceOf('a', small, 'r2')]
  if (chance() < 0.5) namespaces.push(namespaceOf('a', wide))
  return {
    faults: chance() < 0.35 ? noFaults : faults,
    hostSlots: 8 + Math.floor(chance() * 24),
    nvmeBytes: chance() < 0.85 ? 131_072 + (8 + Math.floor(chance() * 40)) * 8_192 : 0,
    s3: chance() < 0.6,
    policy: policyOf(chance()),
    namespaces,
    lives: 1 + Math.floor(chance() * 4),
    catalogLost: chance() < 0.3,
    admission: chance() < 0.4 ? admissionFrom(chance) : {},
  }
}

/** A rule in front of the drive, of the bucket, or of both. */
function admissionFrom(chance: () => number): Mix['admission'] {
  const settingOf = (demotion: DemotionMode): AdmissionSetting => ({
    rule: admissions[Math.floor(chance() * admissions.length)] as AdmissionEntry,
    demotion,
    writeBytesPerDay: chance() < 0.2 ? 200_000 : 0,
  })
  return {
    ...(chance() < 0.8 ? { nvme: settingOf(chance() < 0.5 ? 'demote' : 'write-through') } : {}),
    ...(chance() < 0.3 ? { s3: settingOf('write-through') } : {}),
  }
}

type Life = {
  readonly world: SimWorld
  readonly native: FakeNative
  readonly store: TieredStore
  readonly meter: Meter<typeof storeMetrics>
  readonly seen: EventReader
}

/** Runs one seed: several lives of one store, engines that store and load random prefixes, and whatever faults the
 *  seed draws. Throws
 *  when a wrong block is served, when something hangs, or when damage shows up that nobody injected. */
export async function simulate(seed: number, operations: number): Promise<SimResult> {
  const world = new SimWorld(seed)
  const mix = mixOf(world)
  const files = new SimFiles()
  const bucket: Bucket = new Map()
  const checker = new ServedChecker()
  const totals = { stored: 0, requests: 0, damaged: 0, injected: 0, staleHints: 0 }
  for (let life = 0; life < mix.lives; life++) {
    const isLast = life === mix.lives - 1
    const native = new FakeNative(world, files.disk)
    native.faults = mix.faults
    if (mix.catalogLost) files.catalog.usable = false
    const cold = mix.s3 ? new SimCold(world, native, bucket, () => native.faults) : null
    const opened = await openLife(world, native, files, cold, mix)
    cold?.discover()
    const each = Math.ceil(operations / mix.lives / 4)
    const crashes = !isLast && world.chance() < 0.8
    const crashAt = crashes
      ? totals.requests + Math.floor(world.chance() * each * 4)
      : Number.POSITIVE_INFINITY
    const actors = Array.from({ length: 4 }, () => actor(opened, mix, checker, each, totals))
    if (crashes) {
      await world.until(Promise.race([Promise.all(actors), crashOf(world, totals, crashAt)]))
      native.dead = true
      world.die()
    } else {
      await world.until(Promise.all(actors))
      await endLife(opened)
    }
    totals.staleHints += opened.meter.valueOf('terrace_tier_recovery_refused_total', { why: 'stale_hint' })
    totals.damaged += opened.meter.valueOf('terrace_tier_damaged_blocks_total')
    const { rotted, torn, misdirected } = native.counts
    totals.injected += rotted + torn + misdirected + (cold?.rotted ?? 0)
  }
  const lostHints = mix.catalogLost && mix.lives > 1
  if (totals.injected === 0 && totals.damaged > 0 && !lostHints) {
    throw new Error(`${totals.damaged} damaged blocks, and none was injected`)
  }
  if (!mix.catalogLost && totals.staleHints > 0 && totals.injected === 0) {
    throw new Error(`${totals.staleHints} blocks in the catalog were not where it says`)
  }
  return {
    seed,
    servedBlocks: checker.servedBlocks,
    storedBlocks: totals.stored,
    lives: mix.lives,
    steps: world.steps,
    damagedBlocks: totals.damaged,
    injectedDamage: totals.injected,
  }
}

function policyOf(chance: number): string {
  if (chance < 0.4) return 'lru'
  return chance < 0.6 ? 'lru-leaf-only' : 'terrace'
}

/** Ends at some moment after so many requests. */
async function crashOf(
  world: SimWorld,
  totals: { readonly requests: number },
  crashAt: number,
): Promise<void> {
  while (totals.requests < crashAt) await world.sleep(5)
  await world.sleep(world.chance() * 40)
}

async function openLife(
  world: SimWorld,
  native: FakeNative,
  files: SimFiles,
  s3: SimCold | null,
  mix: Mix,
): Promise<Life> {
  const meter = new Meter(storeMetrics)
  const opening = openStore({
    native,
    world,
    clusterSecret: new Uint8Array(32).fill(9),
    dataDirectory: '/data',
    hostBytes: mix.hostSlots * 4_096,
    nvmeBytes: mix.nvmeBytes,
    s3,
    policy: mix.policy,
    admission: mix.admission,
    meter,
    files,
  })
  const store = await world.until(opening)
  const seen = new EventReader(store.holdings())
  store.onEvent((event) => seen.take(event))
  return { world, native, store, meter, seen }
}

/** What a reader of the events believes the tiers hold. */
class EventReader {
  readonly #counts = new Map<string, number>()

  constructor(holdings: readonly KvEvent[]) {
    for (const event of holdings) this.take(event)
  }

  take(event: KvEvent): void {
    if (event.kind === 'cleared') return
    for (const route of event.blocks) {
      const name = `${event.holder.tier}/${event.holder.blockBytes}/${route}`
      const count = (this.#counts.get(name) ?? 0) + (event.kind === 'stored' ? 1 : -1)
      if (count === 0) this.#counts.delete(name)
      else this.#counts.set(name, count)
    }
  }

  /** Throws when the events do not add up to the state. */
  compare(holdings: readonly KvEvent[]): void {
    const state = new EventReader(holdings)
    for (const name of new Set([...this.#counts.keys(), ...state.#counts.keys()])) {
      const [told, held] = [this.#counts.get(name) ?? 0, state.#counts.get(name) ?? 0]
      if (told !== held) throw new Error(`events say ${told} of ${name}, the tiers hold ${held}`)
    }
  }
}

/** Looks for a moment of rest, and the simulated time between two of them. */
const restLooks = 50
const restLookMs = 3

function hasWork(left: ReturnType<TieredStore['check']>): boolean {
  return Object.values(left).some((count) => count !== 0)
}

/** Liveness: once the faults stop, nothing is left under way and a close ends. */
async function endLife({ world, native, store, seen }: Life): Promise<void> {
  native.faults = noFaults
  await world.pass(20_000)
  seen.compare(store.holdings())
  // The scrubber reads on, a block at a time: between two of its reads nothing is under way.
  let left = store.check()
  for (let look = 0; look < restLooks && hasWork(left); look++) {
    await world.pass(restLookMs)
    left = store.check()
  }
  if (hasWork(left)) throw new Error(`something is still under way: ${JSON.stringify(left)}`)
  await world.until(store.close(world.nowMs() + 5_000))
}

/** One engine after the other with memory of its own: loads what it can of a prompt, computes the rest, stores it. */
async function actor(
  { world, native, store }: Life,
  mix: Mix,
  checker: ServedChecker,
  operations: number,
  totals: { stored: number; requests: number },
): Promise<void> {
  const { chance } = world
  for (let i = 0; i < operations; i++) {
    const namespace = mix.namespaces[Math.floor(chance() * mix.namespaces.length)] as Namespace
    const id = store.openNamespace(namespace)
    if (id === null) throw new Error('no namespace')
    const engine = new SimEngine(namespace, engineBlocks, checker)
    const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
    const turns = 1 + Math.floor(chance() * 3)
    for (let turn = 0; turn < turns; turn++) {
      totals.stored += await request(world, store, engine, id, region)
      totals.requests += 1
      world.progressed()
    }
    await store.detachRegion(region)
  }
}

async function request(
  world: SimWorld,
  store: BlockStore,
  engine: SimEngine,
  id: NamespaceId,
  region: number,
): Promise<number> {
  const { chance } = world
  const count = 1 + Math.floor(chance() * engineBlocks)
  const tokens = promptOf(chance, count)
  engine.wipe()
  const deadlineMs = world.nowMs() + (chance() < 0.2 ? 3 * chance() : 2_000)
  const answer = await engine.load(
    store,
    id,
    region,
    tokens,
    count,
    deadlineMs,
    chance() < 0.2 ? chance() : 0,
  )
  // The engine owns its memory again from here on: a copy that is still under way would show.
  const ready = answer.readyBlocks
  engine.check(tokens, ready)
  if (chance() < 0.5) await world.sleep(chance() * 20)
  engine.check(tokens, ready)
  if (ready < count) engine.compute(tokens, ready, count - ready, Math.floor(chance() * 4))
  if (chance() < 0.3) await world.sleep(chance() * 50)
  const stored = await engine.store(store, id, region, tokens, ready, count - ready)
  return stored.storedBlocks
}

/** Prompts are paths in a small tree: many share their beginning. */
function promptOf(chance: () => number, count: number): Uint32Array {
  const tokens = new Uint32Array(count * small.blockTokens)
  for (let block = 0; block < count; block++) {
    const branch = chance() < 0.75 ? 0 : Math.floor(chance() * 3)
    tokens.fill(1 + branch, block * small.blockTokens, (block + 1) * small.blockTokens)
  }
  return tokens
}
