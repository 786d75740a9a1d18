import t from 'tap'
import { operations } from '../../addon/native.ts'
import { blockBytesOf } from '../../tiers/block/layout.ts'
import { slotPageBytes } from '../../tiers/block/limits.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { scrubBytesPerSecond, scrubPauseMs } from '../../tiers/scrub.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'
import { SimFiles } from '../sim/files.ts'
import { FakeNative, noFaults } from '../sim/native.ts'
import { SimWorld } from '../sim/world.ts'

/** The scrubber over a drive of the simulated world: no engine reads anything in these tests. */

async function openScrubbed({ pieceBytes = 700, files = new SimFiles(), seed = 3 } = {}) {
  const layout = layoutOf(4, 2, pieceBytes)
  const world = new SimWorld(seed)
  const native = new FakeNative(world, files.disk)
  const meter = new Meter(storeMetrics)
  const blockBytes = blockBytesOf(layout)
  const opening = openStore({
    ...{ native, world, meter, files, s3: null, policy: 'lru' },
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '/data',
    hostBytes: 64 * (blockBytes + slotPageBytes),
    nvmeBytes: 2 ** 20 + 128 * (blockBytes + 2 * slotPageBytes),
  })
  const store = await world.until(opening)
  const namespace = namespaceOf('a', layout)
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  const engine = new SimEngine(namespace, 16, new ServedChecker())
  const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
  /** Stores a prompt and waits until it is on the drive. */
  const keep = async (count: number, first = 0): Promise<void> => {
    const tokens = tokensOf(count, first)
    engine.compute(tokens, 0, count, 0)
    await world.until(engine.store(store, id, region, tokens, 0, count))
    await world.pass(1_000)
  }
  const scrubbed = () => meter.valueOf('terrace_tier_scrubbed_blocks_total')
  const damaged = () =>
    meter.valueOf('terrace_tier_damaged_blocks_total', { tier: 'nvme', why: 'payload_checksum' })
  const readBytes = () => meter.valueOf('terrace_tier_moved_bytes_total', { step: 'read' })
  return {
    world,
    native,
    meter,
    store,
    id,
    engine,
    region,
    keep,
    scrubbed,
    damaged,
    readBytes,
    files,
    blockBytes,
  }
}

function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count * 4 }, (_, i) => first + i)
}

/** Offsets of the slots that carry a seal. */
function sealsIn(files: SimFiles): number[] {
  const slab = files.disk.get('/data/nvme.slab') ?? new Uint8Array(0)
  const magic = 'TERRACE\n'
  const found: number[] = []
  for (let at = 0; at < slab.length; at += slotPageBytes)
    if (String.fromCharCode(...slab.subarray(at, at + 8)) === magic) found.push(at)
  return found
}

/** Flips one bit of the payload in a slot. */
function flip(files: SimFiles, slotAt: number): void {
  const slab = files.disk.get('/data/nvme.slab') ?? new Uint8Array(0)
  slab[slotAt + slotPageBytes + 99] = (slab[slotAt + slotPageBytes + 99] ?? 0) ^ 8
}

void t.test('a flipped bit in a block that nobody reads is found, counted and dropped', async (t) => {
  const { world, store, keep, scrubbed, damaged, files } = await openScrubbed()
  await keep(6)
  const before = JSON.stringify(store.holdings())
  flip(files, sealsIn(files)[3] ?? 0)
  await world.pass(scrubPauseMs - 2_000)
  t.equal(scrubbed(), 0, 'not before its time')
  await world.pass(4_000)
  t.equal(scrubbed(), 6, 'every block')
  t.equal(damaged(), 1, 'counted')
  t.equal(store.usage().nvme.blockCount, 5, 'dropped')
  t.not(JSON.stringify(store.holdings()), before, 'and told')
  t.equal(store.usage().host.blockCount, 6, 'the copy in host memory stays')
  t.same(store.check(), { leases: 0, climbs: 0, steps: 0, filling: 0 })
})

void t.test(
  'walk after walk: what rots later is found by the next one, and blocks that came later too',
  async (t) => {
    const { world, keep, scrubbed, damaged, files, store } = await openScrubbed()
    await keep(4)
    await world.pass(scrubPauseMs)
    t.equal(scrubbed(), 4, 'the first walk')
    await keep(3, 500)
    const [first = 0, , , , , , last = 0] = sealsIn(files)
    flip(files, first)
    flip(files, last)
    await world.pass(scrubPauseMs + 1_000)
    t.equal(scrubbed(), 11, 'the second walk, seven blocks')
    t.equal(damaged(), 2)
    await world.pass(scrubPauseMs + 1_000)
    t.equal(scrubbed(), 16, 'the third, five blocks')
    t.equal(store.usage().nvme.blockCount, 5)
  },
)

void t.test('blocks of an earlier life are verified too', async (t) => {
  const earlier = await openScrubbed()
  await earlier.keep(5)
  await earlier.world.until(earlier.store.close(earlier.world.nowMs() + 1_000))
  flip(earlier.files, sealsIn(earlier.files)[2] ?? 0)
  const { world, scrubbed, damaged, store } = await openScrubbed({ files: earlier.files })
  t.equal(store.usage().nvme.blockCount, 5)
  await world.pass(scrubPauseMs + 1_000)
  t.equal(scrubbed(), 5)
  t.equal(damaged(), 1)
})

void t.test('it reads no faster than its bound, in any second', async (t) => {
  const { world, keep, readBytes, blockBytes, scrubbed } = await openScrubbed({ pieceBytes: 2 ** 20 })
  for (const first of [0, 1_000, 2_000]) await keep(16, first)
  const seen: { atMs: number; bytes: number }[] = []
  await world.pass(scrubPauseMs - 4_000)
  for (let i = 0; i < 1_000; i++) {
    await world.pass(20)
    seen.push({ atMs: world.nowMs(), bytes: readBytes() })
  }
  t.equal(scrubbed(), 48, 'the walk is done')
  for (const [i, start] of seen.entries()) {
    const end = seen.find(({ atMs }, at) => at > i && atMs >= start.atMs + 1_000)
    if (end === undefined) break
    const most = scrubBytesPerSecond * ((end.atMs - start.atMs) / 1_000) + blockBytes
    if (end.bytes - start.bytes > most) t.fail(`${end.bytes - start.bytes} bytes from ${start.atMs} ms on`)
  }
  t.ok(readBytes() > scrubBytesPerSecond * 2, 'and there was enough to read')
})

void t.test('it gives way to everybody, and leaves no block out for it', async (t) => {
  const { world, native, keep, readBytes, scrubbed, store, id, engine, region } = await openScrubbed()
  await keep(6)
  await world.pass(scrubPauseMs - 1_100)
  // A copy for an engine that takes its time, begun just before the walk.
  native.faults = { ...noFaults, late: 1 }
  const storing = engine.store(store, id, region, tokensOf(8, 900), 0, 8)
  await world.pass(1)
  native.faults = noFaults
  await world.pass(1_000)
  t.equal(store.check().steps > 0, true, 'the copy is under way')
  t.equal(readBytes(), 0, 'nothing is read beside it')
  await world.until(storing)
  await world.pass(8_000)
  t.ok(scrubbed() >= 6, `${scrubbed()} blocks: those of the walk that waited`)
})

void t.test(
  'a drive that fails: nothing is counted as verified, and the walk goes on once it is well',
  async (t) => {
    const { world, native, keep, scrubbed, damaged, store, meter, files } = await openScrubbed()
    await keep(6)
    await world.pass(scrubPauseMs - 1_100)
    native.failing = (operation) => operation === 'read'
    await world.pass(4_000)
    t.equal(store.usage().nvme.state, 'resting')
    t.equal(scrubbed(), 0)
    const failed = meter.valueOf('terrace_tier_steps_failed_total')
    t.ok(failed <= 3, `${failed} tries, then it rests`)
    flip(files, sealsIn(files)[0] ?? 0)
    native.failing = () => false
    await world.pass(10_000)
    t.equal(scrubbed(), 3, 'what it had not asked for yet')
    for (let i = 0; i < 4; i++) await world.pass(scrubPauseMs / 3)
    t.equal(scrubbed(), 8, 'and every block that is left by the next walk')
    t.equal(damaged(), 1)
    t.equal(store.usage().nvme.blockCount, 5)
  },
)

void t.test('a block that is dropped and stored anew while it is read', async (t) => {
  const { world, native, keep, damaged, scrubbed, store, files } = await openScrubbed()
  await keep(1)
  const [oldAt = 0] = sealsIn(files)
  holdReads(native, world, 1_500)
  await world.pass(scrubPauseMs - 1_000)
  t.ok(store.check().steps > 0, 'it is being read')
  // The old bytes go bad under the read; the block itself is somewhere else by then.
  await world.until(store.clear('all'))
  flip(files, oldAt)
  await keep(1)
  t.ok(store.check().steps > 0, 'it still is')
  const [, newAt] = sealsIn(files)
  t.ok(newAt !== undefined && newAt !== oldAt, 'the new copy lies elsewhere: the old slot is held')
  await world.pass(1_000)
  t.equal(damaged(), 0, 'what was read is nobody’s block any more')
  t.equal(store.usage().nvme.blockCount, 1, 'the new copy stays')
  t.same(store.check(), { leases: 0, climbs: 0, steps: 0, filling: 0 })
  await world.pass(scrubPauseMs + 3_000)
  t.equal(scrubbed(), 1, 'the new copy is read by the next walk')
  t.equal(damaged(), 0)
})

/** Lets every read begin only after so many milliseconds. Returns the regions that reads were between. */
function holdReads(native: FakeNative, world: SimWorld, ms: number): ReadonlySet<number> {
  const { submit } = native
  const regions = new Set<number>()
  native.submit = (queue, steps, stepCount, seals) => {
    if (steps[0] !== operations.read) return submit.call(native, queue, steps, stepCount, seals)
    const kept = steps.slice()
    for (const region of [kept[2], kept[4]]) regions.add(region ?? 0)
    world.after(ms, () => submit.call(native, queue, kept, stepCount, seals))
    return stepCount
  }
  return regions
}

void t.test('it stops at close, in the middle of a read too', async (t) => {
  const { world, native, keep, store, readBytes, meter } = await openScrubbed()
  await keep(6)
  const regions = holdReads(native, world, 500)
  await world.pass(scrubPauseMs - 1_000)
  t.ok(store.check().steps > 0, 'it reads')
  const { closeRegion } = native
  const early: number[] = []
  native.closeRegion = (region) => {
    if (readBytes() === 0 && regions.has(region)) early.push(region)
    closeRegion.call(native, region)
  }
  await world.until(store.close(world.nowMs() + 1_000))
  t.same(early, [], 'no region is closed before the read has ended')
  const tries = () => [readBytes(), meter.valueOf('terrace_tier_steps_failed_total')]
  const before = tries()
  t.ok(readBytes() > 0)
  for (let i = 0; i < 3; i++) await world.pass(scrubPauseMs)
  t.strictSame(tries(), before, 'nothing is read any more, nor tried')
})

void t.test('without memory for it the scrubber waits, and goes on when there is some', async (t) => {
  const { world, native, keep, scrubbed, store } = await openScrubbed()
  await keep(4)
  native.memoryBytesLeft = 0
  for (let walk = 0; walk < 3; walk++) await world.pass(scrubPauseMs)
  t.equal(scrubbed(), 0)
  native.memoryBytesLeft = Number.POSITIVE_INFINITY
  for (let walk = 0; walk < 3; walk++) await world.pass(scrubPauseMs)
  t.ok(scrubbed() >= 4)
  await world.until(store.close(world.nowMs() + 1_000))
})
