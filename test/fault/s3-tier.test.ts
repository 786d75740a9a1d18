import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { WriteWanted } from '../../tiers/tier.ts'
import { type Fault, type FaultServer, faultServerOf, lateEarsMs, lateMs } from '../servers/s3-fault.ts'
import { nth, readWanted, setCredentials, type TierRig, tierOf } from '../servers/s3-tier.ts'

// Most of the time is waiting: the cases share nothing and wait side by side.
t.jobs = 8
setCredentials('fault-key', 'fault-secret')
type Rig = TierRig & { readonly server: FaultServer }

async function rigOf(t: Test): Promise<Rig> {
  const server = await faultServerOf(t)
  return { ...(await tierOf(t, server.endpoint)), server }
}

/** Three blocks are stored, then every GET goes wrong, and they are read in one go. */
async function readUnder(t: Test, fault: Fault): Promise<Rig & { readonly results: readonly string[] }> {
  const rig = await rigOf(t)
  const blocks = rig.blocks(3, 100_000)
  const written = await rig.tier.write(blocks)
  t.equal(written[2]?.as, 'written')
  rig.server.fail('GET', fault)
  rig.server.seen.clear()
  const results = await rig.readAndCompare(blocks, rig.memory)
  return { ...rig, results }
}

/** What each fault comes to, block by block: what came whole before it stands. `tries` is how many requests it cost. */
const reads: Readonly<
  Partial<Record<Fault, { readonly results: readonly string[]; readonly tries: number }>>
> = {
  never: { results: ['busy', 'busy', 'busy'], tries: 1 },
  stall: { results: ['found', 'busy', 'busy'], tries: 1 },
  dribble: { results: ['busy', 'busy', 'busy'], tries: 1 },
  short: { results: ['found', 'damaged', 'damaged'], tries: 1 },
  cut: { results: ['found', 'failed', 'failed'], tries: 3 },
  wrong_range: { results: ['damaged', 'damaged', 'damaged'], tries: 1 },
  no_ranges: { results: ['found', 'found', 'found'], tries: 1 },
  flipped: { results: ['found', 'damaged', 'found'], tries: 1 },
  error_as_ok: { results: ['damaged', 'damaged', 'damaged'], tries: 1 },
  answer_500: { results: ['failed', 'failed', 'failed'], tries: 3 },
  expired: { results: ['failed', 'failed', 'failed'], tries: 1 },
  redirect: { results: ['failed', 'failed', 'failed'], tries: 1 },
}

void t.test(
  'reads end by themselves, with the right result, whatever the store does',
  { buffered: true },
  async (t) => {
    await Promise.all(
      Object.entries(reads).map(async ([fault, wanted]) => {
        const { results, server, meter } = await readUnder(t, fault as Fault)
        t.same(results, wanted.results, fault)
        t.equal(server.seen.get('GET'), wanted.tries, `${fault}: requests`)
        const damaged = wanted.results.filter((result) => result === 'damaged').length
        t.equal(meter.valueOf('terrace_s3_damaged_total'), damaged, `${fault}: damage counted`)
      }),
    )
  },
)

void t.test('a store that asks to slow down is asked less, not more', { buffered: true }, async (t) => {
  const rig = await rigOf(t)
  const blocks = rig.blocks(1, 10_000)
  await rig.tier.write(blocks)
  rig.server.fail('GET', 'answer_503', 1)
  t.same(await rig.readAndCompare(blocks, rig.memory), ['found'], 'one 503 is waited out')
  rig.server.fail('GET', 'answer_503')
  t.same(await rig.readAndCompare(blocks, rig.memory), ['busy'])
  const [busy] = await rig.read(blocks)
  t.equal(busy?.as, 'busy')
  t.ok(busy?.as === 'busy' && busy.retryAfterMs > 100, 'the caller is told for how long')
  const before = rig.server.seen.get('GET')
  await rig.read(blocks)
  t.equal(rig.server.seen.get('GET'), before, 'a resting tier sends nothing')
})

void t.test('expired credentials: one sentence, no storm, no foreign text', { buffered: true }, async (t) => {
  const rig = await rigOf(t)
  const blocks = rig.blocks(1, 10_000)
  await rig.tier.write(blocks)
  rig.server.fail('GET', 'expired')
  const [result] = await rig.read(blocks)
  t.match(result, { as: 'failed', why: /^the credentials have expired/ })
  const { state, why } = rig.tier.usage()
  t.equal(state, 'resting')
  t.match(why, 'the credentials have expired: renew them')
  t.notMatch(JSON.stringify([result, rig.tier.describe()]), /secret/)
  t.same(await rig.tier.write(rig.blocks(1, 600)), [{ as: 'refused', why: 'resting' }])
})

void t.test('redirects are not followed: credentials stay with their host', { buffered: true }, async (t) => {
  const other = await faultServerOf(t)
  const server = await faultServerOf(t, other.endpoint)
  const rig = await tierOf(t, server.endpoint)
  const blocks = rig.blocks(1, 10_000)
  await rig.tier.write(blocks)
  server.fail('GET', 'redirect')
  t.match(await rig.read(blocks), [{ as: 'failed', why: /redirects elsewhere/ }])
  t.equal(other.seen.size, 0)
})

void t.test('a caller in a hurry gets busy, and costs the tier no rest', { buffered: true }, async (t) => {
  const rig = await rigOf(t)
  const blocks = rig.blocks(1, 10_000)
  await rig.tier.write(blocks)
  rig.server.fail('GET', 'dribble')
  for (let i = 0; i < 4; i++) t.match(await rig.read(blocks, 300), [{ as: 'busy' }])
  t.equal(rig.tier.usage().state, 'serving')
})

/** Ways to answer after the caller has gone. */
const lateAnswers = ['never', 'late', 'late_body', 'late_rest', 'stall', 'dribble'] as const

/** What lies in a span some time after a read into it has ended, and whether the store is still being listened to. */
async function afterwards(rig: Rig, block: WriteWanted, end: (read: Promise<unknown>) => Promise<unknown>) {
  const span = rig.memory.span(block.seal.payloadBytes)
  await end(rig.tier.read([readWanted(block, span)], performance.now() + 400))
  // The slot is somebody else's now.
  rig.memory.bytesOf(span).fill(0x5a)
  await sleep(lateMs + 500)
  const strange = rig.memory.bytesOf(span).filter((byte) => byte !== 0x5a).length
  return { strange, open: rig.server.open() }
}

void t.test(
  'no byte of a late answer comes into memory after the read has ended',
  { buffered: true },
  async (t) => {
    await Promise.all(
      lateAnswers.map(async (fault) => {
        const rig = await rigOf(t)
        const [block] = rig.blocks(1, 300_000)
        if (block === undefined) throw new Error('no block')
        await rig.tier.write([block])
        rig.server.fail('GET', fault)
        const seen = await afterwards(rig, block, async (read) =>
          t.match(await read, [{ as: 'busy' }], fault),
        )
        t.strictSame(seen, { strange: 0, open: 0 }, `${fault}: not a byte, and the connection is closed`)
        rig.server.heal()
        t.same(await rig.readAndCompare([block], rig.memory), ['found'], `${fault}: then it is read`)
      }),
    )
  },
)

void t.test('nor after the tier was closed', { buffered: true }, async (t) => {
  for (const fault of ['late_body', 'late_rest'] as const) {
    const rig = await rigOf(t)
    const [block] = rig.blocks(1, 300_000)
    if (block === undefined) throw new Error('no block')
    await rig.tier.write([block])
    rig.server.fail('GET', fault)
    const close = async (read: Promise<unknown>): Promise<void> => {
      await sleep(100)
      await Promise.all([rig.tier.close(), read])
    }
    t.strictSame(await afterwards(rig, block, close), { strange: 0, open: 0 }, fault)
  }
})

void t.test('nothing is sent from memory after a write has ended', { buffered: true }, async (t) => {
  const rig = await rigOf(t)
  // More than the sockets between hold: most of it still lies in memory when the write is given up.
  const blocks = rig.blocks(4, 4 * 2 ** 20)
  const known = rig.server.objects.size
  rig.server.fail('PUT', 'late_ears')
  const results = await rig.tier.write(blocks)
  for (const { as } of results) t.equal(as, 'failed')
  for (const { from } of blocks) rig.memory.bytesOf(from).fill(0x5a)
  await sleep(lateEarsMs)
  t.equal(rig.server.objects.size, known, 'no object came of it')
  t.equal(rig.server.open(), 0, 'the connection is closed')
})

void t.test('requests that only ask end at their deadline too', { buffered: true }, async (t) => {
  const server = await faultServerOf(t)
  server.fail('LIST', 'never')
  const { tier } = await tierOf(t, server.endpoint)
  t.equal(tier.usage().state, 'resting')
  await sleep(200)
  t.equal(server.open(), 0, 'the connection is closed')
})

void t.test('writes end by themselves', { buffered: true }, async (t) => {
  const never = async (fault: Fault): Promise<void> => {
    const rig = await rigOf(t)
    rig.server.fail('PUT', fault)
    const [result] = await rig.tier.write(rig.blocks(1, 8 * 2 ** 20))
    t.equal(result?.as, 'failed', fault)
    t.equal(rig.tier.usage().blockCount, 0)
  }
  await Promise.all((['deaf', 'answer_500', 'expired', 'redirect'] as const).map(never))
})

void t.test('a write whose answer was lost is found to be done', { buffered: true }, async (t) => {
  const rig = await rigOf(t)
  const blocks = rig.blocks(2, 10_000)
  rig.server.fail('PUT', 'lost_answer', 1)
  t.same(await rig.tier.write(blocks), [{ as: 'written' }, { as: 'written' }])
  t.same(await rig.readAndCompare(blocks, rig.memory), ['found', 'found'])
})

void t.test('a listing that fails is tried again', { buffered: true }, async (t) => {
  const one = await rigOf(t)
  const blocks = one.blocks(1, 10_000)
  await one.tier.write(blocks)
  const two = await tierOf(t, one.server.endpoint)
  const later = one.blocks(1, 10_000, nth(blocks, 0).seal.namespace)
  one.server.fail('LIST', 'cut', 1)
  await one.tier.write(later)
  for (let i = 0; i < 100 && two.changes.length === 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.same(await two.readAndCompare([...blocks, ...later], one.memory), ['found', 'found'])
})
