import t from 'tap'
import { setCredentials, tierOf } from '../servers/s3-tier.ts'
import { seaweedOf } from '../servers/seaweed.ts'

t.jobs = 2

void t.test(
  'the store is killed in the middle of everything, and comes back',
  { buffered: true },
  async (t) => {
    const seaweed = await seaweedOf(t)
    setCredentials(seaweed.accessKey, seaweed.secretKey)
    const rig = await tierOf(t, seaweed.endpoint)
    const kept = rig.blocks(8, 2 ** 20)
    t.ok((await rig.tier.write(kept)).every(({ as }) => as === 'written'))

    const reading = rig.readAndCompare(kept, rig.memory)
    const lost = rig.blocks(8, 2 ** 20)
    const writing = rig.tier.write(lost)
    await seaweed.kill()
    const read = await reading
    t.ok(
      read.every((as) => ['found', 'failed', 'busy'].includes(as)),
      read.join(),
    )
    const written = await writing
    t.ok(
      written.every(({ as }) => as === 'failed' || as === 'written'),
      written.map(({ as }) => as).join(),
    )
    for (let i = 0; i < 5 && rig.tier.usage().state !== 'resting'; i++) await rig.read(kept)
    t.match(rig.tier.usage(), { state: 'resting', why: /listens at the endpoint|connection was cut/ })
    t.match(await rig.read(kept), Array(8).fill({ as: 'busy' }))

    await seaweed.revive()
    for (let i = 0; i < 150 && rig.tier.usage().state === 'resting'; i++) await pause(100)
    t.same(await rig.readAndCompare(kept, rig.memory), Array(8).fill('found'))
    const again = await rig.tier.write(lost)
    t.ok(
      again.every(({ as }) => as === 'written' || as === 'already'),
      again.map(({ as }) => as).join(),
    )
    t.same(await rig.readAndCompare(lost, rig.memory), Array(8).fill('found'))
  },
)

void t.test(
  'a start without the store serves on, and takes the store up when it is there',
  { buffered: true },
  async (t) => {
    const seaweed = await seaweedOf(t)
    setCredentials(seaweed.accessKey, seaweed.secretKey)
    await seaweed.kill()
    const rig = await tierOf(t, seaweed.endpoint)
    t.match(rig.tier.describe(), {
      state: 'resting',
      why: /nothing listens at the endpoint/,
      capabilities: null,
    })
    const blocks = rig.blocks(1, 10_000)
    t.same(await rig.tier.write(blocks), [{ as: 'refused', why: 'resting' }])
    t.match(await rig.read(blocks), [{ as: 'missing' }])
    await seaweed.revive()
    for (let i = 0; i < 150 && rig.tier.usage().state === 'resting'; i++) await pause(100)
    t.same(await rig.tier.write(blocks), [{ as: 'written' }])
    t.same(await rig.readAndCompare(blocks, rig.memory), ['found'])
  },
)

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
