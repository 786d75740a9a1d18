import { assert } from '../block/assert.ts'
import type { BlockKey } from '../block/id.ts'
import { keyAt, writeKey } from '../block/id.ts'
import { blockBytesMax, packBlocksMax, slotPageBytes } from '../block/limits.ts'
import { readSeal, type Seal, sealByteCount, writeSeal } from '../block/seal.ts'
import { type PackId, packIdBytesMax, packIdOf } from './name.ts'

/** The bytes of a pack: header page, blocks (seal, payload), index. This is the only file that knows them; the
 *  README has the tables. Pure. */

/** CRC-32C of `bytes` after what `previous` covered. */
export type Sum = (bytes: Uint8Array, previous: number) => number

export type PackEntry = {
  readonly seal: Seal
  /** Where the block's seal starts in the object; its payload follows at once. */
  readonly offset: number
}
export type PackIndex = {
  readonly id: PackId
  readonly namespace: BlockKey
  /** Length of the whole object. */
  readonly packBytes: number
  /** In the order of their offsets. */
  readonly entries: readonly PackEntry[]
}
export type IndexRefused =
  | 'length'
  | 'magic'
  | 'version'
  | 'block_count'
  | 'checksum'
  | 'pack_id'
  | 'seal'
  | 'namespace'
  | 'offset'
  | 'duplicate'
export type IndexRead =
  | { readonly as: 'index'; readonly index: PackIndex }
  | { readonly as: 'refused'; readonly why: IndexRefused }

/** Blocks start at multiples of this, in bytes: a seal's length, so that seals and payloads are both aligned to it. */
const blockAlignment = sealByteCount
export const headerPageBytes = slotPageBytes
const packVersion = 1
const packMagic = new TextEncoder().encode('TERRPACK')
const indexMagic = new TextEncoder().encode('TERRINDX')
const endMagic = new TextEncoder().encode('TERREND\n')
const at = {
  version: 8,
  headerBytes: 10,
  entryBytes: 12,
  blockCount: 16,
  packBytes: 24,
  namespace: 32,
  id: 64,
}
const indexHeadBytes = at.id + packIdBytesMax
const entryBytes = sealByteCount + 8
const trailerBytes = 16

/** The longest index, in bytes. */
export const indexBytesMax = indexBytesOf(packBlocksMax)

/** Length of the index of so many blocks. */
function indexBytesOf(blockCount: number): number {
  return indexHeadBytes + blockCount * entryBytes + trailerBytes
}

/** How many blocks an index of this length names; 0 when none has it. */
export function blockCountOf(byteCount: number): number {
  return Math.max(0, Math.floor((byteCount - indexBytesOf(0)) / entryBytes))
}

/** Bytes of the object that one block takes. */
export function blockSpanBytes(payloadBytes: number): number {
  return Math.ceil((sealByteCount + payloadBytes) / blockAlignment) * blockAlignment
}

/** Lays blocks out in one pack. The seals lose their generation: a pack is written once. */
export function layPack(id: PackId, seals: readonly Seal[]): PackIndex {
  const namespace = seals[0]?.namespace
  assert(namespace !== undefined && seals.length <= packBlocksMax, 'a pack holds 1 to packBlocksMax blocks')
  let offset = headerPageBytes
  const entries = seals.map((seal) => {
    assert(seal.namespace === namespace, 'all blocks of a pack are of one namespace')
    const entry = { seal: { ...seal, generation: 0 }, offset }
    offset += blockSpanBytes(seal.payloadBytes)
    return entry
  })
  return { id, namespace, packBytes: offset + indexBytesOf(entries.length), entries }
}

/** The index as it closes the pack, and as it stands alone beside it. */
export function indexBytes(index: PackIndex, sum: Sum): Uint8Array {
  const bytes = new Uint8Array(indexBytesOf(index.entries.length))
  const view = new DataView(bytes.buffer)
  bytes.set(indexMagic)
  writeHead(index, bytes, view, indexHeadBytes)
  view.setUint16(at.entryBytes, entryBytes, true)
  view.setUint32(at.blockCount, index.entries.length, true)
  let place = indexHeadBytes
  for (const { seal, offset } of index.entries) {
    writeSeal(seal, bytes, place)
    setNumber64(view, place + sealByteCount, offset)
    place += entryBytes
  }
  view.setUint32(place, bytes.length, true)
  view.setUint32(place + 4, sum(bytes.subarray(0, place + 4), 0), true)
  bytes.set(endMagic, place + 8)
  return bytes
}

/** All bytes of a pack, in order, around the payloads that stay where they are. */
export function packParts(index: PackIndex, payloads: readonly Uint8Array[], sum: Sum): Uint8Array[] {
  assert(payloads.length === index.entries.length, 'one payload per block')
  const page = new Uint8Array(headerPageBytes)
  const view = new DataView(page.buffer)
  page.set(packMagic)
  writeHead(index, page, view, headerPageBytes)
  view.setUint32(headerPageBytes - 4, sum(page.subarray(0, headerPageBytes - 4), 0), true)
  const parts: Uint8Array[] = [page]
  for (const [i, { seal }] of index.entries.entries()) {
    const payload = payloads[i]
    assert(payload !== undefined && payload.length === seal.payloadBytes, 'a payload has its sealed length')
    const header = new Uint8Array(sealByteCount)
    writeSeal(seal, header, 0)
    parts.push(header, payload)
    const padding = blockSpanBytes(seal.payloadBytes) - sealByteCount - seal.payloadBytes
    if (padding > 0) parts.push(new Uint8Array(padding))
  }
  parts.push(indexBytes(index, sum))
  return parts
}

/** Reads an index that may hold anything. Every field is checked before it is used. */
export function readIndex(bytes: Uint8Array, sum: Sum): IndexRead {
  const no = (why: IndexRefused): IndexRead => ({ as: 'refused', why })
  if (bytes.length < indexBytesOf(1) || bytes.length > indexBytesMax) return no('length')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const trailer = bytes.length - trailerBytes
  if (!equal(bytes, 0, indexMagic) || !equal(bytes, trailer + 8, endMagic)) return no('magic')
  if (
    view.getUint16(at.version, true) !== packVersion ||
    view.getUint16(at.headerBytes, true) !== indexHeadBytes ||
    view.getUint16(at.entryBytes, true) !== entryBytes
  ) {
    return no('version')
  }
  const blockCount = view.getUint32(at.blockCount, true)
  if (indexBytesOf(blockCount) !== bytes.length || view.getUint32(trailer, true) !== bytes.length) {
    return no('block_count')
  }
  if (view.getUint32(trailer + 4, true) !== sum(bytes.subarray(0, trailer + 4), 0)) return no('checksum')
  const id = idAt(bytes)
  if (id === null) return no('pack_id')
  const namespace = keyAt(bytes, at.namespace)
  const packBytes = number64(view, at.packBytes)
  const keys = new Set<BlockKey>()
  const entries: PackEntry[] = []
  let free = headerPageBytes
  for (let i = 0; i < blockCount; i++) {
    const place = indexHeadBytes + i * entryBytes
    const read = readSeal(bytes, place)
    if (read.as === 'damaged') return no('seal')
    const { seal } = read
    if (seal.payloadBytes < 1 || seal.payloadBytes > blockBytesMax || seal.generation !== 0) return no('seal')
    if (seal.namespace !== namespace) return no('namespace')
    const offset = number64(view, place + sealByteCount)
    if (offset !== free) return no('offset')
    free += blockSpanBytes(seal.payloadBytes)
    if (keys.has(seal.key)) return no('duplicate')
    keys.add(seal.key)
    entries.push({ seal, offset })
  }
  if (packBytes !== free + bytes.length) return no('offset')
  return { as: 'index', index: { id, namespace, packBytes, entries } }
}

/** Finds the index at the end of a whole pack: how packs are read again when their index objects are lost. */
export function readPack(bytes: Uint8Array, sum: Sum): IndexRead {
  if (bytes.length < headerPageBytes + indexBytesOf(1)) return { as: 'refused', why: 'length' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const page = bytes.subarray(0, headerPageBytes)
  if (!equal(page, 0, packMagic)) return { as: 'refused', why: 'magic' }
  if (view.getUint32(headerPageBytes - 4, true) !== sum(page.subarray(0, -4), 0)) {
    return { as: 'refused', why: 'checksum' }
  }
  const byteCount = view.getUint32(bytes.length - trailerBytes, true)
  if (byteCount > bytes.length - headerPageBytes) return { as: 'refused', why: 'length' }
  const read = readIndex(bytes.subarray(bytes.length - byteCount), sum)
  if (read.as === 'index' && read.index.packBytes !== bytes.length) return { as: 'refused', why: 'length' }
  return read
}

function writeHead(index: PackIndex, bytes: Uint8Array, view: DataView, headerBytes: number): void {
  view.setUint16(at.version, packVersion, true)
  view.setUint16(at.headerBytes, headerBytes, true)
  setNumber64(view, at.packBytes, index.packBytes)
  writeKey(index.namespace, bytes, at.namespace)
  const id = new TextEncoder().encode(index.id)
  assert(id.length <= packIdBytesMax, 'a pack id fits its place')
  bytes.set(id, at.id)
}

function idAt(bytes: Uint8Array): PackId | null {
  let text = ''
  for (let i = 0; i < packIdBytesMax; i++) {
    const byte = bytes[at.id + i] ?? 0
    if (byte === 0) break
    text += String.fromCharCode(byte)
  }
  for (let i = text.length; i < packIdBytesMax; i++) if (bytes[at.id + i] !== 0) return null
  return packIdOf(text) === text ? text : null
}

function equal(bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[offset + i] !== wanted[i]) return false
  return true
}

function setNumber64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true)
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true)
}

function number64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
}
