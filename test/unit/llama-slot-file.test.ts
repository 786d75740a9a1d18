import t from 'tap'
import {
  blockLayoutOf,
  frameOf,
  placeOf,
  readSlotFile,
  type SlotFile,
  type SlotShape,
} from '../../daemon/adapters/llama/slot-file.ts'
import { blockBytesOf, placeProblem } from '../../tiers/block/layout.ts'

const shape: SlotShape = {
  streamCount: 3,
  stream: 1,
  sequence: 1,
  layerCount: 4,
  keyType: 1,
  valueType: 8,
  keyRowBytes: 32,
  valueRowBytes: 34,
}
const tokens = Uint32Array.from({ length: 130 }, (_, index) => 1_000 + index)

/** A whole file in memory, its KV bytes none of them zero. */
function fileOf(from: SlotShape, list: Uint32Array): Buffer {
  const frame = frameOf(from, list, 64)
  const tailBytes = 4 * (from.streamCount - 1 - from.stream)
  const bytes = Buffer.alloc(frame.fileBytes)
  bytes.fill(0x55, 0, frame.fileBytes - tailBytes)
  for (const { offset, bytes: patch } of frame.patches) bytes.set(patch, offset)
  return bytes
}

function read(bytes: Uint8Array): SlotFile {
  return readSlotFile((offset, byteCount) => bytes.subarray(offset, offset + byteCount), bytes.length)
}

function why(bytes: Uint8Array): string {
  const found = read(bytes)
  return found.as === 'refused' ? found.why : found.as
}

void t.test('what is written is read back, for the first, a middle and the last stream', (t) => {
  for (const stream of [0, 1, 2]) {
    const found = read(fileOf({ ...shape, stream, sequence: stream }, tokens))
    t.equal(found.as, 'slot')
    if (found.as !== 'slot') continue
    t.same(found.tokens, tokens)
    t.same(found.shape, { ...shape, stream, sequence: stream })
    const place = placeOf(found.shape, found.baseOffset, tokens.length, 64)
    t.same(place, frameOf(found.shape, tokens, 64).place)
  }
  t.end()
})

void t.test('one stream for all slots carries the sequence in its cells', (t) => {
  const unified = { ...shape, streamCount: 1, stream: 0, sequence: 5 }
  const found = read(fileOf(unified, tokens))
  t.equal(found.as, 'slot')
  if (found.as === 'slot') t.same(found.shape, unified)
  t.end()
})

void t.test('golden: the layout of the reference model', (t) => {
  const model = { ...shape, streamCount: 2, stream: 1, sequence: 1, layerCount: 30, keyType: 1, valueType: 1 }
  const frame = frameOf({ ...model, keyRowBytes: 384, valueRowBytes: 384 }, new Uint32Array(704), 64)
  // head 12 + tokens 2816 + streams 4 + two counts 8 + cells 8448 + v_trans and layers 8, then 12 before each layer
  t.equal(frame.place.planes[0]?.baseOffset, 12 + 2_816 + 4 + 8 + 8_448 + 8 + 12)
  t.equal(frame.place.planes[0]?.layerStride, 12 + 704 * 384)
  t.equal(frame.place.planes[0]?.blockStride, 24_576)
  t.equal(frame.place.planes[1]?.baseOffset, 11_308 + 30 * (12 + 704 * 384))
  const layout = blockLayoutOf({ ...model, keyRowBytes: 384, valueRowBytes: 384 }, 64)
  t.equal(blockBytesOf(layout), 1_474_560)
  t.equal(placeProblem(layout, frame.place, 11, frame.fileBytes), null)
  t.not(placeProblem(layout, frame.place, 12, frame.fileBytes), null)
  t.end()
})

void t.test('pieces do not overlap each other or the tables', (t) => {
  const frame = frameOf(shape, tokens, 64)
  const used = new Uint8Array(frame.fileBytes)
  const mark = (from: number, count: number): void => {
    for (let at = from; at < from + count; at++) used[at] = (used[at] ?? 0) + 1
  }
  for (const { offset, bytes } of frame.patches) mark(offset, bytes.length)
  for (const [plane, rowBytes] of [shape.keyRowBytes, shape.valueRowBytes].entries()) {
    const at = frame.place.planes[plane]
    if (at === undefined) return t.fail('two planes')
    for (let layer = 0; layer < shape.layerCount; layer++) {
      mark(at.baseOffset + layer * at.layerStride, rowBytes * tokens.length)
    }
  }
  mark(frame.fileBytes - 4, 4)
  t.ok(used.every((count) => count === 1))
  t.end()
})

void t.test('a file cut anywhere is refused', (t) => {
  const whole = fileOf(shape, tokens.subarray(0, 5))
  const reasons = new Set<string>()
  for (let length = 0; length < whole.length; length++) reasons.add(why(whole.subarray(0, length)))
  t.same([...reasons], ['truncated'])
  t.equal(why(Buffer.concat([whole, Buffer.alloc(1)])), 'trailing')
  t.end()
})

void t.test('each field that does not fit has its own reason', (t) => {
  const list = tokens.subarray(0, 5)
  const change = (edit: (bytes: Buffer) => void): string => {
    const bytes = fileOf(shape, list)
    edit(bytes)
    return why(bytes)
  }
  const streamsAt = 12 + 4 * list.length
  const cellsAt = streamsAt + 4 + 8
  const layersAt = cellsAt + 12 * list.length
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0x46554747, 0)),
    'magic',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(4, 4)),
    'version',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0xffffffff, 8)),
    'counts',
  )
  t.equal(
    change((bytes) => bytes.writeInt32LE(-7, 16)),
    'tokens',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0, streamsAt)),
    'counts',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(4, streamsAt + 8)),
    'cells',
  )
  t.equal(
    change((bytes) => bytes.writeInt32LE(9, cellsAt)),
    'cells',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(2, cellsAt + 4)),
    'cells',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(2, cellsAt + 20)),
    'cells',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(1, layersAt)),
    'transposed',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0, layersAt + 4)),
    'counts',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0xffff, layersAt + 4)),
    'counts',
  )
  t.equal(
    change((bytes) => bytes.writeUInt32LE(0, layersAt + 12)),
    'rows',
  )
  t.equal(
    change((bytes) => bytes.writeInt32LE(3, layersAt + 20 + 5 * 32)),
    'rows',
    'the second layer is of another type',
  )
  t.end()
})

void t.test('the packed form of tokens: plain text is read, media is refused', (t) => {
  const list = tokens.subarray(0, 5)
  const plain = fileOf(shape, list)
  const packed = (mediaCount: number, count: number): Buffer => {
    const words = [-1, 1, count, ...list, mediaCount]
    const head = Buffer.alloc(12 + 4 * words.length)
    plain.copy(head, 0, 0, 8)
    head.writeUInt32LE(words.length, 8)
    for (const [index, word] of words.entries()) head.writeInt32LE(word, 12 + 4 * index)
    return Buffer.concat([head, plain.subarray(12 + 4 * list.length)])
  }
  const found = read(packed(0, list.length))
  t.equal(found.as, 'slot')
  if (found.as === 'slot') t.same(found.tokens, list)
  t.equal(why(packed(1, list.length)), 'media')
  t.equal(why(packed(0, 0xffffff)), 'tokens')
  t.equal(why(packed(0, 2)), 'media', 'a short count finds tokens where the count of media should be')
  t.end()
})

void t.test('two streams with cells are refused, none with cells is empty', (t) => {
  const list = tokens.subarray(0, 2)
  const one = fileOf({ ...shape, streamCount: 2, stream: 0, sequence: 0 }, list)
  one.writeUInt32LE(2, one.length - 4)
  t.equal(why(one), 'streams')
  const none = Buffer.alloc(12 + 4 + 8)
  none.write('qsgg', 0, 'latin1')
  none.writeUInt32LE(3, 4)
  none.writeUInt32LE(2, 12)
  t.equal(why(none), 'empty')
  t.end()
})
