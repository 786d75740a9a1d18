import t from 'tap'
import { HeldBlocks } from '../../daemon/held.ts'
import { daemonMeter } from '../../daemon/metrics.ts'
import { snapshotParts } from '../../daemon/nats.ts'
import { type EncodedBatch, Publisher } from '../../daemon/publish.ts'
import type { World } from '../../tiers/block/clock.ts'
import { decodeBatch, decodeSnapshot, type Holder, type KvEvent } from '../../tiers/block/event.ts'
import { eventBatchBytesMax, eventBlocksMax, eventsKeptMax } from '../../tiers/block/limits.ts'
import type { RouteHash } from '../../tiers/block/route.ts'

const holder: Holder = { tier: 'host', worker: '', model: 'm', blockTokens: 16, blockBytes: 1_024 }

function hashes(count: number, first = 0): RouteHash[] {
  return Array.from({ length: count }, (_, i) => (first + i).toString(16).padStart(16, '0') as RouteHash)
}

/** A world whose timers run when told. */
function manualWorld(): World & { turn(): void } {
  const waiting: (() => void)[] = []
  return {
    nowMs: () => 0,
    wallMs: () => 0,
    random: () => 0.5,
    sleep: async () => undefined,
    after: (_ms, run) => {
      waiting.push(run)
      return () => undefined
    },
    turn: () => {
      for (const run of waiting.splice(0)) run()
    },
  }
}

function publisherOf(holdings: () => readonly KvEvent[] = () => []) {
  const world = manualWorld()
  const meter = daemonMeter()
  const publisher = new Publisher({ world, meter, publisher: 'n', epoch: 'e1', holdings })
  const batches: EncodedBatch[] = []
  publisher.listen((batch) => batches.push(batch))
  return { world, meter, publisher, batches }
}

const stored = (blocks: readonly RouteHash[]): KvEvent => ({ kind: 'stored', holder, blocks })

void t.test('events of one turn are one batch; batches are numbered without gaps', async (t) => {
  const { world, publisher, batches } = publisherOf()
  publisher.publish([stored(hashes(2))])
  publisher.publish([{ kind: 'removed', holder, blocks: hashes(1), why: 'evicted' }])
  t.equal(batches.length, 0, 'nothing before the turn')
  world.turn()
  publisher.publish([])
  world.turn()
  publisher.publish([{ kind: 'cleared', holder, why: 'stopping' }])
  world.turn()
  const decoded = batches.map(({ json }) => decodeBatch(json))
  t.match(decoded, [
    { as: 'value', value: { publisher: 'n', epoch: 'e1', sequence: 1, events: { length: 2 } } },
    { as: 'value', value: { sequence: 2, events: [{ kind: 'cleared', why: 'stopping' }] } },
  ])
})

void t.test('large events are cut, so that every batch decodes and fits', async (t) => {
  const { publisher, batches } = publisherOf()
  publisher.publish([stored(hashes(100_000)), ...Array.from({ length: 6_000 }, () => stored(hashes(1)))])
  publisher.flush()
  let blocks = 0
  for (const { json } of batches) {
    t.ok(Buffer.byteLength(json) <= eventBatchBytesMax)
    const decoded = decodeBatch(json)
    if (decoded.as === 'refused') throw new Error(decoded.why)
    for (const event of decoded.value.events) if (event.kind === 'stored') blocks += event.blocks.length
  }
  t.equal(blocks, 106_000)
})

void t.test('a reader gets what it missed, or a gap', async (t) => {
  const { publisher } = publisherOf()
  for (let i = 0; i < 5; i++) {
    publisher.publish([stored(hashes(1, i))])
    publisher.flush()
  }
  const numbers = (from: number, epoch: string | null = null) => {
    const known = publisher.since(from, epoch)
    return known.as === 'gap' ? 'gap' : known.batches.map(({ sequence }) => sequence)
  }
  t.strictSame(numbers(3), [3, 4, 5])
  t.strictSame(numbers(6), [])
  t.strictSame(numbers(3, 'e1'), [3, 4, 5])
  t.equal(numbers(3, 'e0'), 'gap', 'another epoch')
  t.equal(numbers(7), 'gap', 'of the future')
  t.equal(numbers(0), 'gap', 'batches begin with 1')
  publisher.publish([stored(hashes(1, 9))])
  t.strictSame(numbers(6), [6], 'what waits is sent first')
})

void t.test('what is kept is bounded; older readers get a snapshot that heals', async (t) => {
  const held = new Set<RouteHash>()
  const { publisher, batches, meter } = publisherOf(() => [stored([...held])])
  const hold = (block: RouteHash) => {
    held.add(block)
    publisher.publish([stored([block])])
  }
  for (const block of hashes(eventsKeptMax + 10)) {
    hold(block)
    if (held.size % 64 === 0) publisher.flush()
  }
  t.match(publisher.since(1, null), { as: 'gap' })
  const last = publisher.since(publisher.sequence, null)
  t.match(last, { as: 'batches' })
  const snapshot = publisher.snapshot('gap')
  t.equal(snapshot.sequence, publisher.sequence)
  t.equal(snapshot.holdings[0]?.blocks.length, held.size)
  t.equal(meter.valueOf('terrace_snapshots_total', { why: 'gap' }), 1)
  const before = batches.length
  const late = hashes(1, 2 ** 30)[0] as RouteHash
  hold(late)
  publisher.flush()
  t.equal(batches[before]?.sequence, snapshot.sequence + 1, 'the stream goes on right after it')
  const decoded = decodeSnapshot(JSON.stringify(snapshot), 1_000_000)
  t.match(decoded, { as: 'value', value: { epoch: 'e1' } })
})

void t.test('a snapshot for NATS comes in parts that fit and add up', async (t) => {
  const { publisher } = publisherOf(() => [
    stored(hashes(60_000)),
    { ...stored(hashes(3)), holder: { ...holder, model: 'x' } },
  ])
  const parts = snapshotParts(publisher.snapshot('asked'))
  t.ok(parts.length > 1)
  let blocks = 0
  for (const [i, part] of parts.entries()) {
    t.ok(Buffer.byteLength(part) < 512 * 1_024)
    t.match(JSON.parse(part), { part: i, partCount: parts.length })
    const decoded = decodeSnapshot(part, eventBlocksMax)
    if (decoded.as === 'refused') throw new Error(decoded.why)
    for (const holding of decoded.value.holdings) blocks += holding.blocks.length
  }
  t.equal(blocks, 60_003)
  t.equal(snapshotParts(publisherOf().publisher.snapshot('asked')).length, 1, 'an empty one is one part')
})

void t.test('what engines hold is told as differences, and belongs to the worker', async (t) => {
  const events: KvEvent[] = []
  const held = new HeldBlocks((fresh) => events.push(...fresh))
  const worker: Holder = { ...holder, tier: 'hbm', worker: 'w' }
  const none: ReadonlySet<RouteHash> = new Set()
  const [a, b, c] = hashes(3) as [RouteHash, RouteHash, RouteHash]
  const first = held.replace(worker, none, new Set([a, b]), 'engine')
  const second = held.replace(worker, first, new Set([b, c]), 'engine')
  t.match(events, [
    { kind: 'stored', blocks: [a, b] },
    { kind: 'removed', blocks: [a], why: 'engine' },
    { kind: 'stored', blocks: [c] },
  ])
  events.length = 0
  // The same worker comes back before its old session has ended.
  const again = held.replace(worker, none, new Set([c]), 'engine')
  t.strictSame(events, [], 'it was held already')
  held.replace(worker, second, none, 'session_end')
  t.match(events, [{ kind: 'removed', blocks: [b], why: 'session_end' }], 'what the new one holds stays')
  t.match(held.holdings(), [{ kind: 'stored', holder: worker, blocks: [c] }])
  events.length = 0
  held.replace(worker, again, none, 'session_end')
  t.match(events, [{ kind: 'cleared', holder: worker, why: 'session_end' }])
  t.strictSame(held.holdings(), [])
  t.equal(held.blockCount(), 0)
})
