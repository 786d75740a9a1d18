import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { World } from '../tiers/block/clock.ts'
import { answerKeptBytesMax, answerTailBytesMax } from '../tiers/block/limits.ts'
import { answeredHeaders } from './steering.ts'
import type { Worker } from './workers.ts'

type RelayWanted = {
  readonly target: string
  readonly headers: readonly string[]
  readonly body: Buffer
  /** Headers of ours for the client. */
  readonly ownHeaders: Readonly<Record<string, string>>
  readonly firstByteMs: number
  readonly stallMs: number
  /** When the request has to be over, on the monotonic clock. */
  readonly deadlineMs: number
  /** Called once, when the first byte of the answer arrives. */
  readonly onFirstByte: () => void
}

/** An answer kept back because another worker may do better. */
export type KeptAnswer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export type CutWhy =
  | 'client_gone'
  | 'slow_client'
  | 'first_byte'
  | 'stall'
  | 'deadline'
  | 'worker_lost'
  | 'stopping'

/** How one try of a request on one worker ended. */
export type Relayed =
  | {
      readonly as: 'answered'
      readonly status: number
      readonly headers: IncomingHttpHeaders
      /** The end of the answer, where its usage stands. */
      readonly tail: Buffer
    }
  /** Nothing reached the client: another worker may be tried. */
  | { readonly as: 'unsent'; readonly why: 'refused' | 'closed' }
  | { readonly as: 'unsent'; readonly why: 'busy'; readonly answer: KeptAnswer }
  | {
      readonly as: 'cut'
      readonly why: CutWhy
      /** Whether the client has a header already. */
      readonly sent: boolean
      /** Whether what was sent is a stream that ends where an event ends: one more can follow. */
      readonly eventMayFollow: boolean
    }

/** Sends the request to the worker and its answer to the client as it comes. The header leaves together with
 *  the first chunk, in one write; until then nothing has reached the client. */
export function relay(
  world: World,
  worker: Worker,
  wanted: RelayWanted,
  client: ServerResponse,
  stop: AbortSignal,
): Promise<Relayed> {
  return new Promise((resolve) => {
    const run = new Relay(world, wanted, client, stop, resolve)
    worker.pool.dispatch(
      {
        path: wanted.target,
        method: 'POST',
        headers: [...wanted.headers],
        body: wanted.body,
      },
      run,
    )
  })
}

class Relay implements Dispatcher.DispatchHandler {
  readonly #world: World
  readonly #wanted: RelayWanted
  readonly #client: ServerResponse
  readonly #stop: AbortSignal
  readonly #resolve: (relayed: Relayed) => void
  #controller: Dispatcher.DispatchController | null = null
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #sent = false
  #ended = false
  /** Not null while a 503 is kept back. */
  #kept: Buffer[] | null = null
  #keptBytes = 0
  readonly #tail: Buffer[] = []
  #tailBytes = 0
  #cut: CutWhy | null = null
  readonly #startedMs: number
  #movedMs: number
  #cancelWatch: () => void = () => undefined

  constructor(
    world: World,
    wanted: RelayWanted,
    client: ServerResponse,
    stop: AbortSignal,
    resolve: (relayed: Relayed) => void,
  ) {
    this.#world = world
    this.#wanted = wanted
    this.#client = client
    this.#stop = stop
    this.#resolve = resolve
    this.#startedMs = world.nowMs()
    this.#movedMs = this.#startedMs
    client.on('close', this.#onClientClose)
    stop.addEventListener('abort', this.#onStop)
    this.#watch()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#client.destroyed) this.#cutNow('client_gone')
    if (this.#cut !== null) controller.abort(new Error(this.#cut))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    this.#movedMs = this.#world.nowMs()
    if (status === 503) this.#kept = []
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#movedMs = this.#world.nowMs()
    if (this.#kept !== null) {
      this.#keptBytes += chunk.length
      if (this.#keptBytes <= answerKeptBytesMax) this.#kept.push(chunk)
      return
    }
    this.#keepTail(chunk)
    this.#sendHead()
    if (this.#client.write(chunk)) return
    controller.pause()
    this.#client.once('drain', () => {
      this.#movedMs = this.#world.nowMs()
      controller.resume()
    })
  }

  onResponseEnd(): void {
    if (this.#kept !== null) {
      const answer = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#kept) }
      this.#end({ as: 'unsent', why: 'busy', answer })
      return
    }
    this.#sendHead()
    this.#client.end()
    this.#end({
      as: 'answered',
      status: this.#status,
      headers: this.#headers,
      tail: Buffer.concat(this.#tail),
    })
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#cut !== null || this.#sent) {
      this.#endCut(this.#cut ?? 'worker_lost')
      return
    }
    this.#end({ as: 'unsent', why: isRefusal(error) ? 'refused' : 'closed' })
  }

  #sendHead(): void {
    if (this.#sent) return
    this.#sent = true
    this.#wanted.onFirstByte()
    // From here on silence counts, not the wait for the first byte.
    this.#cancelWatch()
    this.#watch()
    this.#client.writeHead(this.#status, {
      ...answeredHeaders(this.#headers),
      ...this.#wanted.ownHeaders,
    })
  }

  #keepTail(chunk: Buffer): void {
    this.#tail.push(chunk)
    this.#tailBytes += chunk.length
    while (this.#tailBytes - (this.#tail[0]?.length ?? 0) >= answerTailBytesMax) {
      this.#tailBytes -= this.#tail.shift()?.length ?? 0
    }
  }

  readonly #onClientClose = (): void => {
    if (!this.#ended) this.#cutNow('client_gone')
  }

  readonly #onStop = (): void => this.#cutNow('stopping')

  /** One timer per request, set for the nearest of its limits and set again while bytes move. */
  #watch(): void {
    const now = this.#world.nowMs()
    const { firstByteMs, stallMs, deadlineMs } = this.#wanted
    const idleUntilMs = this.#sent ? this.#movedMs + stallMs : this.#startedMs + firstByteMs
    const leftMs = Math.min(idleUntilMs, deadlineMs) - now
    if (leftMs > 0) this.#cancelWatch = this.#world.after(leftMs, () => this.#watch())
    else this.#cutNow(now >= deadlineMs ? 'deadline' : this.#idleWhy())
  }

  #idleWhy(): CutWhy {
    if (!this.#sent) return 'first_byte'
    return this.#client.writableNeedDrain ? 'slow_client' : 'stall'
  }

  #cutNow(why: CutWhy): void {
    if (this.#ended || this.#cut !== null) return
    this.#cut = why
    // Before the request started, `onRequestStart` aborts it; the client need not wait for that.
    this.#controller?.abort(new Error(why))
    this.#endCut(why)
  }

  #endCut(why: CutWhy): void {
    const tail = Buffer.concat(this.#tail).subarray(-4).toString('latin1')
    const atEventEnd = tail.endsWith('\n\n') || tail.endsWith('\r\n\r\n')
    const isStream = String(this.#headers['content-type'] ?? '').startsWith('text/event-stream')
    const eventMayFollow = isStream && atEventEnd && !this.#client.writableNeedDrain
    this.#end({ as: 'cut', why, sent: this.#sent, eventMayFollow })
  }

  #end(relayed: Relayed): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelWatch()
    this.#client.off('close', this.#onClientClose)
    this.#stop.removeEventListener('abort', this.#onStop)
    this.#resolve(relayed)
  }
}

const refusalCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
])

/** Whether nobody took the connection, as against a connection that broke. */
function isRefusal(error: Error): boolean {
  return 'code' in error && typeof error.code === 'string' && refusalCodes.has(error.code)
}
