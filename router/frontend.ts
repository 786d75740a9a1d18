import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import {
  clientConnectionsMax,
  requestBodyBytesMax,
  requestHeaderBytesMax,
  requestHeaderLinesMax,
  requestHeadersMsMax,
  requestsPerConnectionMax,
} from '../tiers/block/limits.ts'
import { dialectOf, endpoints } from './endpoints.ts'
import { gauges } from './gauges.ts'
import type { Parts } from './parts.ts'
import { type Refusal, refusalBody, refuse, refuseForNow, statusOf } from './refusal.ts'
import { requestIdOf, sendRefusal, serve } from './serve.ts'

/** How often Node looks for connections that are past their time, in milliseconds. */
const connectionsCheckMs = 1_000

type Frontend = {
  readonly app: FastifyInstance
  /** From now on requests are refused, and answers close their connections. */
  stopTaking(): void
  /** Requests under way. */
  activeCount(): number
}

/** The public HTTP server: limits, the endpoints that go to workers, and the few the router answers itself.
 *  */
export function openFrontend(parts: Parts): Frontend {
  let stopping = false
  let active = 0
  const app = fastify({
    logger: false,
    bodyLimit: requestBodyBytesMax,
    requestTimeout: parts.receiveMs,
    maxRequestsPerSocket: requestsPerConnectionMax,
    return503OnClosing: false,
    forceCloseConnections: true,
    http: {
      headersTimeout: Math.min(requestHeadersMsMax, Math.ceil(parts.receiveMs / 3)),
      connectionsCheckingInterval: Math.min(connectionsCheckMs, parts.receiveMs),
      maxHeaderSize: requestHeaderBytesMax,
      noDelay: true,
    },
    clientErrorHandler,
  })
  app.server.maxConnections = clientConnectionsMax
  // Node drops header lines past this number without a word; the lines are counted below instead.
  app.server.maxHeadersCount = 0
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  for (const path of Object.keys(endpoints)) {
    app.post(path, async (request, reply) => {
      reply.hijack()
      const refusal = stopping ? stoppingRefusal : linesProblem(request.raw)
      if (refusal !== null) return answer(parts, request.raw, reply.raw, path, refusal)
      active += 1
      try {
        await serve(parts, request.raw, reply.raw, path, queryOf(request.raw.url ?? ''))
      } catch (error) {
        parts.log('request_failed', { path, error: error instanceof Error ? error.name : 'unknown' })
        if (reply.raw.headersSent) reply.raw.destroy()
        else answer(parts, request.raw, reply.raw, path, refuse('internal', 'internal', 'internal error'))
      } finally {
        active -= 1
      }
    })
  }
  addOwnRoutes(app, parts, () => stopping)
  app.setNotFoundHandler((request, reply) => {
    reply.hijack()
    notFound(parts, request.raw, reply.raw)
  })
  app.setErrorHandler((error, request, reply) => {
    reply.hijack()
    const code = (error as { readonly code?: string }).code ?? ''
    const refusal =
      code === 'FST_ERR_CTP_BODY_TOO_LARGE'
        ? refuse('too_large', 'request_too_large', `the body is larger than ${requestBodyBytesMax} bytes`)
        : refuse('invalid', 'bad_request', 'the request is malformed')
    answer(parts, request.raw, reply.raw, pathOf(request.raw.url ?? ''), refusal)
  })
  return {
    app,
    stopTaking: () => {
      stopping = true
    },
    activeCount: () => active,
  }
}

const stoppingRefusal = refuseForNow('unavailable', 'stopping', 'the router is stopping: try again', 1)

const metricsRefusal = refuse(
  'forbidden',
  'metrics_elsewhere',
  'metrics are at the admin port of this router',
)

function addOwnRoutes(app: FastifyInstance, parts: Parts, stopping: () => boolean): void {
  app.get('/live', (_request, reply) => json(reply, 200, { status: 'live' }))
  app.get('/health', (_request, reply) => {
    const all = parts.workers.all()
    const serving = parts.workers.servingCount()
    const status = stopping() ? 'stopping' : serving > 0 ? 'ok' : 'no worker serves yet'
    return json(reply, status === 'ok' ? 200 : 503, {
      status,
      workers: { serving, all: all.length },
      models: parts.workers.models(),
    })
  })
  app.get('/ready', (_request, reply) => {
    const ready = !stopping() && parts.workers.servingCount() > 0
    return json(reply, ready ? 200 : 503, { status: ready ? 'ready' : 'not ready' })
  })
  app.get('/metrics', (request, reply) => {
    // Tenants are labels there: no client may see the others.
    if (parts.identify.hasKeys) return own(parts, request, reply, metricsRefusal)
    gauges(parts)
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(parts.meter.text())
  })
  app.get('/v1/models', (request, reply) => {
    const refusal = keyProblem(parts, request)
    if (refusal !== null) return own(parts, request, reply, refusal)
    const data = parts.workers.models().map(modelEntry)
    return json(reply, 200, { object: 'list', data })
  })
  app.get('/v1/models/*', (request, reply) => {
    const refusal = keyProblem(parts, request)
    if (refusal !== null) return own(parts, request, reply, refusal)
    const model = (request.params as { readonly '*'?: string })['*'] ?? ''
    if (parts.workers.models().includes(model)) return json(reply, 200, modelEntry(model))
    return own(
      parts,
      request,
      reply,
      refuse('not_found', 'model_not_found', 'no worker has that model', 'model'),
    )
  })
}

function modelEntry(id: string): Readonly<Record<string, unknown>> {
  return { id, object: 'model', created: 0, owned_by: 'terrace' }
}

function json(reply: FastifyReply, status: number, value: unknown): FastifyReply {
  return reply.code(status).type('application/json').send(JSON.stringify(value))
}

function own(parts: Parts, request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
  reply.hijack()
  answer(parts, request.raw, reply.raw, pathOf(request.raw.url ?? ''), refusal)
  return reply
}

function keyProblem(parts: Parts, request: FastifyRequest): Refusal | null {
  const identified = parts.identify.identify(request.headers, parts.world.nowMs())
  return 'done' in identified ? identified.done : null
}

function notFound(parts: Parts, request: IncomingMessage, client: ServerResponse): void {
  const path = pathOf(request.url ?? '')
  if (Object.hasOwn(endpoints, path)) {
    client.setHeader('allow', 'POST')
    answer(parts, request, client, path, refuse('method', 'method_not_allowed', 'this path takes POST'))
    return
  }
  answer(parts, request, client, path, refuse('not_found', 'unknown_path', 'there is no such path here'))
}

function answer(
  parts: Parts,
  request: IncomingMessage,
  client: ServerResponse,
  path: string,
  refusal: Refusal,
): void {
  sendRefusal(parts, { dialect: dialectOf(path) }, refusal, requestIdOf(parts, request), client)
}

function linesProblem(request: IncomingMessage): Refusal | null {
  if (request.rawHeaders.length / 2 <= requestHeaderLinesMax) return null
  return refuse('headers', 'too_many_headers', `more than ${requestHeaderLinesMax} header lines`)
}

function pathOf(url: string): string {
  const cut = url.indexOf('?')
  return cut === -1 ? url : url.slice(0, cut)
}

function queryOf(url: string): string {
  const cut = url.indexOf('?')
  return cut === -1 ? '' : url.slice(cut + 1)
}

/** Answers what Node's parser refused, in the shape of the API, and closes: what follows cannot be trusted to
 *  be a request. */
function clientErrorHandler(error: Error & { readonly code?: string }, socket: Socket): void {
  if (!socket.writable || socket.destroyed) return
  const refusal = parserRefusal(error.code ?? '')
  const body = refusalBody('openai', refusal, 'req_unread')
  const status = statusOf(refusal)
  socket.end(
    `HTTP/1.1 ${status} ${status === 400 ? 'Bad Request' : 'Refused'}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

function parserRefusal(code: string): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return refuse('headers', 'headers_too_large', `headers are larger than ${requestHeaderBytesMax} bytes`)
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return refuse('slow_request', 'request_late', 'the request did not arrive in time')
  }
  return refuse('invalid', 'bad_http', 'the request is not well-formed HTTP')
}
