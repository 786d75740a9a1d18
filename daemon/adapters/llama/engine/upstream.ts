import type { IncomingHttpHeaders } from 'node:http'
import { Agent, type Dispatcher } from 'undici'

/** What llama-server answered to a call of our own. `gone` covers every way of not getting an answer. */
export type Reply =
  | { readonly as: 'ok'; readonly json: unknown }
  | { readonly as: 'error'; readonly status: number; readonly says: string }
  | { readonly as: 'gone'; readonly why: string }

/** How an answer that is passed on arrives, piece by piece. */
export type Receiver = {
  readonly onHead: (status: number, headers: IncomingHttpHeaders) => void
  /** Returns false when the receiver wants a pause; `resume` ends it. */
  readonly onPiece: (piece: Buffer, resume: () => void) => boolean
  readonly onEnd: () => void
  readonly onFailure: (error: Error) => void
}

/** Connections to one engine at once. Why: more than its slots, its queue and our own calls ever need. */
const connectionsMax = 256
/** Longest wait for a first byte, in milliseconds: none, because a long prompt on a slow machine takes minutes. The
 *  client's own patience ends a request; a dead engine closes the socket. */
const waitForeverMs = 0
const healthMsMax = 2_000

/** HTTP to one llama-server. Each call has a connection of its own (`pipelining: 0`): the server closes a kept one after
 *  five seconds or a hundred calls, and a call that meets the closing is lost. On one machine a new one costs little. */
export class Upstream {
  readonly url: string
  readonly #agent: Agent

  constructor(url: string) {
    this.url = url.replace(/\/$/, '')
    this.#agent = new Agent({
      connections: connectionsMax,
      pipelining: 0,
      connect: { timeout: healthMsMax },
      headersTimeout: waitForeverMs,
      bodyTimeout: waitForeverMs,
    })
  }

  /** Whether the server is up and its model loaded. */
  async healthy(): Promise<boolean> {
    try {
      const answer = await this.#agent.request({
        origin: this.url,
        path: '/health',
        method: 'GET',
        headersTimeout: healthMsMax,
        bodyTimeout: healthMsMax,
      })
      await answer.body.dump()
      return answer.statusCode === 200
    } catch {
      return false
    }
  }

  get(path: string): Promise<Reply> {
    return this.#ask('GET', path, undefined)
  }

  post(path: string, body: unknown, signal?: AbortSignal): Promise<Reply> {
    return this.#ask('POST', path, body, signal)
  }

  async #ask(method: 'GET' | 'POST', path: string, body: unknown, signal?: AbortSignal): Promise<Reply> {
    try {
      const answer = await this.#agent.request({
        origin: this.url,
        path,
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      })
      const text = await answer.body.text()
      const json: unknown = text === '' ? null : JSON.parse(text)
      if (answer.statusCode === 200) return { as: 'ok', json }
      return { as: 'error', status: answer.statusCode, says: sentenceOf(json) }
    } catch (error) {
      return { as: 'gone', why: error instanceof Error ? error.name : 'unknown' }
    }
  }

  /** Passes a request on; gives a function that ends it. */
  forward(
    method: string,
    path: string,
    headers: Record<string, string | string[]>,
    body: Buffer | string | null,
    receiver: Receiver,
  ): () => void {
    let control: Dispatcher.DispatchController | undefined
    let ended = false
    const abort = (): void => {
      ended = true
      control?.abort(new Error('the client went away'))
    }
    this.#agent.dispatch(
      { origin: this.url, path, method: method as Dispatcher.HttpMethod, headers, body },
      {
        onRequestStart: (controller) => {
          control = controller
          if (ended) controller.abort(new Error('the client went away'))
        },
        onResponseStart: (_, status, received) => receiver.onHead(status, received),
        onResponseData: (controller, piece) => {
          if (!receiver.onPiece(piece, () => controller.resume())) controller.pause()
        },
        onResponseEnd: () => receiver.onEnd(),
        onResponseError: (_, error) => receiver.onFailure(error),
      },
    )
    return abort
  }

  close(): void {
    void this.#agent.destroy().catch(() => undefined)
  }
}

/** The server's own sentence about an error. Bounded, and taken from its error object only. */
function sentenceOf(json: unknown): string {
  const error = typeof json === 'object' && json !== null && 'error' in json ? json.error : undefined
  const message =
    typeof error === 'object' && error !== null && 'message' in error ? error.message : undefined
  return typeof message === 'string' ? message.slice(0, 300) : 'no reason given'
}
