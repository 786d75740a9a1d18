import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { readPack } from '../../tiers/s3/pack.ts'
import { bucketOf, nth, setCredentials, testBucket, tierOf } from '../servers/s3-tier.ts'
import { seaweedOf } from '../servers/seaweed.ts'

void t.test('against a real store', async (t) => {
  const { endpoint, accessKey, secretKey } = await seaweedOf(t)
  setCredentials(accessKey, secretKey)
  // Each case has a prefix of its own; most of the time they wait for packs to fill.
  t.jobs = 5

  void t.test(
    'the bucket is made, the store is tried, and what was seen is shown',
    { buffered: true },
    async (t) => {
      const { tier } = await tierOf(t, endpoint, {}, 'case1')
      const seen = tier.describe()
      t.equal(seen.state, 'serving')
      t.same(seen.capabilities, { rangedGet: true, conditionalPut: true, checksumEcho: true })
      t.match(seen.location, `s3://${testBucket}/case1 at http://127.0.0.1`)
      t.same(await bucketOf(t, endpoint, 'case1').names(), [], 'the probe leaves nothing behind')
    },
  )

  void t.test('blocks come back as they were, through another daemon too', { buffered: true }, async (t) => {
    const one = await tierOf(t, endpoint, {}, 'case2')
    const blocks = one.blocks(5, 300_001)
    const written = await one.tier.write(blocks)
    t.same(
      written.map(({ as }) => as),
      Array(5).fill('written'),
    )
    t.same(await one.readAndCompare(blocks, one.memory), Array(5).fill('found'))
    t.equal((await one.tier.write(blocks))[0]?.as, 'already')

    const two = await tierOf(t, endpoint, {}, 'case2')
    t.equal(two.tier.bytesOf(nth(blocks, 3).seal.key), 300_001)
    t.same(await two.readAndCompare(blocks, one.memory), Array(5).fill('found'))
    t.ok((two.tier.readMsOf(1_000_000) ?? 0) > 0)
    t.equal(
      two.meter.valueOf('terrace_s3_requests_total', { call: 'put', outcome: 'ok' }),
      1,
      'its probe only',
    )
    t.equal(one.tier.usage().blockCount, 5)
  })

  void t.test(
    'a running daemon hears of new packs, in the namespaces it serves',
    { buffered: true },
    async (t) => {
      const one = await tierOf(t, endpoint, {}, 'case3')
      const two = await tierOf(t, endpoint, {}, 'case3')
      const blocks = one.blocks(3, 10_000)
      const others = one.blocks(1, 10_000)
      two.tier.openNamespace(nth(blocks, 0).seal.namespace)
      await one.tier.write([...blocks, ...others])
      for (let i = 0; i < 100 && two.changes.length === 0; i++) await pause(100)
      t.match(two.changes, [{ kind: 'appeared', seals: blocks.map(({ seal }) => ({ key: seal.key })) }])
      t.equal(two.changes.length, 1)
      t.equal(two.tier.bytesOf(nth(others, 0).seal.key), null)
    },
  )

  void t.test('a pack tells by itself what it holds', { buffered: true }, async (t) => {
    const one = await tierOf(t, endpoint, {}, 'case4')
    const blocks = one.blocks(4, 5_000)
    const bucket = bucketOf(t, endpoint, 'case4')
    await one.tier.write(blocks)
    const [name = ''] = await bucket.packs()
    const read = readPack(await bucket.bytes(name), one.memory.native.crc32c)
    t.equal(read.as, 'index')
    if (read.as === 'index') {
      t.same(
        read.index.entries.map((entry) => entry.seal),
        blocks.map(({ seal }) => ({ ...seal, generation: 0 })),
      )
    }
  })

  void t.test(
    'the budget deletes this daemon’s own packs, the unused ones first',
    { buffered: true },
    async (t) => {
      const one = await tierOf(t, endpoint, { bytesMax: 1_000_000 }, 'case5')
      const bucket = bucketOf(t, endpoint, 'case5')
      const old = one.blocks(1, 300_000)
      const used = one.blocks(1, 300_000)
      const fresh = one.blocks(2, 300_000)
      await one.tier.write(old)
      await one.tier.write(used)
      t.same(await one.readAndCompare(old, one.memory), ['found'])
      await one.tier.write(fresh)
      t.same(await one.readAndCompare([...old, ...used, ...fresh], one.memory), [
        'found',
        'missing',
        'found',
        'found',
      ])
      t.match(one.changes, [{ kind: 'gone', why: 'evicted', keys: [nth(used, 0).seal.key] }])
      t.equal((await one.tier.write(one.blocks(1, 2_000_000)))[0]?.as, 'refused')
      for (let i = 0; i < 50 && (await bucket.packs()).length > 2; i++) await pause(50)
      t.equal((await bucket.packs()).length, 2)
    },
  )

  void t.test(
    'a dropped block is forgotten, and its pack deleted with the last one',
    { buffered: true },
    async (t) => {
      const one = await tierOf(t, endpoint, {}, 'case6')
      const bucket = bucketOf(t, endpoint, 'case6')
      const blocks = one.blocks(2, 5_000)
      await one.tier.write(blocks)
      one.tier.drop(nth(blocks, 0).seal.key)
      t.same(await one.readAndCompare(blocks, one.memory), ['missing', 'found'])
      one.tier.drop(nth(blocks, 1).seal.key)
      for (let i = 0; i < 50 && (await bucket.packs()).length > 0; i++) await pause(50)
      t.same(await bucket.packs(), [])
    },
  )

  void t.test(
    'a flipped bit is damaged, counted, and then missing; its neighbours are found',
    { buffered: true },
    async (t) => {
      const one = await tierOf(t, endpoint, {}, 'case7')
      const bucket = bucketOf(t, endpoint, 'case7')
      const blocks = one.blocks(3, 50_000)
      await one.tier.write(blocks)
      const [name = ''] = await bucket.packs()
      const bytes = await bucket.bytes(name)
      const at = Buffer.from(bytes).indexOf(one.memory.bytesOf(nth(blocks, 1).from)) + 25_000
      bytes[at] = (bytes[at] ?? 0) ^ 0x10
      await bucket.put(name, bytes)
      t.same(await one.readAndCompare(blocks, one.memory), ['found', 'damaged', 'found'])
      t.equal(one.meter.valueOf('terrace_s3_damaged_total', { why: 'payload_checksum' }), 1)
      t.same(await one.readAndCompare(blocks, one.memory), ['found', 'missing', 'found'])
    },
  )

  void t.test('a truncated pack gives nothing wrong, and is forgotten', { buffered: true }, async (t) => {
    const one = await tierOf(t, endpoint, {}, 'case8')
    const bucket = bucketOf(t, endpoint, 'case8')
    const blocks = one.blocks(3, 50_000)
    await one.tier.write(blocks)
    const [name = ''] = await bucket.packs()
    await bucket.put(name, (await bucket.bytes(name)).subarray(0, 80_000))
    t.same(await one.readAndCompare(blocks.slice(0, 2), one.memory), ['damaged', 'damaged'])
    t.match(one.changes, [{ kind: 'gone', why: 'damaged', keys: [nth(blocks, 2).seal.key] }])
    t.same(await one.readAndCompare(blocks, one.memory), ['missing', 'missing', 'missing'])
  })

  void t.test('a deleted pack is missing, all of it', { buffered: true }, async (t) => {
    const one = await tierOf(t, endpoint, {}, 'case9')
    const bucket = bucketOf(t, endpoint, 'case9')
    const blocks = one.blocks(3, 50_000)
    await one.tier.write(blocks)
    const [Key = ''] = await bucket.packs()
    await bucket.client.send(new DeleteObjectCommand({ Bucket: testBucket, Key }))
    t.same(await one.readAndCompare(blocks.slice(0, 1), one.memory), ['missing'])
    t.match(one.changes, [
      { kind: 'gone', why: 'evicted', keys: blocks.slice(1).map(({ seal }) => seal.key) },
    ])
    t.equal(one.tier.bytesOf(nth(blocks, 1).seal.key), null)
  })

  void t.test('closing stores what waits for its pack to fill', { buffered: true }, async (t) => {
    const one = await tierOf(t, endpoint, {}, 'case10')
    const blocks = one.blocks(2, 5_000)
    const written = one.tier.write(blocks)
    await one.tier.close()
    t.same(
      (await written).map(({ as }) => as),
      ['written', 'written'],
    )
    t.same((await one.tier.write(one.blocks(1, 600)))[0], { as: 'refused', why: 'stopping' })
    const two = await tierOf(t, endpoint, {}, 'case10')
    t.same(await two.readAndCompare(blocks, one.memory), ['found', 'found'])
  })
})

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
