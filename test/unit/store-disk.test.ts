import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'

const layout = layoutOf(4, 3, 6_000)
const namespace = namespaceOf('a', layout)
const native = loadNative()

function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count * layout.blockTokens }, (_, i) => first + i)
}

/** A store over the real addon and the real file system, with one engine attached. */
async function openReal(dataDirectory: string, sizes: { hostBytes?: number; nvmeBytes?: number } = {}) {
  const meter = new Meter(storeMetrics)
  const store = await openStore({
    native,
    world: realWorld,
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory,
    hostBytes: sizes.hostBytes ?? 8 * 2 ** 20,
    nvmeBytes: sizes.nvmeBytes ?? 16 * 2 ** 20,
    s3: null,
    policy: 'lru',
    meter,
  })
  const checker = new ServedChecker()
  const own = native.openMemory(64 * 36_000 + 4_096)
  const engine = new SimEngine(namespace, 64, checker, native.windowOf(own, 0, 64 * 36_000))
  const region = store.attachRegion(dupOf(native.descriptorOf(own)), 64 * 36_000, true)
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  return { store, meter, engine, region, id, checker, own }
}

/** A second descriptor of the same memory, as another process would hand it in. */
function dupOf(descriptor: number): number {
  return openSync(`/proc/self/fd/${descriptor}`, 'r+')
}

type Opened = Awaited<ReturnType<typeof openReal>>

async function keep(opened: Opened, tokens: Uint32Array): Promise<void> {
  const count = tokens.length / layout.blockTokens
  opened.engine.compute(tokens, 0, count, 0)
  await opened.engine.store(opened.store, opened.id, opened.region, tokens, 0, count)
}

/** Loads a chain, checks every block served against what was computed for it, and says how many came. */
async function fetchBack({ engine, store, id, region, checker }: Opened, tokens: Uint32Array) {
  const count = tokens.length / layout.blockTokens
  engine.compute(tokens, 0, count, 0)
  for (let block = 0; block < count; block++)
    checker.stored(engine.nameOf(tokens, block), engine.sumOf(block))
  engine.wipe()
  const answer = await engine.load(store, id, region, tokens, count, realWorld.nowMs() + 5_000)
  engine.check(tokens, answer.readyBlocks)
  return answer
}

async function end({ store, own }: Opened): Promise<void> {
  await store.close(realWorld.nowMs() + 2_000)
  native.closeRegion(own)
}

void t.test('what was stored comes back after a restart, from the drive, byte for byte', async (t) => {
  const directory = t.testdir()
  const first = await openReal(directory)
  await keep(first, tokensOf(20))
  await end(first)
  const second = await openReal(directory)
  t.equal(second.store.usage().nvme.blockCount, 20)
  t.match(second.store.holdings(), [{ kind: 'stored', holder: { tier: 'nvme', model: 'model' } }])
  t.match(second.store.lookup(second.id, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 } })
  t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 }, stop: 'complete' })
  t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { host: 20 } })
  t.equal(second.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'catalog' }), 20)
  t.equal(second.meter.valueOf('terrace_tier_damaged_blocks_total'), 0)
  await end(second)
})

void t.test('a lost or damaged catalog is made anew from the seals', async (t) => {
  for (const ruin of ['lost', 'garbage'] as const) {
    const directory = t.testdir()
    const first = await openReal(directory)
    await keep(first, tokensOf(20))
    await end(first)
    const catalog = `${directory}/catalog`
    if (ruin === 'lost') rmSync(catalog, { recursive: true, force: true })
    else
      for (const file of readdirSync(catalog)) writeFileSync(`${catalog}/${file}`, Buffer.alloc(65_536, 0xa5))
    const second = await openReal(directory)
    t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 } }, ruin)
    t.equal(second.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'seals' }), 20)
    t.equal(second.meter.valueOf('terrace_tier_catalog_on'), 1, 'the catalog is on again')
    await end(second)
    const third = await openReal(directory)
    t.equal(third.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'catalog' }), 20)
    await end(third)
  }
})

void t.test('a flipped bit on the drive is a miss and a counter; the block is stored anew', async (t) => {
  const directory = t.testdir()
  const first = await openReal(directory)
  await keep(first, tokensOf(10))
  await end(first)
  flip(`${directory}/nvme.slab`, first.engine.memory.subarray(0, 64))
  const second = await openReal(directory)
  const answer = await fetchBack(second, tokensOf(10))
  t.match(answer, { readyBlocks: 0, stop: 'damaged' })
  t.equal(
    second.meter.valueOf('terrace_tier_damaged_blocks_total', { tier: 'nvme', why: 'payload_checksum' }),
    1,
  )
  await keep(second, tokensOf(10))
  t.match(await fetchBack(second, tokensOf(10)), { readyBlocks: 10 })
  await end(second)
})

/** Flips one bit of the place in the file where these bytes stand. */
function flip(path: string, needle: Uint8Array): void {
  const bytes = readFileSync(path)
  const found = bytes.indexOf(needle)
  if (found < 0) throw new Error('the block is not in the file')
  const file = openSync(path, 'r+')
  writeSync(file, Uint8Array.of((bytes[found + 9] ?? 0) ^ 4), 0, 1, found + 9)
  closeSync(file)
}

void t.test('a host tier far too small still serves everything, through the drive', async (t) => {
  const directory = t.testdir()
  const opened = await openReal(directory, { hostBytes: 8 * 36_864 })
  await keep(opened, tokensOf(40))
  t.equal(opened.store.usage().host.blockCount <= 8, true)
  t.match(await fetchBack(opened, tokensOf(40)), { readyBlocks: 40, stop: 'complete' })
  await end(opened)
})

void t.test('no room for the slab: one sentence before anything is made', async (t) => {
  const directory = t.testdir()
  await t.rejects(openReal(directory, { nvmeBytes: 2 ** 50 }), { code: 'KVT_DISK_FULL' })
  t.same(readdirSync(directory), [])
})

void t.test('a slab of another format is left alone', async (t) => {
  const directory = t.testdir()
  await end(await openReal(directory))
  const path = `${directory}/nvme.slab`
  const before = statSync(path).size
  const { encodeTable, newTable } = await import('../../tiers/slab.ts')
  const { crc32c } = await import('../../tiers/block/crc32c.ts')
  const table = encodeTable(newTable(before, 'x'.repeat(16)))
  table[8] = 99
  new DataView(table.buffer).setUint32(table.length - 4, crc32c(table.subarray(0, table.length - 4)), true)
  const file = openSync(path, 'r+')
  for (const offset of [0, table.length]) writeSync(file, table, 0, table.length, offset)
  closeSync(file)
  await t.rejects(openReal(directory), { code: 'KVT_DATA_VERSION' })
})
