import t from 'tap'
import { frameOf, readSlotFile } from '../../daemon/adapters/llama/slot-file.ts'

/** A small fast generator, so that a failing case can be named by its number. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return (state ^ (state >>> 13)) >>> 0
  }
}

void t.test('100,000 damaged files: a typed answer each, never more bytes asked for than there are', (t) => {
  const shape = { streamCount: 2, stream: 0, sequence: 0, layerCount: 2, keyType: 1, valueType: 1 }
  const frame = frameOf({ ...shape, keyRowBytes: 8, valueRowBytes: 8 }, Uint32Array.from([5, 6, 7, 8]), 2)
  const whole = Buffer.alloc(frame.fileBytes)
  for (const { offset, bytes } of frame.patches) whole.set(bytes, offset)
  const answers = new Map<string, number>()
  let askedMax = 0
  for (let round = 0; round < 100_000; round++) {
    const next = generator(round)
    const length = next() % 4 === 0 ? next() % whole.length : whole.length
    const bytes = Buffer.from(whole.subarray(0, length))
    for (let edit = next() % 4; edit >= 0 && length > 0; edit--) {
      const at = next() % length
      if (next() % 3 === 0) bytes.writeUInt8(0xff, at)
      else bytes.writeUInt8(next() & 0xff, at)
    }
    const found = readSlotFile((offset, byteCount) => {
      askedMax = Math.max(askedMax, byteCount)
      return bytes.subarray(offset, offset + byteCount)
    }, bytes.length)
    const name = found.as === 'refused' ? found.why : found.as
    answers.set(name, (answers.get(name) ?? 0) + 1)
  }
  t.ok(askedMax <= whole.length, `asked for at most ${askedMax} bytes`)
  for (const wanted of ['magic', 'version', 'truncated', 'counts', 'tokens', 'cells', 'rows', 'slot']) {
    t.ok((answers.get(wanted) ?? 0) > 0, `${wanted} occurs`)
  }
  t.end()
})
