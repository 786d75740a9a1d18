import t from 'tap'
import { decodeBatch, decodeSnapshot } from '../../tiers/block/event.ts'
import {
  type AnyAsk,
  type Ask,
  decodeAnswer,
  decodeAsk,
  encodeAnswer,
  encodeAsk,
  encodeError,
  frameHeaderBytes,
  type MessageName,
  messages,
  readFrameHeader,
} from '../../tiers/block/wire.ts'

/** The decoders against malformed input: a typed refusal or a value, never an exception, never unbounded memory. */

const rounds = 100_000
let state = 12_345
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

const place = { planes: [{ baseOffset: 1, layerStride: 2, blockStride: 3 }] }
const layout = { blockTokens: 64, dtype: 'f16', planes: [{ name: 'k', layerCount: 2, pieceBytes: 8 }] }
const tokens = Uint32Array.of(1, 2, 3, 4)
const none = new Uint32Array(0)
const asks: { readonly [Name in MessageName]: Ask<Name> } = {
  hello: { version: 1, client: 'client', engine: 'engine', worker: 'a', processId: 1 },
  openNamespace: {
    tenant: 't',
    model: 'm',
    revision: 'r',
    adapter: '',
    engine: 'e',
    rankIndex: 0,
    rankCount: 1,
    epoch: '',
    layout,
  },
  attachRegion: { kind: 'shared', byteCount: 2 ** 40, writable: 1, token: new Uint8Array(16) },
  detachRegion: { region: 1 },
  lookup: { namespace: 1, tokens },
  load: {
    namespace: 1,
    tokens,
    firstBlock: 0,
    blockCount: 1,
    region: 1,
    place,
    targets: none,
    deadlineMs: 5,
    prefillMsPerBlock: 1.5,
  },
  store: {
    namespace: 1,
    tokens,
    firstBlock: 0,
    blockCount: 1,
    region: 1,
    place,
    sources: Uint32Array.of(3),
    answerTokens: 0,
  },
  held: { namespace: 1, prefixes: [tokens, none] },
  name: { namespace: 1, tokens },
  report: {
    namespace: 1,
    promptTokens: 10,
    computedTokens: 5,
    tokensByTier: { hbm: 1, host: 2, nvme: 3, s3: 4 },
    firstTokenMs: 0.5,
    prefillMsPerBlock: 2,
  },
  ping: {},
}
const names = Object.keys(messages) as MessageName[]
const frames = names.map((name, i) => encodeAsk(name, i, asks[name] as never))

function parse(frame: Uint8Array): string {
  const header = readFrameHeader(frame)
  if (header.as === 'refused') return header.why
  const body = frame.subarray(frameHeaderBytes)
  for (const name of names) decodeAnswer(name, header.header, body)
  const ask = decodeAsk(header.header, body)
  return ask.as === 'ask' ? 'ask' : ask.why
}

void t.test('every message comes back as it went', (t) => {
  for (const [i, name] of names.entries()) {
    const frame = frames[i] ?? new Uint8Array(0)
    const header = readFrameHeader(frame)
    if (header.as !== 'header') return t.fail(name)
    t.equal(header.header.frameBytes, frame.length)
    const decoded = decodeAsk(header.header, frame.subarray(frameHeaderBytes))
    const expected: unknown = { as: 'ask', value: { message: name, fields: asks[name] } as AnyAsk }
    t.same(decoded, expected, name)
  }
  const error = encodeError(3, { code: 'KVT_STOPPING', says: 'x'.repeat(5_000) })
  const header = readFrameHeader(error)
  if (header.as !== 'header') return t.fail('error')
  t.equal(decodeAnswer('ping', header.header, error.subarray(frameHeaderBytes)).as, 'error')
  const pong = encodeAnswer('ping', 3, {})
  const other = readFrameHeader(pong)
  if (other.as !== 'header') return t.fail('pong')
  t.equal(
    decodeAnswer('load', other.header, pong.subarray(frameHeaderBytes)).as,
    'refused',
    'another ask’s answer',
  )
  t.end()
})

void t.test('what a frame keeps free must be zero, so that it can mean something later', (t) => {
  for (const at of [5, 6, 7]) {
    const frame = (frames[0] ?? new Uint8Array(0)).slice()
    frame[at] = 1
    t.equal(parse(frame), 'frame.zero: not zero', `byte ${at}`)
  }
  t.end()
})

void t.test('every truncation of every message is refused', (t) => {
  for (const [i, name] of names.entries()) {
    const frame = frames[i] ?? new Uint8Array(0)
    for (let length = 0; length < frame.length; length++) t.not(parse(frame.subarray(0, length)), 'ask', name)
    t.not(parse(Uint8Array.of(...frame, 0)), 'ask', `${name} with a byte too many`)
  }
  t.end()
})

void t.test(`${rounds} damaged and random frames`, (t) => {
  let refused = 0
  for (let round = 0; round < rounds; round++) {
    let frame: Uint8Array
    if (round % 4 === 0) {
      frame = Uint8Array.from({ length: random(80) }, () => random(256))
    } else {
      frame = (frames[random(frames.length)] ?? new Uint8Array(0)).slice()
      for (let i = 0; i <= random(4); i++) frame[random(frame.length)] = random(256)
    }
    if (parse(frame) !== 'ask') refused++
  }
  t.ok(refused > rounds / 4, `${refused} refused`)
  t.end()
})

void t.test('event decoders take any text', (t) => {
  const batch = JSON.stringify({
    version: 1,
    publisher: 'p',
    epoch: 'e',
    sequence: 1,
    scheme: 's',
    events: [
      {
        kind: 'stored',
        holder: { tier: 'host', worker: '', model: 'm', blockTokens: 64, blockBytes: 5 },
        blocks: ['0123456789abcdef'],
      },
    ],
  })
  t.equal(decodeBatch(batch).as, 'value')
  t.equal(decodeBatch('[').as, 'refused')
  t.equal(decodeBatch('{"__proto__":{"version":1}}').as, 'refused')
  t.equal(decodeSnapshot(batch.replace('"events"', '"holdings"'), 10).as, 'value')
  for (let round = 0; round < 20_000; round++) {
    const chars = [...batch]
    for (let i = 0; i <= random(3); i++) chars[random(chars.length)] = String.fromCharCode(32 + random(95))
    const decoded = decodeBatch(chars.join(''))
    if (decoded.as === 'refused' && decoded.why === '') t.fail('a refusal has a reason')
  }
  t.end()
})
