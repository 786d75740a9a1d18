import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { World } from '../../../../tiers/block/clock.ts'
import { KvFailure } from '../../../../tiers/block/failures.ts'
import { requestBodyBytesMax, stopMsMax } from '../../../../tiers/block/limits.ts'
import type { DaemonSession } from '../../client/session.ts'
import { type Attachment, type AttachOptions, attach } from '../cache/attach.ts'
import { HeldNews } from '../cache/held.ts'
import type { Engine, EngineState } from '../engine/supervise.ts'
import { readBody, sendError, sendJson } from './answer.ts'
import { Composing } from './compose/composing.ts'
import { bump, type Counters, newCounters } from './counters.ts'
import { treatmentOf } from './endpoints.ts'
import { namePrompt } from './name-prompt.ts'
import { passThrough, type Serving, servePrompt, serveSpread } from './request.ts'
import { statusOf } from './status.ts'
import { tenantOf } from './tenant.ts'

export type FrontOptions = {
  readonly host: string
  readonly port: number
  readonly name: string
  readonly engine: Engine
  readonly session: DaemonSession | null
  readonly attaching: AttachOptions
  /** Shared with the router when it is not on this machine; without it only loopback names tenants. */
  readonly token: string | null
  readonly world: World
}

/** The adapter's HTTP server in front of one engine. */
export type Front = {
  readonly url: string
  readonly status: () => unknown
  readonly counters: Counters
  /** Resolves with the attachment of the engine's present life. */
  readonly attached: () => Attachment | null
  /** Waits a while for an attachment; null when the engine is still not there. */
  readonly settled: () => Promise<Attachment | null>
  readonly close: () => Promise<void>
}

/** Longest wait of a request for an engine that is just starting, in milliseconds. */
const engineWaitMsMax = 5_000
const waitLookMs = 25
/** Connections of clients at once. Why: many more than may wait, so that those beyond are told so instead of hanging. */
const connectionsMax = 1_024
/** How long a quiet connection is kept, in milliseconds: longer than routers keep theirs, so that they close first. */
const keepAliveMs = 65_000
/** Pause before an engine that did not tell what it is is asked again, in milliseconds. */
const attachRetryMs = 500

/** Opens the server. It answers at once; requests wait a while for an engine that is not there yet. */
export async function openFront(options: FrontOptions): Promise<Front> {
  const counters = newCounters()
  let attachment: Attachment | null = null
  const composing = new Composing()
  let news: HeldNews | null = null
  const follow = async (state: EngineState): Promise<void> => {
    attachment?.slots.close()
    attachment = null
    void news?.tell([])
    news = null
    if (state.as !== 'ready') return
    const lives = (): boolean => {
      const now = options.engine.state()
      return now.as === 'ready' && now.generation === state.generation
    }
    while (lives()) {
      const found = await attach(state.upstream, state.generation, options.attaching).catch(() => null)
      if (!lives()) return
      if (found !== null) {
        attachment = found
        composing.restart()
        if (found.kv.as === 'on' && options.session !== null) news = new HeldNews(found.kv, options.session)
        return
      }
      await options.world.sleep(attachRetryMs)
    }
  }
  options.engine.onChange((state) => void follow(state))
  void follow(options.engine.state())
  const waitForEngine = async (): Promise<Attachment | null> => {
    const endMs = options.world.nowMs() + engineWaitMsMax
    while (attachment === null && options.world.nowMs() < endMs) await options.world.sleep(waitLookMs)
    return attachment
  }
  const status = (): unknown => statusOf(options, attachment, counters, composing.avoided())
  const server = createServer({ noDelay: true, keepAliveTimeout: keepAliveMs }, (request, response) => {
    handle(options, request, response, {
      counters,
      composing,
      status,
      waitForEngine,
      attached: () => attachment,
      news: () => news,
    }).catch(() => {
      sendError(response, 500, 'server_error', 'the adapter failed on this request')
      if (response.headersSent) response.destroy()
    })
  })
  server.maxConnections = connectionsMax
  await listen(server, options)
  const { port } = server.address() as AddressInfo
  const shown = options.host.includes(':') ? `[${options.host}]` : options.host
  return {
    url: `http://${shown}:${port}`,
    status,
    counters,
    attached: () => attachment,
    settled: waitForEngine,
    close: () => close(server, options.world),
  }
}

function listen(server: Server, options: FrontOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error)
      reject(new KvFailure('KVT_PORT_IN_USE', { port: options.port, option: '--listen' }))
    })
    server.listen(options.port, options.host, () => resolve())
  })
}

/** Lets running requests end for a while, then cuts them. */
async function close(server: Server, world: World): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cancel = world.after(stopMsMax / 2, () => server.closeAllConnections())
  await closed
  cancel()
}

type Room = {
  readonly composing: Composing
  readonly counters: Counters
  readonly status: () => unknown
  readonly waitForEngine: () => Promise<Attachment | null>
  readonly attached: () => Attachment | null
  readonly news: () => HeldNews | null
}

async function handle(
  options: FrontOptions,
  request: IncomingMessage,
  response: ServerResponse,
  room: Room,
): Promise<void> {
  response.on('error', () => undefined)
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  const treatment = treatmentOf(request.method ?? 'GET', path)
  if (treatment.as === 'own' && treatment.name === 'health') {
    const ready = room.attached() !== null
    return sendJson(response, ready ? 200 : 503, { status: ready ? 'ok' : 'starting' })
  }
  if (treatment.as === 'own' && treatment.name === 'status') return sendJson(response, 200, room.status())
  const tenant = tenantOf(request, options.token)
  if (tenant.as === 'refused') return sendError(response, 403, 'permission_error', tenant.says)
  const body = await readBody(request)
  if (body.as === 'gone') return
  if (body.as === 'too_large') {
    const says = `the body is larger than ${requestBodyBytesMax} bytes`
    return sendError(response, 413, 'invalid_request_error', says, { connection: 'close' })
  }
  const attachment = await room.waitForEngine()
  if (attachment === null) {
    return sendError(response, 503, 'server_error', 'the engine is starting: try again', {
      'retry-after': '1',
    })
  }
  const { session, world } = options
  const { composing, counters } = room
  const news = room.news()
  const serving: Serving = { attachment, session, news, composing, counters, world, tenant: tenant.tenant }
  const exchange = { request, response, path }
  if (treatment.as === 'own') return namePrompt(serving, response, body.bytes)
  if (treatment.as !== 'through') room.counters.requests += 1
  if (treatment.as === 'prompt') return servePrompt(serving, exchange, treatment.kind, body.bytes)
  if (treatment.as === 'all') return serveSpread(serving, exchange, treatment.kind, body.bytes)
  if (treatment.as === 'refused') {
    bump(room.counters.requestsBy, 'refused')
    return sendError(response, 403, 'permission_error', treatment.says)
  }
  return passThrough(serving, exchange, body.bytes.length === 0 ? null : body.bytes)
}
