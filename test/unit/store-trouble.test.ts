import t from 'tap'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'
import { SimFiles } from '../sim/files.ts'
import { FakeNative, noFaults } from '../sim/native.ts'
import { SimWorld } from '../sim/world.ts'

const layout = layoutOf(4, 2, 700)
const slotBytes = 4_096

function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count * layout.blockTokens }, (_, i) => first + i)
}

/** A store with a drive in the simulated world, where every trouble can be switched on and off. */
async function openTroubled(files = new SimFiles()) {
  const world = new SimWorld(3)
  const native = new FakeNative(world, files.disk)
  const meter = new Meter(storeMetrics)
  const opening = openStore({
    ...{ native, world, meter, files, s3: null, policy: 'lru' },
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '/data',
    hostBytes: 32 * slotBytes,
    nvmeBytes: 2 ** 20,
  })
  const store = await world.until(opening)
  const namespace = namespaceOf('a', layout)
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  const engineOf = () => {
    const engine = new SimEngine(namespace, 16, checker)
    const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
    return { engine, region }
  }
  const checker = new ServedChecker()
  const first = engineOf()
  const keep = async (tokens: Uint32Array) => {
    const count = tokens.length / layout.blockTokens
    first.engine.compute(tokens, 0, count, 0)
    return world.until(first.engine.store(store, id, first.region, tokens, 0, count))
  }
  const load = (who: typeof first, tokens: Uint32Array, ms: number) => {
    who.engine.wipe()
    const count = tokens.length / layout.blockTokens
    return who.engine.load(store, id, who.region, tokens, count, world.nowMs() + ms)
  }
  return { world, native, meter, store, id, engineOf, first, keep, load, files }
}

void t.test(
  'a drive that fails rests, the host serves on, and what waited is written once it is well',
  async (t) => {
    const { world, native, meter, store, keep, load, first } = await openTroubled()
    native.faults = { ...noFaults, fail: 0 }
    await keep(tokensOf(1))
    await world.pass(100)
    t.equal(store.usage().nvme.blockCount, 1)
    native.failing = (operation) => operation === 'write'
    await keep(tokensOf(8, 500))
    await world.pass(1_000)
    t.match(store.usage().nvme, { state: 'resting', blockCount: 1, why: /errno/ })
    await keep(tokensOf(4, 900))
    const loaded = await world.until(load(first, tokensOf(8, 500), 1_000))
    t.match(loaded, { readyBlocks: 8, byTier: { host: 8 } })
    first.engine.check(tokensOf(8, 500), 8)
    native.failing = () => false
    await world.pass(10_000)
    t.equal(store.usage().nvme.state, 'serving')
    t.equal(store.usage().nvme.blockCount, 13, 'what was refused while it rested is there now')
    t.ok(meter.valueOf('terrace_tier_rests_total', { tier: 'nvme' }) >= 1)
  },
)

void t.test(
  'a drive that does not answer costs a load its deadline, and the slot waits for the late bytes',
  async (t) => {
    const { world, native, store, keep, load, first, meter } = await openTroubled()
    await keep(tokensOf(6))
    await world.pass(1_000)
    await world.until(store.clear('host'))
    native.faults = { ...noFaults, late: 1 }
    const startMs = world.nowMs()
    const answer = await world.until(load(first, tokensOf(6), 50))
    t.match(answer, { readyBlocks: 0, stop: 'deadline', knownBlocks: 6 })
    t.ok(world.nowMs() - startMs < 60, 'it answers at its deadline')
    native.faults = noFaults
    await world.pass(10_000)
    t.same(store.check(), { leases: 0, climbs: 0, steps: 0, filling: 0 })
    t.ok(meter.valueOf('terrace_tier_steps_overdue_total') > 0)
    t.match(await world.until(load(first, tokensOf(6), 1_000)), { readyBlocks: 6 })
    first.engine.check(tokensOf(6), 6)
  },
)

void t.test('loads of the same blocks share one climb', async (t) => {
  const { world, store, keep, load, first, engineOf, meter } = await openTroubled()
  await keep(tokensOf(6))
  await world.pass(1_000)
  await world.until(store.clear('host'))
  const second = engineOf()
  const both = [load(first, tokensOf(6), 1_000), load(second, tokensOf(6), 1_000)]
  for (const answer of await world.until(Promise.all(both))) t.match(answer, { readyBlocks: 6 })
  first.engine.check(tokensOf(6), 6)
  second.engine.check(tokensOf(6), 6)
  t.equal(meter.valueOf('terrace_tier_climbed_blocks_total', { tier: 'nvme' }), 6)
})

void t.test('a region goes only when no copy touches it any more', async (t) => {
  const { world, native, store, id, engineOf, first } = await openTroubled()
  const { engine, region } = engineOf()
  engine.compute(tokensOf(8), 0, 8, 0)
  native.faults = { ...noFaults, late: 1 }
  const storing = engine.store(store, id, region, tokensOf(8), 0, 8)
  await world.pass(0.01)
  const detaching = store.detachRegion(region)
  let detached = false
  void detaching.then(() => {
    detached = true
  })
  await world.pass(100)
  t.equal(detached, false, 'copies run')
  await world.until(storing)
  await world.until(detaching)
  native.faults = noFaults
  t.match(await world.until(engine.store(store, id, region, tokensOf(1), 0, 1)), { drop: 'copy_failed' })
  t.ok(first.region !== region)
})

void t.test('a close writes what waits; afterwards nothing is taken or given', async (t) => {
  const files = new SimFiles()
  const { world, store, id, keep, load, first } = await openTroubled(files)
  await keep(tokensOf(12))
  await world.until(store.close(world.nowMs() + 2_000))
  t.match(store.lookup(id, tokensOf(12)), { readyBlocks: 0 })
  t.match(await load(first, tokensOf(12), 100), { readyBlocks: 0, stop: 'stopping' })
  t.throws(() => store.attachRegion(1, 1, true), { code: 'KVT_STOPPING' })
  const next = await openTroubled(files)
  t.match(next.store.lookup(next.id, tokensOf(12)), { readyBlocks: 12, byTier: { nvme: 12 } })
})

void t.test('clear all: nothing is found any more, on the drive neither', async (t) => {
  const files = new SimFiles()
  const { world, store, id, keep } = await openTroubled(files)
  await keep(tokensOf(6))
  await world.pass(1_000)
  await world.until(store.clear('all'))
  t.match(store.lookup(id, tokensOf(6)), { readyBlocks: 0 })
  t.same(store.holdings(), [])
  await world.until(store.close(world.nowMs() + 1_000))
  const next = await openTroubled(files)
  t.match(next.store.lookup(next.id, tokensOf(6)), { readyBlocks: 0 })
})

void t.test(
  'GPU memory that opens while the store ends is closed again; what cannot be opened is said',
  async (t) => {
    const { world, native, store, meter } = await openTroubled()
    const bad = store.attachDevice(Promise.reject(new Error('openParts.device: none')))
    await t.rejects(bad, { code: 'KVT_REGION_BAD', message: /openParts\.device: none/ })
    const kept = await store.attachDevice(Promise.resolve(native.openMemory(64)))
    await world.pass(100)
    t.ok(native.isOpen(kept))
    t.equal(
      meter.valueOf('terrace_tier_pinned_bytes', {}),
      0,
      'a memory that cannot be page-locked is not counted',
    )
    const opening = Promise.withResolvers<number>()
    const late = store.attachDevice(opening.promise)
    const region = native.openMemory(64)
    const ended = store.close(world.nowMs() + 1_000)
    opening.resolve(region)
    await t.rejects(late, { code: 'KVT_STOPPING' })
    t.notOk(native.isOpen(region))
    await world.until(ended)
    t.notOk(native.isOpen(kept))
  },
)
