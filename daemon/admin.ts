import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { KvFailure } from '../tiers/block/failures.ts'
import type { Meter, MetricTable } from '../tiers/block/metric.ts'
import { type BlockStore, clearWhiches } from '../tiers/store.ts'
import { errnoOf } from './errno.ts'
import type { EventStreams } from './event-stream.ts'
import { explain } from './explain.ts'
import type { Log } from './log.ts'
import type { Publisher } from './publish.ts'
import type { EngineServer } from './server.ts'
import type { DaemonStatus } from './status.ts'

type AdminParts = {
  readonly port: number
  readonly store: BlockStore
  readonly server: EngineServer
  readonly publisher: Publisher
  readonly streams: EventStreams
  /** Everything that /metrics prints, each with its own table. */
  readonly meters: readonly Pick<Meter<MetricTable>, 'text'>[]
  /** Sets the gauges that are looked at, not counted. */
  readonly refreshGauges: () => void
  readonly status: () => DaemonStatus
  readonly log: Log
}

export type Admin = {
  readonly port: number
  /** Cuts every connection, streams included. */
  stop(): Promise<void>
}

const loopback = '127.0.0.1'
/** Bodies are never needed. */
const bodyBytesMax = 1_024
const connectionsMax = 256

/** Opens the operators' HTTP on loopback: health, metrics, status, events, and the few orders a running daemon takes. */
export async function openAdmin(parts: AdminParts): Promise<Admin> {
  const app = Fastify({
    bodyLimit: bodyBytesMax,
    requestTimeout: 10_000,
    connectionTimeout: 0,
    keepAliveTimeout: 30_000,
    maxRequestsPerSocket: 10_000,
    forceCloseConnections: true,
    http: { headersTimeout: 5_000, connectionsCheckingInterval: 1_000 },
  })
  app.server.maxConnections = connectionsMax
  app.addHook('onRequest', async (request, reply) => {
    const problem = strangerProblem(request)
    if (problem !== null) return reply.code(403).send({ code: 'KVT_ADMIN_REFUSED', says: problem })
  })
  app.setErrorHandler((error, _request, reply) => {
    const status = statusCodeOf(error)
    if (status >= 500) parts.log.warn('admin_failed', { why: errnoOf(error) })
    const says = status >= 500 ? 'the daemon failed: its log says more' : errnoOf(error)
    return reply.code(status).send({ code: 'KVT_ADMIN_BAD', says })
  })
  app.setNotFoundHandler((_request, reply) => {
    const says = 'no such path: see /health /metrics /status /explain /events /snapshot, POST /clear /drain'
    return reply.code(404).send({ code: 'KVT_ADMIN_BAD', says })
  })
  addReads(app, parts)
  addOrders(app, parts)
  try {
    await app.listen({ port: parts.port, host: loopback })
  } catch (error) {
    await app.close()
    if (errnoOf(error) === 'EADDRINUSE') {
      throw new KvFailure('KVT_PORT_IN_USE', { port: parts.port, option: '--admin-port' })
    }
    throw new KvFailure('KVT_CONFIG_BAD', { why: `--admin-port: cannot be opened (${errnoOf(error)})` })
  }
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : parts.port
  return { port, stop: () => app.close() }
}

function addReads(app: FastifyInstance, parts: AdminParts): void {
  app.get('/health', (_request, reply) => {
    const { state } = parts.server
    return reply.code(state === 'serving' ? 200 : 503).send({ state })
  })
  app.get('/metrics', (_request, reply) => {
    parts.refreshGauges()
    const text = parts.meters.map((meter) => meter.text()).join('')
    return reply.type('text/plain; version=0.0.4').send(text)
  })
  app.get('/status', (_request, reply) => reply.send(parts.status()))
  app.get('/explain', (_request, reply) => reply.send({ findings: explain(parts.status()) }))
  app.get('/snapshot', (_request, reply) => reply.send(parts.publisher.snapshot('asked')))
  app.get('/events', (request, reply) => {
    const query = request.query as Readonly<Record<string, unknown>>
    const from = query.from === undefined ? null : sequenceOf(query.from)
    if (from === undefined) {
      return reply.code(400).send({ code: 'KVT_ADMIN_BAD', says: 'from: must be the number of a batch' })
    }
    if (parts.streams.isFull) {
      return reply.code(503).send({ code: 'KVT_TOO_MANY', says: 'too many event readers: try again later' })
    }
    reply.hijack()
    parts.streams.start(reply.raw, from, typeof query.epoch === 'string' ? query.epoch : null)
    return undefined
  })
}

function addOrders(app: FastifyInstance, parts: AdminParts): void {
  app.post('/clear', async (request, reply) => {
    const { which: asked } = request.query as Readonly<Record<string, unknown>>
    const which = clearWhiches.find((word) => word === asked)
    if (which === undefined) {
      return reply
        .code(400)
        .send({ code: 'KVT_ADMIN_BAD', says: `which: must be ${clearWhiches.join(' or ')}` })
    }
    await parts.store.clear(which)
    parts.log.info('cleared', { which })
    return reply.send({ cleared: which })
  })
  app.post('/drain', (_request, reply) => {
    parts.server.drain()
    parts.log.info('draining')
    return reply.send({ state: parts.server.state })
  })
}

/** Why a request may come from a web page and not from somebody on this machine: a page that a browser here shows can reach
 *  loopback, by a name of its own that leads here or by a plain form, but not without showing it in these headers. */
function strangerProblem(request: FastifyRequest): string | null {
  const host = request.headers.host ?? ''
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/.test(host)) {
    return 'host: must be 127.0.0.1 or localhost'
  }
  const site = request.headers['sec-fetch-site']
  const fromPage = request.headers.origin !== undefined || (site !== undefined && site !== 'none')
  return fromPage && request.method !== 'GET' ? 'origin: web pages may not give orders' : null
}

/** The number of a batch, or undefined when the text is none. */
function sequenceOf(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) return undefined
  return Number(text)
}

function statusCodeOf(error: unknown): number {
  const status = (error as { readonly statusCode?: unknown }).statusCode
  return typeof status === 'number' && status >= 400 ? status : 500
}
