import { pageRounded, segmentBytesFor } from './arena.ts'
import { assert } from './block/assert.ts'
import { crc32c } from './block/crc32c.ts'
import { slotPageBytes } from './block/limits.ts'

/** Format of the slab file. Raised when a reader of the old one would misread the new one. */
export const slabFormat = 1
const magic = new TextEncoder().encode('TERRSLAB')
const at = { format: 8, sequence: 12, slabId: 16, segmentBytes: 32, dataOffset: 40, segments: 48 }
const slabIdBytes = 16

/** The segment table of a slab: which slot size each segment serves. It stands twice at the front of the file and is
 *  written in
 *  turns, so that one copy is always whole. Recovery by scan needs it to know where headers may lie; nothing trusts
 *  it further. */
export type SegmentTable = {
  readonly slabId: string
  /** Counts the writes; the higher of two whole copies is the newer one. */
  readonly sequence: number
  readonly segmentBytes: number
  readonly dataOffset: number
  /** Pages per slot for each segment, 0 for an idle one. */
  readonly slotPages: Uint32Array
}

export type TableRead =
  | { readonly as: 'table'; readonly table: SegmentTable }
  | { readonly as: 'damaged' }
  | { readonly as: 'other_format'; readonly format: number }

/** Bytes of one copy of the table, whole pages, and the segments it has room for. */
export const tableCopyBytes = 64 * 2 ** 10
const segmentMax = 16_000
const dataOffset = 2 * tableCopyBytes
assert(at.segments + segmentMax * 4 + 4 <= tableCopyBytes, 'a full table fits its copy')

/** The table of a new slab of so many bytes in all. */
export function newTable(byteCount: number, slabId: string): SegmentTable {
  const dataBytes = Math.max(slotPageBytes, byteCount - dataOffset)
  const segmentBytes = Math.max(segmentBytesFor(dataBytes), pageRounded(Math.ceil(dataBytes / segmentMax)))
  return { slabId, sequence: 0, segmentBytes, dataOffset, slotPages: new Uint32Array(segmentMax) }
}

/** Segments that a file of so many bytes holds behind its table. */
export function segmentCountOf(table: SegmentTable, fileBytes: number): number {
  return Math.max(0, Math.min(segmentMax, Math.floor((fileBytes - table.dataOffset) / table.segmentBytes)))
}

export function encodeTable(table: SegmentTable): Uint8Array {
  const bytes = new Uint8Array(tableCopyBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(at.format, slabFormat, true)
  view.setUint32(at.sequence, table.sequence, true)
  bytes.set(Uint8Array.from(table.slabId, (c) => c.charCodeAt(0)).subarray(0, slabIdBytes), at.slabId)
  view.setUint32(at.segmentBytes, table.segmentBytes, true)
  view.setUint32(at.dataOffset, table.dataOffset, true)
  for (const [i, pages] of table.slotPages.entries()) view.setUint32(at.segments + i * 4, pages, true)
  view.setUint32(bytes.length - 4, crc32c(bytes.subarray(0, bytes.length - 4)), true)
  return bytes
}

/** Reads one copy. */
export function decodeTable(bytes: Uint8Array): TableRead {
  if (bytes.length !== tableCopyBytes || magic.some((byte, i) => bytes[i] !== byte)) return { as: 'damaged' }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = bytes.length - 4
  if (view.getUint32(end, true) !== crc32c(bytes.subarray(0, end))) return { as: 'damaged' }
  const format = view.getUint32(at.format, true)
  if (format !== slabFormat) return { as: 'other_format', format }
  const segmentBytes = view.getUint32(at.segmentBytes, true)
  const found = view.getUint32(at.dataOffset, true)
  if (segmentBytes === 0 || segmentBytes % slotPageBytes !== 0 || found !== dataOffset)
    return { as: 'damaged' }
  const slotPages = new Uint32Array(segmentMax)
  for (let i = 0; i < segmentMax; i++) slotPages[i] = view.getUint32(at.segments + i * 4, true)
  const slabId = String.fromCharCode(...bytes.subarray(at.slabId, at.slabId + slabIdBytes))
  return {
    as: 'table',
    table: { slabId, sequence: view.getUint32(at.sequence, true), segmentBytes, dataOffset, slotPages },
  }
}

/** Where the copy with this sequence number lies: the two take turns. */
export function copyOffset(table: SegmentTable): number {
  return (table.sequence % 2) * tableCopyBytes
}

/** The newer of two copies, or why neither can be used. */
export function newerTable(first: TableRead, second: TableRead): TableRead {
  if (first.as === 'table' && second.as === 'table') {
    return first.table.sequence >= second.table.sequence ? first : second
  }
  if (first.as === 'table' || second.as === 'damaged') return first
  return second
}

/** The table one write later. */
export function withSlotPages(table: SegmentTable, slotPages: Uint32Array): SegmentTable {
  assert(slotPages.length === segmentMax, 'the table keeps its length')
  return { ...table, sequence: table.sequence + 1, slotPages }
}
