import t from 'tap'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { keyAt } from '../../tiers/block/id.ts'
import { routeHashAt } from '../../tiers/block/route.ts'
import { indexBytes, layPack, packParts, readIndex, readPack, type Sum } from '../../tiers/s3/pack.ts'

/** A small generator with a seed, so that a failing case can be run again. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state
  }
}

const namespace = keyAt(new Uint8Array(32).fill(5), 0)
const index = layPack(
  '0123456789ab-daemon1-00002a',
  [900, 700, 1_500].map((payloadBytes, position) => ({
    key: keyAt(new Uint8Array(32).fill(position + 1), 0),
    parent: position === 0 ? null : keyAt(new Uint8Array(32).fill(position), 0),
    namespace,
    layout: '00112233445566ff',
    position,
    blockTokens: 16,
    payloadBytes,
    checksum: position,
    generation: 0,
    route: routeHashAt(new Uint8Array(8), 0),
  })),
)
const refusals = ['length', 'magic', 'version', 'block_count', 'checksum', 'pack_id', 'seal'].concat([
  'namespace',
  'offset',
  'duplicate',
])
/** A sum that always fits: lets malformed fields through to the checks behind it. */
const blind: Sum = () => 0

/** One of the ways in which bytes come broken. */
function breakBytes(good: Uint8Array, random: () => number): Uint8Array {
  const kind = random() % 6
  if (kind === 0) return good.slice(0, random() % good.length)
  if (kind === 1) {
    const longer = new Uint8Array(good.length + 1 + (random() % 600))
    longer.set(good)
    return longer
  }
  if (kind === 2) return Uint8Array.from({ length: random() % 1_200 }, () => random() >>> 24)
  const bytes = good.slice()
  if (kind === 3) bytes[random() % bytes.length] = random() >>> 24
  else if (kind === 4) {
    const at = random() % (bytes.length - 4)
    const interesting = [0, 1, 0x7f_ff_ff_ff, 0xff_ff_ff_ff, bytes.length, 0x1_0000]
    new DataView(bytes.buffer).setUint32(at, interesting[random() % interesting.length] ?? 0, true)
  } else {
    const from = random() % bytes.length
    bytes.copyWithin(random() % bytes.length, from, from + (random() % 264))
  }
  return bytes
}

function fuzz(good: Uint8Array, read: typeof readIndex, sum: Sum, rounds: number): Map<string, number> {
  const outcomes = new Map<string, number>()
  const random = randomOf(20_240_501)
  for (let i = 0; i < rounds; i++) {
    const bytes = breakBytes(good, random)
    const result = read(bytes, sum)
    const same = Buffer.compare(bytes, good) === 0
    let outcome = result.as === 'refused' ? result.why : 'read'
    if (result.as === 'index' && same) outcome = 'unbroken'
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  return outcomes
}

void t.test('a broken index is refused with its reason, never read, never thrown at us', (t) => {
  const good = indexBytes(index, crc32c)
  t.equal(readIndex(good, crc32c).as, 'index')
  const outcomes = fuzz(good, readIndex, crc32c, 60_000)
  t.equal(outcomes.get('read') ?? 0, 0)
  for (const why of outcomes.keys()) t.ok([...refusals, 'unbroken'].includes(why), why)
  t.end()
})

void t.test('behind the checksum every field is checked too', (t) => {
  const good = indexBytes(index, blind)
  const outcomes = fuzz(good, readIndex, blind, 60_000)
  for (const why of ['length', 'magic', 'version', 'block_count', 'pack_id', 'seal', 'namespace', 'offset']) {
    t.ok((outcomes.get(why) ?? 0) > 0, `${why} was met`)
  }
  t.end()
})

void t.test('blocks lie one behind the other: an offset elsewhere is refused, whatever the sums say', (t) => {
  for (let i = 0; i < index.entries.length; i++) {
    const bytes = indexBytes(index, blind)
    const view = new DataView(bytes.buffer)
    const at = 128 + i * 264 + 256
    view.setUint32(at, view.getUint32(at, true) + 256, true)
    t.same(readIndex(bytes, blind), { as: 'refused', why: 'offset' })
  }
  t.end()
})

void t.test('a block named twice is refused', (t) => {
  const [first] = index.entries
  if (first === undefined) throw new Error('no entry')
  const twice = layPack(index.id, [first.seal, first.seal])
  t.same(readIndex(indexBytes(twice, crc32c), crc32c), { as: 'refused', why: 'duplicate' })
  t.end()
})

void t.test('a broken pack is refused, or its index is whole', (t) => {
  const payloads = index.entries.map(({ seal }) => new Uint8Array(seal.payloadBytes))
  const good = new Uint8Array(Buffer.concat(packParts(index, payloads, crc32c)))
  const random = randomOf(7)
  for (let i = 0; i < 3_000; i++) {
    const read = readPack(breakBytes(good, random), crc32c)
    // The payloads are proved by their seals; here only the index is.
    if (read.as === 'index') t.same(read.index, index)
    else t.ok(refusals.includes(read.why), read.why)
  }
  t.end()
})
