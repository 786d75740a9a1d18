import t from 'tap'
import { Reader, u32List, Writer } from '../../tiers/block/codec.ts'
import { decodeAsk, encodeAsk, frameHeaderBytes, readFrameHeader } from '../../tiers/block/wire.ts'

void t.test('what is read does not share memory with the bytes it was read from', (t) => {
  // Node gives sockets' bytes as Buffers, whose slice() is a view of a pool.
  const bytes = Buffer.from([9, 9, 9, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]).subarray(3)
  const values = u32List(8).read(new Reader(bytes), 'list')
  bytes.fill(255)
  t.strictSame([...values], [1, 2])
  t.equal(values.buffer.byteLength, 8)
  t.end()
})

void t.test('a writer grows in the middle of any value', (t) => {
  for (let before = 0; before < 24; before++) {
    const writer = new Writer(16)
    for (let i = 0; i < before; i++) writer.number(1, i, 'one')
    writer.put(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9))
    writer.float(0.5, 'half')
    writer.number(8, 2 ** 40, 'large')
    const reader = new Reader(writer.done())
    reader.take(before, 'before')
    t.strictSame([...reader.take(9, 'put')], [1, 2, 3, 4, 5, 6, 7, 8, 9])
    t.equal(reader.float('half'), 0.5)
    t.equal(reader.number(8, 'large'), 2 ** 40)
    reader.end()
  }
  t.end()
})

void t.test('a frame of a long chain crosses', (t) => {
  const tokens = Uint32Array.from({ length: 100_000 }, (_, i) => i)
  const frame = Buffer.from(encodeAsk('lookup', 5, { namespace: 1, tokens }))
  const read = readFrameHeader(frame.subarray(0, frameHeaderBytes))
  if (read.as !== 'header') throw new Error(read.why)
  const ask = decodeAsk(read.header, frame.subarray(frameHeaderBytes))
  t.match(ask, { as: 'ask', value: { message: 'lookup', fields: { namespace: 1 } } })
  if (ask.as === 'ask' && ask.value.message === 'lookup') t.strictSame(ask.value.fields.tokens, tokens)
  t.end()
})
