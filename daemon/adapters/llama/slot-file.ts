/** The file that llama-server writes for `POST /slots/I?action=save`, and reads back for `restore`.
 *
 *  Little endian: magic, version, tokens, then for each stream a cell count; for the slot's own stream a
 *  table of cells, then all keys layer by layer, then all values. With whole rows per cell the KV bytes of a token block are
 *  2 x layers pieces at fixed distances: the affine layout that the daemon copies by. This file reads and writes everything
 *  around those bytes; the bytes themselves never pass through here. */

const magic = 0x67677371
const version = 3
const packedMark = -1
const packedVersion = 1
const layerHeaderBytes = 12
const cellBytes = 12
/** Most tokens of one slot, most streams and most layers that are believed. Why: a damaged count must not make
 *  the reader ask for gigabytes. */
const tokenCountMax = 1 << 22
const streamCountMax = 1 << 10
const layerCountMax = 1 << 10
/** Largest row of one cell in one layer, in bytes: far above any model's key or value row. */
const rowBytesMax = 1 << 20

/** What all slot files of one running server have in common, and which slot this one is of. */
export type SlotShape = {
  readonly streamCount: number
  /** Stream that holds the cells: the slot's number, or 0 when the server keeps all slots in one stream. */
  readonly stream: number
  /** Sequence id written in every cell: the slot's number. */
  readonly sequence: number
  readonly layerCount: number
  /** Number type of keys and of values, as ggml counts them. */
  readonly keyType: number
  readonly valueType: number
  /** Bytes of one cell's key (and value) in one layer. */
  readonly rowBytes: number
}

/** Where the KV bytes of a slot file lie: byte offset of the piece of block b, layer l, kind k (0 keys, 1 values) is
 *  base + k * kvStride + l * layerStride + b * blockStride. */
export type SlotLayout = {
  readonly baseOffset: number
  readonly kvStrideBytes: number
  readonly layerStrideBytes: number
  readonly blockStrideBytes: number
  readonly pieceBytes: number
  readonly fileBytes: number
}

/** Why a file is not used. `media`, `transposed`, `rows` and `shape` name caches that have no affine layout. */
export type SlotRefusal =
  | 'magic'
  | 'version'
  | 'truncated'
  | 'counts'
  | 'tokens'
  | 'media'
  | 'streams'
  | 'cells'
  | 'transposed'
  | 'rows'
  | 'trailing'

export type SlotFile =
  | { readonly as: 'slot'; readonly tokens: Int32Array; readonly shape: SlotShape; readonly baseOffset: number }
  | { readonly as: 'empty' }
  | { readonly as: 'refused'; readonly why: SlotRefusal }

/** Gives `byteCount` bytes at `offset`, or fewer at the end of the file. */
export type ReadAt = (offset: number, byteCount: number) => Uint8Array

class Refused extends Error {
  readonly why: SlotRefusal
  constructor(why: SlotRefusal) {
    super(why)
    this.why = why
  }
}

function refuse(why: SlotRefusal): never {
  throw new Refused(why)
}

/** Reads header, tokens and cell table, and checks that the KV bytes behind them are laid out as blocks need it.
 *  Never throws and never reads more than the tables: the answer of damaged bytes is a reason. */
export function readSlotFile(readAt: ReadAt, fileBytes: number): SlotFile {
  try {
    return parse(readAt, fileBytes)
  } catch (error) {
    if (error instanceof Refused) return { as: 'refused', why: error.why }
    throw error
  }
}

function parse(readAt: ReadAt, fileBytes: number): SlotFile {
  const view = (offset: number, byteCount: number): DataView => {
    if (offset + byteCount > fileBytes) refuse('truncated')
    const bytes = readAt(offset, byteCount)
    if (bytes.byteLength !== byteCount) refuse('truncated')
    return new DataView(bytes.buffer, bytes.byteOffset, byteCount)
  }
  const head = view(0, 12)
  if (head.getUint32(0, true) !== magic) refuse('magic')
  if (head.getUint32(4, true) !== version) refuse('version')
  const packedCount = head.getUint32(8, true)
  if (packedCount > tokenCountMax) refuse('counts')
  const tokens = unpackTokens(view(12, packedCount * 4), packedCount)
  let at = 12 + packedCount * 4
  const streamCount = view(at, 4).getUint32(0, true)
  if (streamCount === 0 || streamCount > streamCountMax) refuse('counts')
  at += 4
  let own: { stream: number; sequence: number } | undefined
  let data: { baseOffset: number; shape: Omit<SlotShape, 'streamCount' | 'stream' | 'sequence'> } | undefined
  for (let stream = 0; stream < streamCount; stream++) {
    const cellCount = view(at, 4).getUint32(0, true)
    at += 4
    if (cellCount === 0) continue
    if (own !== undefined) refuse('streams')
    if (cellCount !== tokens.length) refuse('cells')
    own = { stream, sequence: readCells(view(at, cellCount * cellBytes), cellCount) }
    at += cellCount * cellBytes
    data = readLayers(view, at, cellCount)
    at = data.baseOffset + 2 * data.shape.layerCount * layerStride(data.shape.rowBytes, cellCount) - layerHeaderBytes
    if (at > fileBytes) refuse('truncated')
  }
  if (at !== fileBytes) refuse('trailing')
  if (own === undefined || data === undefined) return tokens.length === 0 ? { as: 'empty' } : refuse('cells')
  return { as: 'slot', tokens, baseOffset: data.baseOffset, shape: { streamCount, ...own, ...data.shape } }
}

/** The plain list, or the packed form: mark, version, count, tokens, count of media places. */
function unpackTokens(view: DataView, packedCount: number): Int32Array {
  const plain = (from: number, count: number): Int32Array =>
    Int32Array.from({ length: count }, (_, index) => view.getInt32((from + index) * 4, true))
  const check = (tokens: Int32Array): Int32Array => (tokens.some((token) => token < 0) ? refuse('tokens') : tokens)
  if (packedCount === 0 || view.getInt32(0, true) !== packedMark) return check(plain(0, packedCount))
  if (packedCount < 4) refuse('tokens')
  if (view.getInt32(4, true) !== packedVersion) refuse('version')
  const count = view.getUint32(8, true)
  if (count > packedCount - 4) refuse('tokens')
  if (view.getUint32((3 + count) * 4, true) !== 0) refuse('media')
  if (packedCount !== count + 4) refuse('tokens')
  return check(plain(3, count))
}

/** Cells must be those of one sequence, at positions 0, 1, 2, ... in the order of the file. */
function readCells(view: DataView, cellCount: number): number {
  const sequence = view.getUint32(8, true)
  for (let cell = 0; cell < cellCount; cell++) {
    if (view.getInt32(cell * cellBytes, true) !== cell) refuse('cells')
    if (view.getUint32(cell * cellBytes + 4, true) !== 1) refuse('cells')
    if (view.getUint32(cell * cellBytes + 8, true) !== sequence) refuse('cells')
  }
  return sequence
}

function layerStride(rowBytes: number, cellCount: number): number {
  return layerHeaderBytes + rowBytes * cellCount
}

/** Reads the head of every layer; all must have the same row, so that pieces have one size and one distance. */
function readLayers(
  view: (offset: number, byteCount: number) => DataView,
  at: number,
  cellCount: number,
): { baseOffset: number; shape: Omit<SlotShape, 'streamCount' | 'stream' | 'sequence'> } {
  const head = view(at, 8 + layerHeaderBytes)
  const transposed = head.getUint32(0, true)
  if (transposed === 1) refuse('transposed')
  if (transposed !== 0) refuse('counts')
  const layerCount = head.getUint32(4, true)
  if (layerCount === 0 || layerCount > layerCountMax) refuse('counts')
  const keyType = head.getInt32(8, true)
  const rowBytes = Number(head.getBigUint64(12, true))
  if (rowBytes === 0 || rowBytes > rowBytesMax) refuse('rows')
  const baseOffset = at + 8 + layerHeaderBytes
  let valueType = keyType
  for (let row = 0; row < 2 * layerCount; row++) {
    const layer = view(baseOffset - layerHeaderBytes + row * layerStride(rowBytes, cellCount), layerHeaderBytes)
    const type = layer.getInt32(0, true)
    if (row === layerCount) valueType = type
    if (type !== (row < layerCount ? keyType : valueType)) refuse('rows')
    if (Number(layer.getBigUint64(4, true)) !== rowBytes) refuse('rows')
  }
  return { baseOffset, shape: { layerCount, keyType, valueType, rowBytes } }
}

/** Where the KV bytes lie in a file of this shape whose tables end at `baseOffset`. */
export function layoutOf(
  shape: SlotShape,
  baseOffset: number,
  cellCount: number,
  blockTokens: number,
): SlotLayout {
  const layerStrideBytes = layerStride(shape.rowBytes, cellCount)
  const dataEnd = baseOffset + 2 * shape.layerCount * layerStrideBytes - layerHeaderBytes
  return {
    baseOffset,
    kvStrideBytes: shape.layerCount * layerStrideBytes,
    layerStrideBytes,
    blockStrideBytes: blockTokens * shape.rowBytes,
    pieceBytes: blockTokens * shape.rowBytes,
    fileBytes: dataEnd + 4 * (shape.streamCount - 1 - shape.stream),
  }
}

/** One run of bytes to write at an offset. */
export type Patch = { readonly offset: number; readonly bytes: Uint8Array }

/** Everything of a slot file but its KV bytes, for these tokens in order, and where the KV bytes go. Restoring the
 *  file needs the KV bytes of every cell in place; the tail of zero counts ends the file at its full length. */
export function writeSlotFile(
  shape: SlotShape,
  tokens: Int32Array,
  blockTokens: number,
): { readonly patches: readonly Patch[]; readonly layout: SlotLayout } {
  const cellCount = tokens.length
  const cellsAt = 12 + 4 * cellCount + 4 + 4 * (shape.stream + 1)
  const headBytes = cellsAt + cellCount * cellBytes + 8
  const head = new DataView(new ArrayBuffer(headBytes))
  head.setUint32(0, magic, true)
  head.setUint32(4, version, true)
  head.setUint32(8, cellCount, true)
  tokens.forEach((token, index) => {
    head.setInt32(12 + 4 * index, token, true)
  })
  head.setUint32(12 + 4 * cellCount, shape.streamCount, true)
  head.setUint32(cellsAt - 4, cellCount, true)
  for (let cell = 0; cell < cellCount; cell++) {
    head.setInt32(cellsAt + cell * cellBytes, cell, true)
    head.setUint32(cellsAt + cell * cellBytes + 4, 1, true)
    head.setUint32(cellsAt + cell * cellBytes + 8, shape.sequence, true)
  }
  head.setUint32(headBytes - 4, shape.layerCount, true)
  const layout = layoutOf(shape, headBytes + layerHeaderBytes, cellCount, blockTokens)
  const patches: Patch[] = [{ offset: 0, bytes: new Uint8Array(head.buffer) }]
  for (let row = 0; row < 2 * shape.layerCount; row++) {
    const layer = new DataView(new ArrayBuffer(layerHeaderBytes))
    layer.setInt32(0, row < shape.layerCount ? shape.keyType : shape.valueType, true)
    layer.setBigUint64(4, BigInt(shape.rowBytes), true)
    const offset = layout.baseOffset - layerHeaderBytes + row * layout.layerStrideBytes
    patches.push({ offset, bytes: new Uint8Array(layer.buffer) })
  }
  const tailBytes = 4 * (shape.streamCount - 1 - shape.stream)
  patches.push({ offset: layout.fileBytes - tailBytes, bytes: new Uint8Array(tailBytes) })
  return { patches, layout }
}
