import { BadRecord } from './reader.ts'

const recordBytes = 512

/** True when the bytes start like a tar archive. */
export function isTar(bytes: Uint8Array): boolean {
  return textAt(bytes, 257, 5) === 'ustar'
}

/** The plain files of a tar archive, in order. */
export function* tarFiles(
  bytes: Uint8Array,
): Generator<{ readonly name: string; readonly bytes: Uint8Array }> {
  let at = 0
  while (at + recordBytes <= bytes.length) {
    const head = bytes.subarray(at, at + recordBytes)
    if (head.every((byte) => byte === 0)) return
    const name = textAt(head, 0, 100)
    if (!isTar(head)) throw new BadRecord(`the archive is damaged at byte ${at}`)
    const sizeText = textAt(head, 124, 12).trim()
    const size = Number.parseInt(sizeText, 8)
    const start = at + recordBytes
    if (!/^[0-7]+$/.test(sizeText) || start + size > bytes.length) {
      throw new BadRecord(`the archive is cut off in "${name}"`)
    }
    const kind = head[156] ?? 0
    if (kind === 0 || kind === 0x30) yield { name, bytes: bytes.subarray(start, start + size) }
    at = start + Math.ceil(size / recordBytes) * recordBytes
  }
  throw new BadRecord('the archive is cut off: its end mark is missing')
}

function textAt(bytes: Uint8Array, start: number, length: number): string {
  const part = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + start,
    Math.max(0, Math.min(length, bytes.length - start)),
  )
  const end = part.indexOf(0)
  return part.toString('utf8', 0, end < 0 ? part.length : end)
}
