import type { Socket } from 'node:net'
import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import {
  frameBytesMax,
  heartbeatMs,
  heartbeatsMissedMax,
  helloFrameBytesMax,
  helloMsMax,
  sessionAnswerBytesMax,
  sessionAskBytesMax,
  sessionAsksMax,
} from '../tiers/block/limits.ts'
import { type AnyAsk, decodeAsk, encodeAnswer, encodeError } from '../tiers/block/wire.ts'
import { errnoOf } from './errno.ts'
import type { Flow, SessionMessage } from './flow.ts'
import { type FrameRead, FrameReader } from './frames.ts'
import type { Log } from './log.ts'
import type { DaemonMeter } from './metrics.ts'
import type { Session } from './session.ts'

/** Why a connection ended; the words of the metrics' labels. */
export type EndWhy =
  | 'closed'
  | 'silent'
  | 'slow_reader'
  | 'malformed'
  | 'order'
  | 'version'
  | 'user'
  | 'too_many'
  | 'failed'
  | 'stopping'

type ConnectionParts = {
  readonly world: World
  readonly flow: Flow
  readonly meter: DaemonMeter
  readonly log: Log
  /** Makes the session, or throws the KvFailure that refuses the engine. */
  readonly open: (hello: Extract<AnyAsk, { message: 'hello' }>['fields']) => {
    readonly session: Session
    readonly answer: Parameters<typeof encodeAnswer<'hello'>>[2]
  }
  /** Called once. The session is null when the peer never said hello. */
  readonly onEnd: (session: Session | null, why: EndWhy) => void
  /** An invariant of ours is broken: the process must not carry on. */
  readonly onBroken: (error: unknown) => void
}

/** One engine's socket: frames in, answers out, all bounds of both. Answers go out as they are ready; the engine matches them by
 *  the ask's number. */
export class Connection {
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  readonly #frames = new FrameReader(helloFrameBytesMax)
  #session: Session | null = null
  #asksInFlight = 0
  #askBytes = 0
  #lastFrameMs: number
  #cancelWatch: () => void = () => undefined
  #ended = false

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket
    this.#parts = parts
    this.#lastFrameMs = parts.world.nowMs()
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('close', () => this.end('closed'))
    socket.on('error', () => this.end('closed'))
    this.#watch()
  }

  get asksInFlight(): number {
    return this.#asksInFlight
  }

  /** Ends the connection; `failure` is told to the peer when its socket takes it at once. */
  end(why: EndWhy, failure: KvFailure | null = null, ask = 0): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelWatch()
    if (failure !== null && this.#socket.writable) {
      this.#socket.end(encodeError(ask, { code: failure.code, says: failure.message }))
      // A peer that does not read its last words is not waited for.
      this.#parts.world.after(helloMsMax, () => this.#socket.destroy())
    } else this.#socket.destroy()
    this.#parts.onEnd(this.#session, why)
  }

  /** Looks now and then whether the peer still says something, within what it may wait at each stage. */
  #watch(): void {
    const silentMsMax = this.#session === null ? helloMsMax : heartbeatMs * heartbeatsMissedMax
    this.#cancelWatch = this.#parts.world.after(silentMsMax / 2, () => {
      const silentMs = this.#parts.world.nowMs() - this.#lastFrameMs
      // Not reading was our own doing while asks are in flight.
      if (silentMs > silentMsMax && this.#asksInFlight === 0) this.end('silent')
      else this.#watch()
    })
  }

  #take(chunk: Uint8Array): void {
    for (const read of this.#frames.take(chunk)) {
      if (this.#ended) return
      this.#lastFrameMs = this.#parts.world.nowMs()
      this.#takeFrame(read)
    }
    if (this.#askBytes > sessionAskBytesMax) this.#socket.pause()
  }

  #takeFrame(read: FrameRead): void {
    if (read.as === 'refused') {
      this.#refuse(read.why, read.ask)
      return
    }
    const { header, body } = read
    const decoded = decodeAsk(header, body)
    if (decoded.as === 'refused') {
      this.#refuse(decoded.why, header.ask)
      return
    }
    const ask = decoded.value
    if (ask.message === 'hello') {
      if (this.#session === null) this.#hello(ask.fields, header.ask)
      else this.#refuse('hello came twice', header.ask)
      return
    }
    if (this.#session === null) {
      this.end('order', new KvFailure('KVT_WIRE_ORDER', { message: ask.message }), header.ask)
      return
    }
    void this.#answer(this.#session, header.ask, ask, header.frameBytes)
  }

  #refuse(why: string, ask: number): void {
    this.#parts.meter.add('terrace_frames_malformed_total', {})
    this.end('malformed', new KvFailure('KVT_WIRE_MALFORMED', { why }), ask)
  }

  #hello(hello: Extract<AnyAsk, { message: 'hello' }>['fields'], ask: number): void {
    try {
      const { session, answer } = this.#parts.open(hello)
      this.#session = session
      this.#frames.frameBytesMax = frameBytesMax
      this.#cancelWatch()
      this.#watch()
      this.#write(encodeAnswer('hello', ask, answer))
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error
      this.end(endWhyOf(error), error, ask)
    }
  }

  async #answer(
    session: Session,
    number: number,
    ask: Exclude<AnyAsk, { message: 'hello' }>,
    frameBytes: number,
  ): Promise<void> {
    const { world, flow, meter } = this.#parts
    const message: SessionMessage = ask.message
    meter.add('terrace_asks_total', { message })
    if (this.#asksInFlight >= sessionAsksMax) {
      this.#fail(
        message,
        number,
        new KvFailure('KVT_TOO_MANY', { what: 'asks at once', limit: sessionAsksMax }),
      )
      return
    }
    const startMs = world.nowMs()
    this.#asksInFlight += 1
    this.#askBytes += frameBytes
    try {
      const fields = await flow.answer(session, ask)
      this.#write(encodeAnswer(message, number, fields))
      meter.observe('terrace_ask_seconds', { message }, (world.nowMs() - startMs) / 1_000)
    } catch (error) {
      this.#fail(message, number, error)
    } finally {
      this.#asksInFlight -= 1
      this.#askBytes -= frameBytes
      this.#lastFrameMs = world.nowMs()
      if (this.#askBytes <= sessionAskBytesMax) this.#socket.resume()
    }
  }

  #fail(message: SessionMessage, number: number, error: unknown): void {
    const known = error instanceof KvFailure
    const failure = known ? error : new KvFailure('KVT_INTERNAL', { message })
    this.#parts.meter.add('terrace_asks_failed_total', { message, code: failure.code })
    if (!known) {
      this.#parts.log.warn('ask_failed', { message, why: errnoOf(error) })
      this.#parts.onBroken(error)
    }
    this.#write(encodeError(number, { code: failure.code, says: failure.message }))
  }

  #write(frame: Uint8Array): void {
    if (this.#ended || !this.#socket.writable) return
    this.#socket.write(frame)
    if (this.#socket.writableLength > sessionAnswerBytesMax) this.end('slow_reader')
  }
}

function endWhyOf(failure: KvFailure): EndWhy {
  switch (failure.code) {
    case 'KVT_WIRE_VERSION':
      return 'version'
    case 'KVT_TOO_MANY':
      return 'too_many'
    case 'KVT_STOPPING':
      return 'stopping'
    default:
      return 'failed'
  }
}
