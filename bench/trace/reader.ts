import type { TraceBuilder } from './builder.ts'

/** What a format's reader is given. */
export type ReaderContext = {
  readonly builder: TraceBuilder
  /** Tokens per block, or null when the user named none. */
  readonly blockTokens: number | null
  /** Seed for what a format leaves open (start times of sessions). */
  readonly seed: number
  /** How files of single sessions become one trace. */
  readonly sessions: {
    readonly spreadHours: number
    readonly idleCutMinutes: number
    readonly isolated: boolean
  }
  /** The requests were not read in the order of their arrivals: put them there. */
  readonly sortByArrival: () => void
  /** Adds a sentence about something assumed; it is printed and kept in every report. */
  readonly assume: (sentence: string) => void
}

/** Reads a format of one record per line. `read` throws a BadRecord for a line that cannot be used; the caller
 *  adds file and line number. */
export interface LineReader {
  read(bytes: Uint8Array, start: number, end: number): void
  /** Before the first line of each file. */
  startFile?(): void
  /** After the last line; answers the tokens per block. */
  finish(): number
}

/** Reads a format whose record is a whole file (or one member of an archive). */
export interface DocumentReader {
  document(name: string, bytes: Uint8Array): void
  finish(): number
}

export type TraceFormat = {
  readonly name: string
  /** Where it comes from and what a record looks like: shown when nothing fits. */
  readonly about: string
  /** True when the start of a file (text, and its first line parsed when that is JSON) looks like this format. */
  readonly fits: (head: Head) => boolean
} & (
  | { readonly kind: 'lines'; readonly open: (context: ReaderContext) => LineReader }
  | { readonly kind: 'documents'; readonly open: (context: ReaderContext) => DocumentReader }
)

/** The start of an input, as format sniffing sees it. */
export type Head = {
  readonly fileName: string
  readonly bytes: Uint8Array
  readonly firstLine: string
  readonly json: unknown
}

/** A record that cannot be used; the reason says what was expected. */
export class BadRecord extends Error {
  override readonly name = 'BadRecord'
}

/** A JSON object's own fields, or null for any other value. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  return value as Readonly<Record<string, unknown>>
}

/** The line as a JSON object, or a BadRecord. */
export function objectOfLine(
  bytes: Uint8Array,
  start: number,
  end: number,
): Readonly<Record<string, unknown>> {
  const fields = fieldsOf(valueOfLine(bytes, start, end))
  if (fields === null) throw new BadRecord('not a JSON object')
  return fields
}

/** The line as a JSON value, or a BadRecord. */
export function valueOfLine(bytes: Uint8Array, start: number, end: number): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  try {
    // Integers beyond 2^53 keep their digits, as BigInt: they are block ids.
    return /\d{16}/.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text)
  } catch (error) {
    throw new BadRecord(`not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
}

function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context?.source
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value
}

/** A value of any kind in a message: never long, never a failure itself. */
export function wordFor(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** A finite number of at least 0 in the named field. */
export function numberIn(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = fields[name]
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    const seen = value === undefined ? 'missing' : wordFor(value)
    throw new BadRecord(`field "${name}" must be a number of at least 0, it is ${seen}`)
  }
  return value
}

/** As `numberIn`, for token counts: a whole number below 2^31. */
export function countIn(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = numberIn(fields, name)
  if (!Number.isInteger(value) || value >= 2 ** 31) {
    throw new BadRecord(`field "${name}" must be a whole number below 2^31, it is ${value}`)
  }
  return value
}
