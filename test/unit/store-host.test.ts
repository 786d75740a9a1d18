import t from 'tap'
import type { KvEvent } from '../../tiers/block/event.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'
import { FakeNative } from '../sim/native.ts'
import { SimWorld } from '../sim/world.ts'

const layout = layoutOf(4, 3, 512)
const blockBytes = 2 * 3 * 512
const slotBytes = 4_096

function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count * layout.blockTokens }, (_, i) => first + i)
}

async function openHost(hostSlots: number) {
  const world = new SimWorld(1)
  const native = new FakeNative(world, new Map())
  const meter = new Meter(storeMetrics)
  const store = await openStore({
    native,
    world,
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '',
    hostBytes: hostSlots * slotBytes,
    nvmeBytes: 0,
    s3: null,
    policy: 'lru',
    meter,
  })
  const events: KvEvent[] = []
  store.onEvent((event) => events.push(event))
  const checker = new ServedChecker()
  const engine = new SimEngine(namespaceOf('a', layout), 64, checker)
  const id = store.openNamespace(namespaceOf('a', layout))
  if (id === null) throw new Error('no namespace')
  const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
  return { world, native, meter, store, events, checker, engine, id, region }
}

void t.test('what was stored is served, byte for byte, and as a prefix', async (t) => {
  const { world, store, engine, id, region, events, meter } = await openHost(32)
  const tokens = tokensOf(8)
  engine.compute(tokens, 0, 8, 0)
  const stored = await world.until(engine.store(store, id, region, tokens, 0, 8))
  t.same(stored, { storedBlocks: 8, alreadyBlocks: 0, droppedBlocks: 0, drop: 'none' })
  const again = await world.until(engine.store(store, id, region, tokens, 0, 8))
  t.match(again, { storedBlocks: 0, alreadyBlocks: 8 })
  t.match(store.lookup(id, tokensOf(10)), { readyBlocks: 8, byTier: { host: 8 } })
  engine.wipe()
  const loaded = await world.until(engine.load(store, id, region, tokensOf(10), 10, world.nowMs() + 1_000))
  t.match(loaded, { readyBlocks: 8, byTier: { host: 8 }, stop: 'absent', knownBlocks: 8 })
  engine.check(tokens, 8)
  t.equal(meter.valueOf('terrace_load_hit_blocks_total', { tier: 'host' }), 8)
  t.match(events, [{ kind: 'stored', holder: { tier: 'host', model: 'model', blockBytes } }])
  t.equal(
    events.reduce((sum, event) => sum + (event.kind === 'stored' ? event.blocks.length : 0), 0),
    8,
  )
  t.same(store.holdings().length, 1)
  await world.until(store.close(world.nowMs() + 1_000))
})

void t.test('a full host tier gives up the leaf that was used longest ago', async (t) => {
  const { world, store, engine, id, region, events } = await openHost(8)
  const [old, fresh] = [tokensOf(4), tokensOf(6, 1_000)]
  for (const tokens of [old, fresh]) {
    const count = tokens.length / layout.blockTokens
    engine.compute(tokens, 0, count, 0)
    await world.until(engine.store(store, id, region, tokens, 0, count))
  }
  t.equal(store.lookup(id, old).readyBlocks, 2, 'the tail of the older chain left')
  t.equal(store.lookup(id, fresh).readyBlocks, 6)
  t.equal(events.filter(({ kind }) => kind === 'removed').length > 0, true)
  t.equal(store.usage().host.blockCount, 8)
})

void t.test('another tenant, another revision: another block', async (t) => {
  const { world, store, engine, id, region } = await openHost(8)
  engine.compute(tokensOf(2), 0, 2, 0)
  await world.until(engine.store(store, id, region, tokensOf(2), 0, 2))
  for (const namespace of [namespaceOf('b', layout), namespaceOf('a', layout, 'r2')]) {
    const other = store.openNamespace(namespace)
    t.equal(other === null ? -1 : store.lookup(other, tokensOf(2)).readyBlocks, 0)
  }
  t.equal(store.openNamespace(namespaceOf('a', layout)), id, 'interned')
})

void t.test('a second size class takes over a segment instead of starving', async (t) => {
  const { world, native, store, engine, id, region, checker } = await openHost(8)
  engine.compute(tokensOf(8), 0, 8, 0)
  await world.until(engine.store(store, id, region, tokensOf(8), 0, 8))
  const wide = layoutOf(4, 3, 2_048)
  const other = new SimEngine(namespaceOf('w', wide), 8, checker)
  const otherId = store.openNamespace(namespaceOf('w', wide))
  if (otherId === null) throw new Error('no namespace')
  const otherRegion = store.attachRegion(native.share(other.memory), other.memory.length, true)
  other.compute(tokensOf(2), 0, 2, 0)
  const stored = await world.until(other.store(store, otherId, otherRegion, tokensOf(2), 0, 2))
  t.match(stored, { storedBlocks: 2, droppedBlocks: 0 })
  other.wipe()
  await world.until(other.load(store, otherId, otherRegion, tokensOf(2), 2, world.nowMs() + 1_000))
  other.check(tokensOf(2), 2)
})

void t.test('a hole in front, a block too large, an unknown region: refused with a reason', async (t) => {
  const { world, native, store, engine, id, region } = await openHost(8)
  engine.compute(tokensOf(4), 0, 4, 0)
  const hole = await world.until(engine.store(store, id, region, tokensOf(4), 2, 2))
  t.match(hole, { storedBlocks: 0, droppedBlocks: 2, drop: 'parent_absent' })
  const huge = layoutOf(4, 3, 65_536)
  const other = new SimEngine(namespaceOf('h', huge), 1, new ServedChecker())
  const hugeId = store.openNamespace(namespaceOf('h', huge))
  const hugeRegion = store.attachRegion(native.share(other.memory), other.memory.length, true)
  if (hugeId === null) throw new Error('no namespace')
  t.match(await world.until(other.store(store, hugeId, hugeRegion, tokensOf(1), 0, 1)), { drop: 'no_room' })
  t.match(await world.until(engine.store(store, id, 99, tokensOf(1), 0, 1)), { drop: 'copy_failed' })
  t.match(await world.until(engine.load(store, id, 99, tokensOf(1), 1, 9_999)), { stop: 'tier_failed' })
  t.throws(() => store.attachRegion(5, 10, true), { code: 'KVT_REGION_BAD' })
})

void t.test('bytes that changed in host memory are a miss with a counter, never a hit', async (t) => {
  const { world, native, store, engine, id, region, meter } = await openHost(8)
  engine.compute(tokensOf(4), 0, 4, 0)
  await world.until(engine.store(store, id, region, tokensOf(4), 0, 4))
  for (let at = 0; at < 8 * slotBytes; at += slotBytes) {
    const pool = native.bytesOf(1)
    if (at === 2 * slotBytes) pool[at + 5] = (pool[at + 5] ?? 0) ^ 1
  }
  engine.wipe()
  const loaded = await world.until(engine.load(store, id, region, tokensOf(4), 4, world.nowMs() + 1_000))
  t.ok(loaded.readyBlocks < 4)
  engine.check(tokensOf(4), loaded.readyBlocks)
  t.equal(meter.valueOf('terrace_tier_damaged_blocks_total', { tier: 'host', why: 'payload_checksum' }), 1)
})
