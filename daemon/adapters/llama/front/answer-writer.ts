import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { engineAnswerBytesMax } from '../../../../tiers/block/limits.ts'
import type { AgainWhy, Composed, Composer } from './compose/composer.ts'
import { Composition } from './compose/composition.ts'
import type { MessagesEvents } from './compose/messages-events.ts'
import { Translation } from './compose/translation.ts'
import { hopHeaders } from './hop-headers.ts'
import { type Before, correctUsage, EventCorrector, type Seen } from './usage.ts'

/** What is made of a stream: one JSON answer, or the stream of another API. */
export type Reading =
  | { readonly as: 'compose'; readonly composer: Composer }
  | { readonly as: 'translate'; readonly events: MessagesEvents }

export type WriterOptions = {
  readonly added: Record<string, string>
  readonly before: Before | null
  readonly reading: Reading | null
}

export type Wrote =
  | { readonly as: 'written' }
  | { readonly as: 'again'; readonly why: AgainWhy }
  /** The stream ended without an error and before the answer did. */
  | { readonly as: 'gone' }

/** Writes the answer in one of these ways: events corrected as they come, JSON corrected as a whole, events put together to
 *  JSON, events told as another API's, anything else as it is. */
export class AnswerWriter {
  readonly #response: ServerResponse
  readonly #options: WriterOptions
  #composition: Composition | null = null
  #translation: Translation | null = null
  #events: EventCorrector | null = null
  #whole: Buffer[] | null = null
  #wholeBytes = 0
  #headers: Record<string, string | string[]> = {}
  #seen: Seen | null = null
  status = 0
  ended = false
  /** Why the server is to be asked again, once that is known. */
  again: AgainWhy | null = null

  constructor(response: ServerResponse, options: WriterOptions) {
    this.#response = response
    this.#options = options
  }

  seen(): Seen | null {
    return this.#events?.seen ?? this.#translation?.seen ?? this.#seen
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.status = status
    const { before, added, reading } = this.#options
    const type = String(headers['content-type'] ?? '')
    const passed: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined && (!hopHeaders.has(name) || name === 'content-length')) passed[name] = value
    }
    this.#headers = { ...passed, ...added }
    const isStream = type.startsWith('text/event-stream')
    if (reading?.as === 'compose' && status === 200 && isStream) {
      this.#composition = new Composition(reading.composer)
      return
    }
    if (reading?.as === 'translate' && isStream) this.#translation = new Translation(reading.events, before)
    else if (before !== null && isStream) this.#events = new EventCorrector(before)
    else if (before !== null && status === 200 && type.startsWith('application/json')) {
      this.#whole = []
      return
    }
    this.#response.writeHead(status, this.#headers)
    this.#response.flushHeaders()
  }

  /** False when the client is slow; `resume` is called when it has caught up. */
  piece(piece: Buffer, resume: () => void): boolean {
    if (this.#composition !== null) {
      const composed = this.#composition.push(piece)
      if (composed?.as === 'again') this.again = composed.why
      return true
    }
    if (this.#translation !== null) {
      const told = this.#translation.push(piece)
      return told === '' ? true : this.#write(told, resume)
    }
    if (this.#whole !== null) {
      this.#whole.push(piece)
      this.#wholeBytes += piece.length
      if (this.#wholeBytes <= engineAnswerBytesMax) return true
      const held = Buffer.concat(this.#whole)
      this.#whole = null
      this.#response.writeHead(this.status, this.#headers)
      return this.#write(held, resume)
    }
    if (this.#events === null) return this.#write(piece, resume)
    const text = this.#events.push(piece)
    return text === '' ? true : this.#write(text, resume)
  }

  end(): Wrote {
    this.ended = true
    if (this.#composition !== null) return this.#composed(this.#composition.end())
    if (this.#whole !== null) {
      const text = this.#corrected(Buffer.concat(this.#whole))
      this.#response.writeHead(this.status, { ...this.#headers, 'content-length': String(text.length) })
      this.#response.end(text)
      return { as: 'written' }
    }
    const rest = this.#events?.end() ?? ''
    if (rest === '') this.#response.end()
    else this.#response.end(rest)
    return { as: 'written' }
  }

  #composed(composed: Composed): Wrote {
    if (composed.as === 'again' || composed.as === 'gone') return composed
    if (composed.as === 'error') this.status = composed.status
    else if (this.#options.before !== null) this.#seen = correctUsage(composed.json, this.#options.before)
    const bytes = Buffer.from(JSON.stringify(composed.json))
    const { 'x-accel-buffering': _, ...passed } = this.#headers
    const own = { 'content-type': 'application/json; charset=utf-8', 'content-length': String(bytes.length) }
    this.#response.writeHead(this.status, { ...passed, ...own })
    this.#response.end(bytes)
    return { as: 'written' }
  }

  #corrected(bytes: Buffer): Buffer {
    const { before } = this.#options
    if (before === null) return bytes
    try {
      const json: unknown = JSON.parse(bytes.toString('utf8'))
      this.#seen = correctUsage(json, before)
      return this.#seen === null ? bytes : Buffer.from(JSON.stringify(json))
    } catch {
      return bytes
    }
  }

  #write(piece: Buffer | string, resume: () => void): boolean {
    if (this.#response.destroyed || this.#response.write(piece)) return true
    this.#response.once('drain', resume)
    return false
  }
}
