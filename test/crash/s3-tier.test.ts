import t from 'tap'
import { setCredentials, tierOf } from '../servers/s3-tier.ts'
import { seaweedOf } from '../servers/seaweed.ts'

// Most of the time is waiting for servers and rests: the cases share nothing and wait side by side.
t.jobs = 2

void t.test('the store is killed in the middle of everything, and back', { buffered: true }, async (t) => {
  const seaweed = await seaweedOf(t)
  setCredentials(seaweed.accessKey, seaweed.secretKey)
  const rig = await tierOf(t, seaweed.endpoint)
  const kept = rig.blocks(8, 2 ** 20)
  t.ok(all(asOf(await rig.tier.write(kept)), ['written']))

  const reading = rig.readAndCompare(kept, rig.memory)
  const lost = rig.blocks(8, 2 ** 20)
  const writing = rig.tier.write(lost)
  await seaweed.kill()
  const read = await reading
  t.ok(all(read, ['found', 'failed', 'busy']), read.join())
  const written = asOf(await writing)
  t.ok(all(written, ['failed', 'written']), written.join())
  for (let i = 0; i < 5 && rig.tier.usage().state !== 'resting'; i++) await rig.read(kept)
  t.match(rig.tier.usage(), { state: 'resting', why: /listens at the endpoint|connection was cut/ })
  t.match(await rig.read(kept), Array(8).fill({ as: 'busy' }))

  await seaweed.revive()
  // The server says it is ready some time before its volumes are.
  t.ok(await becomes(async () => all(await rig.readAndCompare(kept, rig.memory), ['found'])))
  t.ok(await becomes(async () => all(asOf(await rig.tier.write(lost)), ['written', 'already'])))
  t.same(await rig.readAndCompare(lost, rig.memory), Array(8).fill('found'))
})

void t.test('a start without the store serves on, and takes it up later', { buffered: true }, async (t) => {
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
  t.ok(await becomes(async () => all(asOf(await rig.tier.write(blocks)), ['written'])))
  t.same(await rig.readAndCompare(blocks, rig.memory), ['found'])
})

function asOf(results: readonly { readonly as: string }[]): string[] {
  return results.map(({ as }) => as)
}

function all(results: readonly string[], wanted: readonly string[]): boolean {
  return results.every((as) => wanted.includes(as))
}

/** Asks again until the answer is yes; no when it never is. */
async function becomes(ask: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    if (await ask()) return true
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return false
}
