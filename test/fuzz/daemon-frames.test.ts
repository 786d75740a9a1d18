import fc from 'fast-check'
import t from 'tap'
import { type FrameRead, FrameReader } from '../../daemon/frames.ts'
import { frameBytesMax, helloFrameBytesMax } from '../../tiers/block/limits.ts'
import { decodeAsk, encodeAsk, frameHeaderBytes } from '../../tiers/block/wire.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { startEngineServer } from '../servers/engine-server.ts'
import { helloFrom, smallNamespace, smallPlace, tokensOf, WirePeer } from '../servers/wire-peer.ts'

/** A generator of numbers in [0, 1) that a seed repeats. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const range = {
  namespace: 1,
  tokens: tokensOf(16),
  firstBlock: 0,
  blockCount: 2,
  region: 1,
  place: smallPlace(64),
}
const whole: readonly Uint8Array[] = [
  encodeAsk('hello', 1, helloFrom('w')),
  encodeAsk('openNamespace', 2, smallNamespace()),
  encodeAsk('attachRegion', 3, { kind: 'shared', byteCount: 9, writable: 1, token: new Uint8Array(16) }),
  encodeAsk('lookup', 4, { namespace: 1, tokens: tokensOf(9) }),
  encodeAsk('load', 5, { ...range, targets: tokensOf(2), deadlineMs: 1, prefillMsPerBlock: 0.5 }),
  encodeAsk('store', 6, { ...range, sources: tokensOf(2), answerTokens: 0 }),
  encodeAsk('held', 7, { namespace: 1, prefixes: [tokensOf(4), tokensOf(8)] }),
  encodeAsk('ping', 8, {}),
]

/** A frame damaged in one of the ways that happen: bits, lengths, ends, middles, strangers. */
function damaged(random: () => number): Buffer {
  const frame = Buffer.from(whole[Math.floor(random() * whole.length)] ?? [])
  const at = Math.floor(random() * frame.length)
  switch (Math.floor(random() * 6)) {
    case 0:
      frame[at] = (frame[at] ?? 0) ^ (1 << Math.floor(random() * 8))
      return frame
    case 1:
      frame.writeUInt32LE(Math.floor(random() * 2 ** 32), 0)
      return frame
    case 2:
      return frame.subarray(0, at)
    case 3:
      frame.writeUInt32LE(2 ** 32 - 1 - Math.floor(random() * 3), Math.min(at, frame.length - 4))
      return frame
    case 4:
      return Buffer.concat([
        frame.subarray(0, at),
        Buffer.from([Math.floor(random() * 256)]),
        frame.subarray(at),
      ])
    default:
      return Buffer.from(Array.from({ length: 4 + at }, () => Math.floor(random() * 256)))
  }
}

void t.test('100,000 damaged frames: typed refusals only, nothing kept beyond the limit', async (t) => {
  const random = seeded(20_261_125)
  const seen = { frames: 0, refused: 0, asks: 0 }
  for (let i = 0; i < 100_000; i++) {
    const reader = new FrameReader(random() < 0.5 ? helloFrameBytesMax : frameBytesMax)
    for (const read of reader.take(damaged(random))) {
      if (read.as === 'refused') {
        seen.refused += 1
        continue
      }
      seen.frames += 1
      const ask = decodeAsk(read.header, read.body)
      if (ask.as === 'ask') seen.asks += 1
      else if (ask.why.length === 0 || ask.why.length > 200)
        t.fail(`a refusal without its reason: ${ask.why}`)
    }
    if (reader.heldBytes > 4_096) t.fail('more is held than came')
  }
  t.ok(seen.refused > 10_000 && seen.frames > 10_000 && seen.asks > 1_000, JSON.stringify(seen))
})

void t.test('frames come out the same however the bytes are cut', async (t) => {
  const all = Buffer.concat(whole)
  const cuts = fc.array(fc.integer({ min: 1, max: all.length - 1 }), { maxLength: 40 })
  fc.assert(
    fc.property(cuts, (places) => {
      const reader = new FrameReader(frameBytesMax)
      const reads: FrameRead[] = []
      const ends = [...new Set(places)].sort((a, b) => a - b).concat(all.length)
      let from = 0
      for (const end of ends) {
        reads.push(...reader.take(all.subarray(from, end)))
        from = end
      }
      t.equal(reads.length, whole.length)
      for (const [i, read] of reads.entries()) {
        if (read.as === 'refused') throw new Error(read.why)
        const body = whole[i]?.subarray(frameHeaderBytes) ?? []
        if (Buffer.compare(Buffer.from(read.body), Buffer.from(body)) !== 0)
          throw new Error(`frame ${i} differs`)
      }
      return reader.heldBytes === 0
    }),
    { seed: 7, numRuns: 200 },
  )
})

void t.test('the server lives through damaged streams, depth bombs and pickles', async (t) => {
  const parts = await startEngineServer(shortFolder(t))
  t.teardown(() => parts.stop())
  const random = seeded(3)
  const strangers = [
    Buffer.from(
      '\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.',
      'latin1',
    ),
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.from('['.repeat(100_000)),
    Buffer.from('{"__proto__":{"admin":true}}'),
    Buffer.alloc(70_000),
  ]
  for (let i = 0; i < 400; i++) {
    const attached = i % 2 === 0
    const peer = attached ? await WirePeer.attached(parts.socket) : await WirePeer.open(parts.socket)
    const stranger = strangers[i % 40]
    if (stranger !== undefined) peer.socket.write(stranger)
    for (let k = 0; k < 5; k++) peer.socket.write(damaged(random))
    peer.socket.end()
    await peer.closed
    for (const stray of peer.strays) {
      // An ask that the damage left whole is answered, and that answer belongs to no ask of ours.
      if (stray.as === 'refused' && !/not the answer/.test(stray.why)) t.fail(`a bad answer: ${stray.why}`)
    }
  }
  t.strictSame(parts.broken, [], 'no failure of ours')
  t.equal(parts.server.sessions().length, 0)
  const peer = await WirePeer.attached(parts.socket)
  t.same(await peer.value('ping', {}), {})
  await peer.close()
})
