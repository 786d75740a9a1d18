import { InputError } from '../failure.ts'
import { formats } from './formats.ts'
import type { Head, TraceFormat } from './reader.ts'

/** Bytes that sniffing looks at, at most. Why: the first line of a log may hold a prompt of a million tokens; longer lines are
 *  refused anyway. */
const headBytesMax = 2 ** 26

/** What some editors put before a UTF-8 text. */
const byteOrderMark = [0xef, 0xbb, 0xbf]

/** Takes pieces until the first line is there. */
export async function headOf(label: string, pieces: AsyncIterator<Buffer>): Promise<Head> {
  let bytes: Buffer = Buffer.alloc(0)
  while (bytes.indexOf(0x0a) < 0 && bytes.length < headBytesMax) {
    const next = await pieces.next()
    if (next.done === true) break
    bytes = Buffer.concat([bytes, next.value])
  }
  if (byteOrderMark.every((byte, at) => bytes[at] === byte)) bytes = bytes.subarray(byteOrderMark.length)
  if (bytes.length === 0) throw new InputError(`${label} is empty; ${expected()}`)
  const lineEnd = bytes.indexOf(0x0a)
  const firstLine = bytes.subarray(0, lineEnd < 0 ? bytes.length : lineEnd).toString('utf8')
  let json: unknown = null
  try {
    json = JSON.parse(firstLine)
  } catch {
    // Not a JSON line: other formats look at the text.
  }
  return { fileName: label, bytes, firstLine, json }
}

/** The format told by name, or the first that fits. */
export function formatOf(told: string | null, head: Head): TraceFormat {
  if (told !== null) {
    const named = formats.find(({ name }) => name === told)
    if (named === undefined) throw new InputError(`--format: unknown "${told}"; ${expected()}`)
    return named
  }
  const fitting = formats.find((format) => format.fits(head))
  if (fitting !== undefined) return fitting
  throw new InputError(`${head.fileName} is in no known format; ${expected()}`)
}

function expected(): string {
  return `expected one of:\n${formats.map(({ name, about }) => `  ${name}: ${about}`).join('\n')}`
}
