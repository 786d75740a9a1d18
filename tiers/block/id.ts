import { assert } from './assert.ts'

declare const brand: unique symbol
/** A value that only its own module may make; two brands never mix. */
export type Branded<Base, Name extends string> = Base & { readonly [brand]: Name }

/** The 32 bytes that name a block, as a string of 32 characters of one byte each: compact, and a map key.
 *  Never printed whole; `keyPrefix` gives what logs may show. */
export type BlockKey = Branded<string, 'BlockKey'>
/** Where a slot starts inside its region, counted in pages of `slotPageBytes`. Not a byte offset. */
export type SlotIndex = Branded<number, 'SlotIndex'>
/** Counts how often a slot was handed out. A completion that carries an old generation is ignored. */
export type Generation = Branded<number, 'Generation'>
/** One attached engine, for the life of its connection. */
export type SessionId = Branded<number, 'SessionId'>
/** A namespace interned inside one daemon. Means nothing outside it. */
export type NamespaceId = Branded<number, 'NamespaceId'>

/** A place for one block, as it was handed out: reuse changes the generation. */
export type Slot = { readonly index: SlotIndex; readonly generation: Generation }

/** Where a block can live, from the nearest to the farthest. */
export const tierNames = ['hbm', 'host', 'nvme', 's3'] as const
export type TierName = (typeof tierNames)[number]

export const keyByteCount = 32

/** The key in `bytes` at `offset`. */
export function keyAt(bytes: Uint8Array, offset: number): BlockKey {
  assert(offset >= 0 && offset + keyByteCount <= bytes.length, 'a key lies inside its bytes')
  return textView(bytes).toString('latin1', offset, offset + keyByteCount) as BlockKey
}

/** All keys in bytes that hold nothing else. */
export function keysIn(bytes: Uint8Array): BlockKey[] {
  const view = textView(bytes)
  const keys: BlockKey[] = []
  for (let end = keyByteCount; end <= bytes.length; end += keyByteCount) {
    keys.push(view.toString('latin1', end - keyByteCount, end) as BlockKey)
  }
  return keys
}

/** The same bytes with Node's own way to text. Why: a long prompt has tens of thousands of keys, and a text that is put
 *  together letter by letter costs twenty times as much, and again when it is first looked up. */
export function textView(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Writes the 32 bytes of a key into `into` at `offset`. */
export function writeKey(key: BlockKey, into: Uint8Array, offset: number): void {
  assert(key.length === keyByteCount, 'a key has 32 bytes')
  for (let i = 0; i < keyByteCount; i++) into[offset + i] = key.charCodeAt(i)
}

/** The key as 64 hexadecimal digits, for object names and golden vectors. */
export function keyHex(key: BlockKey): string {
  let hex = ''
  for (let i = 0; i < key.length; i++) hex += key.charCodeAt(i).toString(16).padStart(2, '0')
  return hex
}

/** The first digits of a key: enough to follow a block through logs, too little to ask for it. */
export function keyPrefix(key: BlockKey): string {
  return keyHex(key).slice(0, 12)
}

/** Reads 64 hexadecimal digits; null when it is no key. */
export function keyFromHex(hex: string): BlockKey | null {
  if (!/^[0-9a-f]{64}$/.test(hex)) return null
  let key = ''
  for (let i = 0; i < hex.length; i += 2) key += String.fromCharCode(Number.parseInt(hex.slice(i, i + 2), 16))
  return key as BlockKey
}
