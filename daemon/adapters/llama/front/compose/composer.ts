import { field } from '../../json.ts'

export type Json = Record<string, unknown>

/** What a stream was put together to.
 *  `again`: the answer cannot be told from the stream; the server is to be asked once more, without one.
 *  `gone`: the stream ended before the answer did. */
export type Composed =
  | { readonly as: 'answer'; readonly json: unknown }
  | { readonly as: 'error'; readonly status: number; readonly json: Json }
  | { readonly as: 'again'; readonly why: AgainWhy }
  | { readonly as: 'gone' }

/** `unlike`: an event of a form that is not known. `cut`: the answer ends in text that the server did not stream, half
 *  a character or the beginning of a stop word. `failed`: the server failed in the middle of the stream, which may be for
 *  the stream's own sake. `too_large`: longer than is held here. */
export type AgainWhy = 'unlike' | 'cut' | 'failed' | 'too_large'

/** Puts the events of one API together. */
export type Composer = {
  /** Whether a whole stream of this API ends with `[DONE]`. */
  readonly endsWithDone: boolean
  /** Bytes held for the answer so far, about. Why not those of the stream: most of it is repeated with every token. */
  readonly keptBytes: number
  /** Takes the data of one event, which was so many bytes long; false when its form is not known. */
  take(event: Json, byteCount: number): boolean
  /** The answer, after the last event. */
  compose(): Composed
}

export const again = (why: AgainWhy): Composed => ({ as: 'again', why })

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function textAt(json: unknown, name: string): string {
  const value = field(json, name)
  return typeof value === 'string' ? value : ''
}

/** A count, or -1 when there is none: less than any count. */
export function countAt(json: unknown, outer: string, inner: string): number {
  const value = field(field(json, outer), inner)
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : -1
}

/** Whether an object has no other fields than these. */
export function hasOnly(json: Json, names: ReadonlySet<string>): boolean {
  return Object.keys(json).every((name) => names.has(name))
}

/** The answers of one request by their index, which must run from 0 without a gap; null when it does not. */
export function inOrder<T>(parts: ReadonlyMap<number, T>): readonly [T, ...T[]] | null {
  const first = parts.get(0)
  if (first === undefined) return null
  const rest: T[] = []
  for (let index = 1; index < parts.size; index++) {
    const part = parts.get(index)
    if (part === undefined) return null
    rest.push(part)
  }
  return [first, ...rest]
}
