import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { World } from '../../../../tiers/block/clock.ts'
import type { Upstream } from '../engine/upstream.ts'
import { type Before, correctUsage, EventCorrector, type Seen } from './usage.ts'

/** How a passed-on request ended. */
export type Relayed =
  | {
      readonly as: 'ended'
      readonly status: number
      readonly seen: Seen | null
      readonly firstPieceMs: number
    }
  | { readonly as: 'client_gone' }
  /** The engine went away. `begun`: the client had already got a part of the answer. */
  | { readonly as: 'engine_gone'; readonly begun: boolean }

/** Largest JSON answer that is read whole to correct its counts, in bytes; a larger one passes as it is. */
const answerBytesMax = 64 * 2 ** 20

const hopHeaders = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'content-length',
])

/** Headers that go on to the next hop: all but those of the connection itself and our own. */
export function passedHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !hopHeaders.has(name) && !name.startsWith('x-terrace-')) passed[name] = value
  }
  return passed
}

export type RelayOptions = {
  readonly upstream: Upstream
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string | string[]>
  readonly body: Buffer | string | null
  /** Headers to add to the answer. */
  readonly added: Record<string, string>
  /** What to correct in the answer's counts; null passes it byte for byte. */
  readonly before: Before | null
  readonly world: World
  readonly onHead?: () => void
}

/** Passes one request on and its answer back, at the pace of the client. Ends the engine's work when the client goes
 *  away. */
export function relay(response: ServerResponse, options: RelayOptions): Promise<Relayed> {
  return new Promise((resolve) => {
    const answer = new AnswerWriter(response, options)
    let clientGone = false
    const startMs = options.world.nowMs()
    const onClose = (): void => {
      if (answer.ended) return
      clientGone = true
      abort()
    }
    const finish = (result: Relayed): void => {
      response.removeListener('close', onClose)
      resolve(result)
    }
    response.on('close', onClose)
    let firstPieceMs = 0
    const abort = options.upstream.forward(options.method, options.path, options.headers, options.body, {
      onHead: (status, headers) => {
        options.onHead?.()
        answer.head(status, headers)
      },
      onPiece: (piece, resume) => {
        if (firstPieceMs === 0) firstPieceMs = options.world.nowMs() - startMs
        return answer.piece(piece, resume)
      },
      onEnd: () => {
        answer.end()
        finish({ as: 'ended', status: answer.status, seen: answer.seen(), firstPieceMs })
      },
      onFailure: () => {
        if (clientGone) return finish({ as: 'client_gone' })
        if (response.headersSent) response.destroy()
        finish({ as: 'engine_gone', begun: response.headersSent })
      },
    })
    if (response.destroyed) onClose()
  })
}

/** Writes the answer in one of three ways: events corrected as they come, JSON corrected as a whole, anything else as
 *  it is. */
class AnswerWriter {
  readonly #response: ServerResponse
  readonly #options: RelayOptions
  #events: EventCorrector | null = null
  #whole: Buffer[] | null = null
  #wholeBytes = 0
  #headers: Record<string, string | string[]> = {}
  #seen: Seen | null = null
  status = 0
  ended = false

  constructor(response: ServerResponse, options: RelayOptions) {
    this.#response = response
    this.#options = options
  }

  seen(): Seen | null {
    return this.#events?.seen ?? this.#seen
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.status = status
    const { before, added } = this.#options
    const type = String(headers['content-type'] ?? '')
    const passed: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined && (!hopHeaders.has(name) || name === 'content-length')) passed[name] = value
    }
    this.#headers = { ...passed, ...added }
    if (before !== null && type.startsWith('text/event-stream')) this.#events = new EventCorrector(before)
    else if (before !== null && status === 200 && type.startsWith('application/json')) {
      this.#whole = []
      return
    }
    this.#response.writeHead(status, this.#headers)
    this.#response.flushHeaders()
  }

  /** False when the client is slow; `resume` is called when it has caught up. */
  piece(piece: Buffer, resume: () => void): boolean {
    if (this.#whole !== null) {
      this.#whole.push(piece)
      this.#wholeBytes += piece.length
      if (this.#wholeBytes <= answerBytesMax) return true
      const held = Buffer.concat(this.#whole)
      this.#whole = null
      this.#response.writeHead(this.status, this.#headers)
      return this.#write(held, resume)
    }
    if (this.#events === null) return this.#write(piece, resume)
    const text = this.#events.push(piece)
    return text === '' ? true : this.#write(text, resume)
  }

  end(): void {
    this.ended = true
    if (this.#whole !== null) {
      const text = this.#corrected(Buffer.concat(this.#whole))
      this.#response.writeHead(this.status, { ...this.#headers, 'content-length': String(text.length) })
      this.#response.end(text)
      return
    }
    const rest = this.#events?.end() ?? ''
    if (rest === '') this.#response.end()
    else this.#response.end(rest)
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
