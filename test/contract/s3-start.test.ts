import t from 'tap'
import { faultServerOf } from '../servers/s3-fault.ts'
import { bucketOf, nth, setCredentials, testBucket, tierOf } from '../servers/s3-tier.ts'
import { seaweedOf } from '../servers/seaweed.ts'

void t.test('starts against a real store', async (t) => {
  const { endpoint, accessKey, secretKey } = await seaweedOf(t)

  await t.test(
    'a wrong secret, an unknown key, no credentials: a sentence each, and no secret in it',
    async (t) => {
      for (const [key, secret, why] of [
        [accessKey, 'wrong-secret', /secret key does not fit/],
        ['unknown-key', secretKey, /access key is unknown/],
        ['', '', /no credentials found/],
      ] as const) {
        setCredentials(key, secret)
        const { tier } = await tierOf(t, endpoint)
        t.match(tier.describe(), { state: 'resting', why })
        t.notMatch(JSON.stringify([tier.describe(), tier.usage()]), /wrong-secret|unknown-key/)
      }
      setCredentials(accessKey, secretKey)
    },
  )

  await t.test('a missing bucket that may not be made', async (t) => {
    const { tier } = await tierOf(t, endpoint, { createBucket: false })
    t.match(tier.describe(), { state: 'resting', why: /bucket does not exist: create it/ })
  })

  await t.test('what the last run stored is told to whoever listens', async (t) => {
    const one = await tierOf(t, endpoint, { daemonId: 'sameone' })
    const blocks = one.blocks(3, 10_000)
    await one.tier.write(blocks)
    await one.tier.close()
    const two = await tierOf(t, endpoint, { daemonId: 'sameone', bytesMax: 50_000 })
    t.match(two.found, [{ kind: 'appeared', seals: blocks.map(({ seal }) => ({ key: seal.key })) }])
    t.same(await two.readAndCompare(blocks, one.memory), ['found', 'found', 'found'])
    t.equal(two.tier.usage().blockCount, 3)
    const more = two.blocks(2, 10_000, nth(blocks, 0).seal.namespace)
    await two.tier.write(more)
    t.same(await two.readAndCompare([...blocks, ...more], one.memory), [
      ...['missing', 'missing', 'missing'],
      ...['found', 'found'],
    ])
    t.equal(two.tier.usage().blockCount, 2, 'packs of an earlier run are in the budget')
  })

  await t.test(
    'a pack whose daemon died before its index: removed when old, left alone when young',
    async (t) => {
      const one = await tierOf(t, endpoint, { daemonId: 'orphaned' })
      const blocks = one.blocks(1, 10_000)
      await one.tier.write(blocks)
      const bucket = bucketOf(t, endpoint)
      const [young = ''] = (await bucket.packs()).filter((name) => name.includes('orphaned'))
      const old = young.replace(/[0-9a-f]{12}-orphaned/, '000000000001-orphaned')
      const bytes = await bucket.bytes(young)
      await bucket.put(old, bytes)
      await bucket.put(young.replace(/[0-9a-f]{6}$/, 'ffffff'), bytes)
      await tierOf(t, endpoint)
      const left = (await bucket.packs()).filter((name) => name.includes('orphaned'))
      t.equal(left.length, 2)
      t.notOk(left.includes(old))
    },
  )

  await t.test('a damaged index is counted and costs only its pack', async (t) => {
    const one = await tierOf(t, endpoint)
    const blocks = one.blocks(1, 10_000)
    await one.tier.write(blocks)
    const others = one.blocks(1, 10_000)
    await one.tier.write(others)
    const bucket = bucketOf(t, endpoint)
    const folder = Buffer.from(nth(blocks, 0).seal.namespace, 'latin1').toString('hex').slice(0, 32)
    const [name = ''] = (await bucket.names()).filter((each) => each.includes(`${folder}/index/`))
    const bytes = await bucket.bytes(name)
    bytes[200] = (bytes[200] ?? 0) ^ 1
    await bucket.put(name, bytes)
    const two = await tierOf(t, endpoint)
    t.same(await two.readAndCompare([...blocks, ...others], one.memory), ['missing', 'found'])
    t.equal(two.meter.valueOf('terrace_s3_damaged_total', { why: 'index_checksum' }), 1)
  })
})

void t.test('a store that knows little is used for what it knows', async (t) => {
  setCredentials('any', 'any-secret')
  const server = await faultServerOf(t)
  server.fail('GET', 'no_ranges')
  const rig = await tierOf(t, server.endpoint)
  t.same(rig.tier.describe().capabilities, {
    rangedGet: false,
    conditionalPut: true,
    checksumEcho: false,
  })
  const blocks = rig.blocks(4, 20_000)
  await rig.tier.write(blocks)
  t.same(await rig.readAndCompare(blocks.slice(1, 3), rig.memory), ['found', 'found'])
  t.ok(
    [...server.objects.keys()].every((name) => name.startsWith('kv/v1/')),
    testBucket,
  )
})
