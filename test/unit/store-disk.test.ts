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
import { crc32c } from '../../tiers/block/crc32c.ts'
import { encodeTable, newTable } from '../../tiers/slab.ts'
import { fetchBack, keep, openRig, tokensOf } from '../crash/store-rig.ts'

void t.test('what was stored comes back after a restart, from the drive, byte for byte', async (t) => {
  const directory = t.testdir()
  const first = await openRig(directory)
  await keep(first, tokensOf(20))
  await first.end()
  const second = await openRig(directory)
  t.equal(second.store.usage().nvme.blockCount, 20)
  t.match(second.store.holdings(), [{ kind: 'stored', holder: { tier: 'nvme', model: 'model' } }])
  t.match(second.store.lookup(second.id, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 } })
  t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 }, stop: 'complete' })
  t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { host: 20 } })
  t.equal(second.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'catalog' }), 20)
  t.equal(second.meter.valueOf('terrace_tier_damaged_blocks_total'), 0)
  await second.end()
})

void t.test('a lost or damaged catalog is made anew from the seals', async (t) => {
  for (const ruin of ['lost', 'garbage'] as const) {
    const directory = t.testdir()
    const first = await openRig(directory)
    await keep(first, tokensOf(20))
    await first.end()
    const catalog = `${directory}/catalog`
    if (ruin === 'lost') rmSync(catalog, { recursive: true, force: true })
    else
      for (const file of readdirSync(catalog)) writeFileSync(`${catalog}/${file}`, Buffer.alloc(65_536, 0xa5))
    const second = await openRig(directory)
    t.match(await fetchBack(second, tokensOf(20)), { readyBlocks: 20, byTier: { nvme: 20 } }, ruin)
    t.equal(second.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'seals' }), 20)
    second.store.usage()
    t.equal(second.meter.valueOf('terrace_tier_catalog_on'), 1, 'the catalog is on again')
    await second.end()
    const third = await openRig(directory)
    t.equal(third.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'catalog' }), 20)
    await third.end()
  }
})

void t.test('a flipped bit on the drive is a miss and a counter; the block is stored anew', async (t) => {
  const directory = t.testdir()
  const first = await openRig(directory)
  await keep(first, tokensOf(10))
  await first.end()
  flip(`${directory}/nvme.slab`, first.engine.memory.subarray(0, 64))
  const second = await openRig(directory)
  const answer = await fetchBack(second, tokensOf(10))
  t.match(answer, { readyBlocks: 0, stop: 'damaged' })
  t.equal(
    second.meter.valueOf('terrace_tier_damaged_blocks_total', { tier: 'nvme', why: 'payload_checksum' }),
    1,
  )
  await keep(second, tokensOf(10))
  t.match(await fetchBack(second, tokensOf(10)), { readyBlocks: 10 })
  await second.end()
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
  const opened = await openRig(directory, { hostBytes: 8 * 36_864 })
  await keep(opened, tokensOf(40))
  t.equal(opened.store.usage().host.blockCount <= 8, true)
  t.match(await fetchBack(opened, tokensOf(40)), { readyBlocks: 40, stop: 'complete' })
  await opened.end()
})

void t.test('no room for the slab: one sentence before anything is made', async (t) => {
  const directory = t.testdir()
  await t.rejects(openRig(directory, { nvmeBytes: 2 ** 50 }), { code: 'KVT_DISK_FULL' })
  t.same(readdirSync(directory), [])
})

void t.test('a slab of another format is left alone', async (t) => {
  const directory = t.testdir()
  await (await openRig(directory)).end()
  const path = `${directory}/nvme.slab`
  const before = statSync(path).size
  const table = encodeTable(newTable(before, 'x'.repeat(16)))
  table[8] = 99
  new DataView(table.buffer).setUint32(table.length - 4, crc32c(table.subarray(0, table.length - 4)), true)
  const file = openSync(path, 'r+')
  for (const offset of [0, table.length]) writeSync(file, table, 0, table.length, offset)
  closeSync(file)
  await t.rejects(openRig(directory), { code: 'KVT_DATA_VERSION' })
})
