import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { World } from '../../../../tiers/block/clock.ts'
import type { Upstream } from '../engine/upstream.ts'
import { AnswerWriter, type Reading } from './answer-writer.ts'
import type { AgainWhy } from './compose/composer.ts'
import { hopHeaders } from './hop-headers.ts'
import type { Before, Seen } from './usage.ts'

/** How a passed-on request ended. */
export type Relayed =
  | {
      readonly as: 'ended'
      readonly status: number
      readonly seen: Seen | null
      readonly firstPieceMs: number
    }
  | { readonly as: 'client_gone' }
  /** The answer could not be put together; the client has got nothing yet. */
  | { readonly as: 'again'; readonly why: AgainWhy }
  /** The engine went away. `begun`: the client had already got a part of the answer. */
  | { readonly as: 'engine_gone'; readonly begun: boolean }

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
  /** What is made of the server's stream; null when the client wants what the server sends. */
  readonly reading: Reading | null
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
        const goesOn = answer.piece(piece, resume)
        if (answer.again !== null) abort()
        return goesOn
      },
      onEnd: () => {
        const wrote = answer.end()
        if (wrote.as === 'again') return finish(wrote)
        if (wrote.as === 'gone') return finish({ as: 'engine_gone', begun: false })
        finish({ as: 'ended', status: answer.status, seen: answer.seen(), firstPieceMs })
      },
      onFailure: () => {
        if (clientGone) return finish({ as: 'client_gone' })
        if (answer.again !== null) return finish({ as: 'again', why: answer.again })
        if (response.headersSent) response.destroy()
        finish({ as: 'engine_gone', begun: response.headersSent })
      },
    })
    if (response.destroyed) onClose()
  })
}
