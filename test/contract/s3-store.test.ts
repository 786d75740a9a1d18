import { openSync } from 'node:fs'
import t, { type Test } from 'tap'
import { realWorld } from '../../tiers/block/clock.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { bucketOf, setCredentials, tierOf } from '../servers/s3-tier.ts'
import { seaweedOf } from '../servers/seaweed.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'

const layout = layoutOf(4, 3, 6_000)
const namespace = namespaceOf('a', layout)
const blockCount = 20
const engineBytes = blockCount * 36_000
const tokens = Uint32Array.from({ length: blockCount * layout.blockTokens }, (_, i) => i)

/** A daemon's store without a drive, over its own S3 tier, with one engine attached. */
async function openNode(t: Test, endpoint: string, checker: ServedChecker) {
  const rig = await tierOf(t, endpoint)
  const { native } = rig.memory
  const meter = new Meter(storeMetrics)
  const store = await openStore({
    native,
    world: realWorld,
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: t.testdir(),
    hostBytes: 8 * 2 ** 20,
    nvmeBytes: 0,
    s3: rig.tier,
    policy: 'lru',
    meter,
  })
  t.teardown(() => store.close(realWorld.nowMs() + 2_000))
  const span = rig.memory.span(engineBytes)
  const engine = new SimEngine(namespace, blockCount, checker, rig.memory.bytesOf(span))
  const region = store.attachRegion(
    openSync(`/proc/self/fd/${native.descriptorOf(span.region)}`, 'r+'),
    engineBytes,
    true,
  )
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  const load = async () => {
    engine.wipe()
    const answer = await engine.load(store, id, region, tokens, blockCount, realWorld.nowMs() + 8_000)
    engine.check(tokens, answer.readyBlocks)
    return answer
  }
  return { store, engine, region, id, load, meter, rig }
}

void t.test('two daemons, one bucket', async (t) => {
  const { endpoint, accessKey, secretKey } = await seaweedOf(t)
  setCredentials(accessKey, secretKey)
  const checker = new ServedChecker()

  await t.test('the second hits what the first stored, byte for byte', async (t) => {
    const one = await openNode(t, endpoint, checker)
    one.engine.compute(tokens, 0, blockCount, 0)
    const stored = await one.engine.store(one.store, one.id, one.region, tokens, 0, blockCount)
    t.equal(stored.storedBlocks, blockCount)
    await one.store.close(realWorld.nowMs() + 10_000)

    const two = await openNode(t, endpoint, checker)
    t.match(two.store.lookup(two.id, tokens), { readyBlocks: blockCount, byTier: { s3: blockCount } })
    t.match(await two.load(), { readyBlocks: blockCount, stop: 'complete', byTier: { s3: blockCount } })
    t.match(await two.load(), { readyBlocks: blockCount, byTier: { host: blockCount } })
  })

  await t.test(
    'one flipped bit in the bucket: the prefix before it, a counter, and nothing wrong',
    async (t) => {
      const bucket = bucketOf(t, endpoint)
      const [name = ''] = await bucket.packs()
      const bytes = await bucket.bytes(name)
      const at = bytes.length >> 1
      bytes[at] = (bytes[at] ?? 0) ^ 4
      await bucket.put(name, bytes)
      const three = await openNode(t, endpoint, checker)
      const answer = await three.load()
      t.ok(answer.readyBlocks > 0 && answer.readyBlocks < blockCount)
      t.equal(answer.stop, 'damaged')
      t.equal(three.rig.meter.valueOf('terrace_s3_damaged_total'), 1)
      const after = await three.load()
      t.match(after, { readyBlocks: answer.readyBlocks, stop: 'absent' })
    },
  )
})
