import { assert } from './assert.ts'
import { crc32c } from './crc32c.ts'
import { type BlockKey, keyAt, keyByteCount, writeKey } from './id.ts'
import { type RouteHash, routeHashAt, routeHashByteCount } from './route.ts'

/** Header of a stored block. It says whose bytes follow and proves them: the only truth about a block, wherever
 *  it lies. This is the only file that knows its bytes. */
export type Seal = {
  readonly key: BlockKey
  /** Key of the block before it in its chain; null for the first. Lets recovery rebuild the tree. */
  readonly parent: BlockKey | null
  /** The 32 bytes of the namespace's fingerprint, in the form of a key. */
  readonly namespace: BlockKey
  /** 16 hexadecimal digits of the layout's fingerprint. */
  readonly layout: string
  /** Index of the block in its chain. */
  readonly position: number
  readonly blockTokens: number
  readonly payloadBytes: number
  /** CRC-32C of the payload, taken once, after the copy that first filled a host slot had ended. */
  readonly checksum: number
  /** Generation of the slot it was written for; 0 in a pack, which is written once. */
  readonly generation: number
  /** The block's name for routing; kept because tokens are not. */
  readonly route: RouteHash
}

/** What a reader must find. The checksum is known when the block came from our own table, else null. */
export type SealWanted = {
  readonly key: BlockKey
  readonly namespace: BlockKey
  readonly layout: string
  readonly payloadBytes: number
  readonly generation: number | null
  readonly checksum: number | null
}

export type Damage =
  | 'magic'
  | 'version'
  | 'header_checksum'
  | 'wrong_key'
  | 'wrong_namespace'
  | 'wrong_layout'
  | 'length'
  | 'stale_generation'
  | 'payload_checksum'

export type SealRead =
  | { readonly as: 'seal'; readonly seal: Seal }
  | { readonly as: 'damaged'; readonly why: 'magic' | 'version' | 'header_checksum' }

export const sealByteCount = 256
const sealVersion = 1
const magic = new TextEncoder().encode('TERRACE\n')
const at = {
  version: 8,
  headerBytes: 10,
  flags: 12,
  key: 16,
  parent: 48,
  namespace: 80,
  layout: 112,
  position: 120,
  blockTokens: 124,
  payloadLow: 128,
  payloadHigh: 132,
  checksum: 136,
  generation: 140,
  route: 144,
  reserved: 152,
  headerChecksum: 252,
} as const
assert(at.route + routeHashByteCount === at.reserved, 'the fields of the seal follow one another')

/** Writes the seal's 256 bytes into `into` at `offset`. */
export function writeSeal(seal: Seal, into: Uint8Array, offset: number): void {
  assert(seal.payloadBytes > 0 && Number.isSafeInteger(seal.payloadBytes), 'a sealed payload has a length')
  const header = into.subarray(offset, offset + sealByteCount)
  assert(header.length === sealByteCount, 'a seal fits its place')
  header.fill(0)
  header.set(magic)
  const view = new DataView(header.buffer, header.byteOffset, sealByteCount)
  view.setUint16(at.version, sealVersion, true)
  view.setUint16(at.headerBytes, sealByteCount, true)
  writeKey(seal.key, header, at.key)
  if (seal.parent !== null) writeKey(seal.parent, header, at.parent)
  writeKey(seal.namespace, header, at.namespace)
  writeHex(seal.layout, header, at.layout, 8)
  view.setUint32(at.position, seal.position, true)
  view.setUint32(at.blockTokens, seal.blockTokens, true)
  view.setUint32(at.payloadLow, seal.payloadBytes >>> 0, true)
  view.setUint32(at.payloadHigh, Math.floor(seal.payloadBytes / 2 ** 32), true)
  view.setUint32(at.checksum, seal.checksum, true)
  view.setUint32(at.generation, seal.generation, true)
  writeHex(seal.route, header, at.route, routeHashByteCount)
  view.setUint32(at.headerChecksum, crc32c(header.subarray(0, at.headerChecksum)), true)
}

/** Reads a seal. Every bit of the header is covered: by the magic, the version or the header's checksum. */
export function readSeal(bytes: Uint8Array, offset: number): SealRead {
  const header = bytes.subarray(offset, offset + sealByteCount)
  if (header.length < sealByteCount) return { as: 'damaged', why: 'magic' }
  for (let i = 0; i < magic.length; i++) if (header[i] !== magic[i]) return { as: 'damaged', why: 'magic' }
  const view = new DataView(header.buffer, header.byteOffset, sealByteCount)
  if (
    view.getUint16(at.version, true) !== sealVersion ||
    view.getUint16(at.headerBytes, true) !== sealByteCount
  ) {
    return { as: 'damaged', why: 'version' }
  }
  if (view.getUint32(at.headerChecksum, true) !== crc32c(header.subarray(0, at.headerChecksum))) {
    return { as: 'damaged', why: 'header_checksum' }
  }
  const position = view.getUint32(at.position, true)
  return {
    as: 'seal',
    seal: {
      key: keyAt(header, at.key),
      parent: position === 0 ? null : keyAt(header, at.parent),
      namespace: keyAt(header, at.namespace),
      layout: readHex(header, at.layout, 8),
      position,
      blockTokens: view.getUint32(at.blockTokens, true),
      payloadBytes: view.getUint32(at.payloadHigh, true) * 2 ** 32 + view.getUint32(at.payloadLow, true),
      checksum: view.getUint32(at.checksum, true),
      generation: view.getUint32(at.generation, true),
      route: routeHashAt(header, at.route),
    },
  }
}

/** The first way in which a block is not the wanted one, or null. `payloadChecksum` is the sum of the bytes that
 *  were really read. */
export function damageOf(read: SealRead, wanted: SealWanted, payloadChecksum: number): Damage | null {
  if (read.as === 'damaged') return read.why
  const { seal } = read
  if (seal.key !== wanted.key) return 'wrong_key'
  if (seal.namespace !== wanted.namespace) return 'wrong_namespace'
  if (seal.layout !== wanted.layout) return 'wrong_layout'
  if (seal.payloadBytes !== wanted.payloadBytes) return 'length'
  if (wanted.generation !== null && seal.generation !== wanted.generation) return 'stale_generation'
  if (seal.checksum !== payloadChecksum) return 'payload_checksum'
  if (wanted.checksum !== null && seal.checksum !== wanted.checksum) return 'payload_checksum'
  return null
}

function writeHex(hex: string, into: Uint8Array, offset: number, byteCount: number): void {
  assert(hex.length === byteCount * 2, 'a fingerprint has its length')
  for (let i = 0; i < byteCount; i++) into[offset + i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
}

function readHex(bytes: Uint8Array, offset: number, byteCount: number): string {
  let hex = ''
  for (let i = 0; i < byteCount; i++) hex += (bytes[offset + i] ?? 0).toString(16).padStart(2, '0')
  return hex
}

assert(at.parent - at.key === keyByteCount, 'keys of the seal have 32 bytes')
