import { assert } from './assert.ts'
import { layoutPlanesMax } from './limits.ts'
import { sha256 } from './sha256.ts'

/** A run of equal pieces: one per layer, each with the bytes of one token block. K is one plane, V another. */
export type Plane = {
  readonly name: string
  readonly layerCount: number
  /** Bytes of one block in one layer of this plane, contiguous wherever the block lies. */
  readonly pieceBytes: number
}

/** What the payload of a block is made of: its planes in order, each layer by layer. Two engines may exchange
 *  blocks only when their layouts are equal to the last field; the fingerprint says so. */
export type Layout = {
  readonly blockTokens: number
  readonly dtype: string
  readonly planes: readonly Plane[]
}

/** Where the pieces of blocks lie in a region of an engine: piece (layer, block) of a plane starts at
 *  `baseOffset + layer * layerStride + block * blockStride`. */
export type PlanePlace = {
  readonly baseOffset: number
  readonly layerStride: number
  readonly blockStride: number
}
export type Place = { readonly planes: readonly PlanePlace[] }

/** Payload bytes of one block. */
export function blockBytesOf(layout: Layout): number {
  let total = 0
  for (const plane of layout.planes) total += plane.layerCount * plane.pieceBytes
  return total
}

/** Why a layout cannot be used, or null. */
export function layoutProblem(layout: Layout): string | null {
  if (!isCount(layout.blockTokens) || layout.blockTokens > 65_536)
    return 'layout.blockTokens must be 1 to 65536'
  if (!/^[a-z0-9_.+-]{1,32}$/.test(layout.dtype)) return 'layout.dtype must be a short lower-case name'
  if (layout.planes.length < 1 || layout.planes.length > layoutPlanesMax) {
    return `layout.planes must have 1 to ${layoutPlanesMax} entries`
  }
  for (const [i, plane] of layout.planes.entries()) {
    if (!/^[a-z0-9_]{1,16}$/.test(plane.name))
      return `layout.planes[${i}].name must be a short lower-case name`
    if (!isCount(plane.layerCount) || plane.layerCount > 65_536) {
      return `layout.planes[${i}].layerCount must be 1 to 65536`
    }
    if (!isCount(plane.pieceBytes)) return `layout.planes[${i}].pieceBytes must be a positive whole number`
  }
  if (!Number.isSafeInteger(blockBytesOf(layout))) return 'layout: a block has too many bytes'
  return null
}

/** Why blocks `first .. first + count` at this place would not lie inside `regionBytes`, or null. */
export function placeProblem(
  layout: Layout,
  place: Place,
  blocksEnd: number,
  regionBytes: number,
): string | null {
  if (place.planes.length !== layout.planes.length) return 'place.planes must match layout.planes'
  for (const [i, at] of place.planes.entries()) {
    const plane = layout.planes[i]
    assert(plane !== undefined, 'places and planes have equal length')
    for (const field of ['baseOffset', 'layerStride', 'blockStride'] as const) {
      if (!Number.isSafeInteger(at[field]) || at[field] < 0)
        return `place.planes[${i}].${field} must be a whole number`
    }
    const lastStart =
      at.baseOffset + (plane.layerCount - 1) * at.layerStride + Math.max(0, blocksEnd - 1) * at.blockStride
    if (!Number.isSafeInteger(lastStart) || (blocksEnd > 0 && lastStart + plane.pieceBytes > regionBytes)) {
      return `place.planes[${i}] reaches outside the region`
    }
  }
  return null
}

/** 16 hexadecimal digits that differ whenever the meaning of the payload bytes differs. */
export function layoutFingerprint(layout: Layout): string {
  const text = `terrace-layout-1|${layout.blockTokens}|${layout.dtype}|${layout.planes
    .map((plane) => `${plane.name}:${plane.layerCount}:${plane.pieceBytes}`)
    .join('|')}`
  return hex(sha256(new TextEncoder().encode(text)).subarray(0, 8))
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
