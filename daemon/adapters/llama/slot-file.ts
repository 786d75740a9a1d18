import type { Layout, Place, PlanePlace } from '../../../tiers/block/layout.ts'

/** The file that llama-server writes for `POST /slots/I?action=save`, and reads back for `restore`.
 *
 *   Little endian: magic, version, tokens, then for each stream a cell count; for the slot's own stream a table of
 *  cells, then all keys layer by layer, then all values. With whole rows per cell the KV bytes of a token block are 2
 *  x layers pieces at fixed distances: the affine layout that the daemon copies by. This file reads and writes
 *  everything around those bytes; the bytes themselves never pass through here. */

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
} & CacheShape

/** The part of the shape that is the same for every slot: number type (as ggml counts them) and bytes of one cell in
 *  one layer. */
export type CacheShape = {
  readonly layerCount: number
  readonly keyType: number
  readonly valueType: number
  readonly keyRowBytes: number
  readonly valueRowBytes: number
}

/** The parts of a file around its KV bytes. */
type Extent = { readonly keysAt: number; readonly valuesAt: number; readonly dataEnd: number }

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
  | {
      readonly as: 'slot'
      readonly tokens: Uint32Array
      readonly shape: SlotShape
      readonly baseOffset: number
    }
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
  let found: { baseOffset: number; shape: CacheShape } | undefined
  for (let stream = 0; stream < streamCount; stream++) {
    const cellCount = view(at, 4).getUint32(0, true)
    at += 4
    if (cellCount === 0) continue
    if (own !== undefined) refuse('streams')
    if (cellCount !== tokens.length) refuse('cells')
    own = { stream, sequence: readCells(view(at, cellCount * cellBytes), cellCount) }
    at += cellCount * cellBytes
    found = readLayers(view, at, cellCount)
    at = extentOf(found.shape, found.baseOffset, cellCount).dataEnd
    if (at > fileBytes) refuse('truncated')
  }
  if (at !== fileBytes) refuse('trailing')
  if (own === undefined || found === undefined) return tokens.length === 0 ? { as: 'empty' } : refuse('cells')
  return { as: 'slot', tokens, baseOffset: found.baseOffset, shape: { streamCount, ...own, ...found.shape } }
}

/** The plain list, or the packed form: mark, version, count, tokens, count of media places. */
function unpackTokens(view: DataView, packedCount: number): Uint32Array {
  const list = (from: number, count: number): Uint32Array =>
    Uint32Array.from({ length: count }, (_, index) => {
      const token = view.getInt32((from + index) * 4, true)
      return token < 0 ? refuse('tokens') : token
    })
  if (packedCount === 0 || view.getInt32(0, true) !== packedMark) return list(0, packedCount)
  if (packedCount < 4) refuse('tokens')
  if (view.getInt32(4, true) !== packedVersion) refuse('version')
  const count = view.getUint32(8, true)
  if (count > packedCount - 4) refuse('tokens')
  if (view.getUint32((3 + count) * 4, true) !== 0) refuse('media')
  if (packedCount !== count + 4) refuse('tokens')
  return list(3, count)
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

/** Distance of one layer's rows from the next layer's: the rows and the head of the next layer. */
function layerStride(rowBytes: number, cellCount: number): number {
  return layerHeaderBytes + rowBytes * cellCount
}

function extentOf(shape: CacheShape, baseOffset: number, cellCount: number): Extent {
  const valuesAt = baseOffset + shape.layerCount * layerStride(shape.keyRowBytes, cellCount)
  const end = valuesAt + shape.layerCount * layerStride(shape.valueRowBytes, cellCount)
  return { keysAt: baseOffset, valuesAt, dataEnd: end - layerHeaderBytes }
}

/** Reads the head of every layer; all keys must have the same row, and all values, so that pieces have one size. */
function readLayers(
  view: (offset: number, byteCount: number) => DataView,
  at: number,
  cellCount: number,
): { baseOffset: number; shape: CacheShape } {
  const head = view(at, 8)
  const transposed = head.getUint32(0, true)
  if (transposed === 1) refuse('transposed')
  if (transposed !== 0) refuse('counts')
  const layerCount = head.getUint32(4, true)
  if (layerCount === 0 || layerCount > layerCountMax) refuse('counts')
  const baseOffset = at + 8 + layerHeaderBytes
  const keys = readPlane(view, baseOffset, layerCount, cellCount)
  const values = readPlane(
    view,
    baseOffset + layerCount * layerStride(keys.rowBytes, cellCount),
    layerCount,
    cellCount,
  )
  const shape: CacheShape = {
    layerCount,
    keyType: keys.type,
    valueType: values.type,
    keyRowBytes: keys.rowBytes,
    valueRowBytes: values.rowBytes,
  }
  return { baseOffset, shape }
}

function readPlane(
  view: (offset: number, byteCount: number) => DataView,
  rowsAt: number,
  layerCount: number,
  cellCount: number,
): { type: number; rowBytes: number } {
  const first = view(rowsAt - layerHeaderBytes, layerHeaderBytes)
  const type = first.getInt32(0, true)
  const rowBytes = Number(first.getBigUint64(4, true))
  if (rowBytes === 0 || rowBytes > rowBytesMax) refuse('rows')
  for (let layer = 1; layer < layerCount; layer++) {
    const offset = rowsAt + layer * layerStride(rowBytes, cellCount) - layerHeaderBytes
    const next = view(offset, layerHeaderBytes)
    if (next.getInt32(0, true) !== type || Number(next.getBigUint64(4, true)) !== rowBytes) refuse('rows')
  }
  return { type, rowBytes }
}

/** The layout of blocks of this cache: keys are one plane, values another. */
export function blockLayoutOf(shape: CacheShape, blockTokens: number): Layout {
  const { layerCount } = shape
  return {
    blockTokens,
    dtype: `ggml${shape.keyType}.${shape.valueType}`,
    planes: [
      { name: 'k', layerCount, pieceBytes: blockTokens * shape.keyRowBytes },
      { name: 'v', layerCount, pieceBytes: blockTokens * shape.valueRowBytes },
    ],
  }
}

/** Where the blocks of a file with these cells lie. Block b is the tokens from b * blockTokens on. */
export function placeOf(
  shape: CacheShape,
  baseOffset: number,
  cellCount: number,
  blockTokens: number,
): Place {
  const { keysAt, valuesAt } = extentOf(shape, baseOffset, cellCount)
  const plane = (offset: number, rowBytes: number): PlanePlace => ({
    baseOffset: offset,
    layerStride: layerStride(rowBytes, cellCount),
    blockStride: blockTokens * rowBytes,
  })
  return { planes: [plane(keysAt, shape.keyRowBytes), plane(valuesAt, shape.valueRowBytes)] }
}

/** One run of bytes to write at an offset. */
export type Patch = { readonly offset: number; readonly bytes: Uint8Array }

export type SlotFrame = {
  readonly patches: readonly Patch[]
  readonly place: Place
  readonly fileBytes: number
}

/** Everything of a slot file but its KV bytes, for these tokens in order, and where the KV bytes go. A file of
 *  `fileBytes` zeros with the patches written is one that the server restores; cells without KV bytes hold zeros. */
export function frameOf(shape: SlotShape, tokens: Uint32Array, blockTokens: number): SlotFrame {
  const cellCount = tokens.length
  const head = headOf(shape, tokens)
  const baseOffset = head.length + layerHeaderBytes
  const { keysAt, valuesAt, dataEnd } = extentOf(shape, baseOffset, cellCount)
  const patches: Patch[] = [{ offset: 0, bytes: head }]
  for (let layer = 0; layer < shape.layerCount; layer++) {
    const keyOffset = keysAt + layer * layerStride(shape.keyRowBytes, cellCount) - layerHeaderBytes
    patches.push({ offset: keyOffset, bytes: layerHead(shape.keyType, shape.keyRowBytes) })
    const valueOffset = valuesAt + layer * layerStride(shape.valueRowBytes, cellCount) - layerHeaderBytes
    patches.push({ offset: valueOffset, bytes: layerHead(shape.valueType, shape.valueRowBytes) })
  }
  const fileBytes = dataEnd + 4 * (shape.streamCount - 1 - shape.stream)
  return { patches, place: placeOf(shape, baseOffset, cellCount, blockTokens), fileBytes }
}

/** Magic, tokens, cell counts of the streams up to ours, cell table, and the two counts before the first layer. */
function headOf(shape: SlotShape, tokens: Uint32Array): Uint8Array {
  const cellCount = tokens.length
  const streamsAt = 12 + 4 * cellCount
  const cellsAt = streamsAt + 4 + 4 * (shape.stream + 1)
  const head = new DataView(new ArrayBuffer(cellsAt + cellCount * cellBytes + 8))
  head.setUint32(0, magic, true)
  head.setUint32(4, version, true)
  head.setUint32(8, cellCount, true)
  for (const [index, token] of tokens.entries()) head.setUint32(12 + 4 * index, token, true)
  head.setUint32(streamsAt, shape.streamCount, true)
  head.setUint32(cellsAt - 4, cellCount, true)
  for (let cell = 0; cell < cellCount; cell++) {
    head.setInt32(cellsAt + cell * cellBytes, cell, true)
    head.setUint32(cellsAt + cell * cellBytes + 4, 1, true)
    head.setUint32(cellsAt + cell * cellBytes + 8, shape.sequence, true)
  }
  head.setUint32(head.byteLength - 4, shape.layerCount, true)
  return new Uint8Array(head.buffer)
}

function layerHead(type: number, rowBytes: number): Uint8Array {
  const head = new DataView(new ArrayBuffer(layerHeaderBytes))
  head.setInt32(0, type, true)
  head.setBigUint64(4, BigInt(rowBytes), true)
  return new Uint8Array(head.buffer)
}
