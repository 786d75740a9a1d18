import { hash, timingSafeEqual } from 'node:crypto'
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify'
import { requestHeadersMsMax, requestReceiveMsMax } from '../tiers/block/limits.ts'
import { explain } from './explain.ts'
import { gauges } from './gauges.ts'
import type { Parts } from './parts.ts'
import type { WorkerWanted } from './workers.ts'

/** Largest body of an admin request, in bytes: a prompt to explain. */
const adminBodyBytesMax = 8 * 2 ** 20

/** The operator's HTTP server. Listens on loopback only, and answers only to loopback names: a page in a
 *  browser cannot reach it under a name of its own. */
export function openAdmin(parts: Parts, token: string | null, indexStatus: () => unknown): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: adminBodyBytesMax,
    requestTimeout: requestReceiveMsMax,
    forceCloseConnections: true,
    http: { headersTimeout: requestHeadersMsMax, connectionsCheckingInterval: 1_000 },
  })
  app.addHook('onRequest', async (request, reply) => {
    if (!isLoopbackName(request.headers.host ?? '')) {
      await send(reply, 403, { error: 'this server answers to loopback names only' })
    } else if (request.headers.origin !== undefined && request.method !== 'GET') {
      await send(reply, 403, { error: 'web pages may not give orders' })
    } else if (
      token !== null &&
      request.url !== '/health' &&
      !hasToken(request.headers.authorization, token)
    ) {
      await send(reply, 401, { error: 'send "Authorization: Bearer" with the token of --admin-token-file' })
    }
  })
  app.get('/health', (_request, reply) => send(reply, 200, { status: 'ok' }))
  app.get('/metrics', (_request, reply) => {
    gauges(parts)
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(parts.meter.text())
  })
  app.get('/workers', (_request, reply) => send(reply, 200, { workers: workersShown(parts) }))
  app.post('/workers', (request, reply) => {
    const wanted = workerIn(request.body)
    if (typeof wanted === 'string') return send(reply, 400, { error: wanted })
    const added = parts.workers.add(wanted)
    if (added.as === 'refused') return send(reply, 400, { error: added.why })
    parts.log('worker_registered', { worker: wanted.name, result: added.as })
    return send(reply, added.as === 'added' ? 201 : 200, { worker: wanted.name, result: added.as })
  })
  app.delete('/workers/:name', (request, reply) => {
    const { name } = request.params as { readonly name: string }
    if (!parts.workers.remove(name)) return send(reply, 404, { error: 'no worker of that name' })
    parts.log('worker_removed', { worker: name })
    return send(reply, 200, { worker: name, result: 'removed' })
  })
  app.get('/status', (_request, reply) =>
    send(reply, 200, { workers: workersShown(parts), index: indexStatus() }),
  )
  app.route({
    method: ['GET', 'POST'],
    url: '/explain',
    handler: async (request, reply) => {
      const explained = await explain(parts, request.body)
      return send(reply, 'error' in explained ? 400 : 200, explained)
    },
  })
  app.setErrorHandler((error, _request, reply) => {
    const status = (error as { readonly statusCode?: number }).statusCode ?? 500
    return send(reply, status, { error: status < 500 ? (error as Error).message : 'internal error' })
  })
  app.setNotFoundHandler((_request, reply) => send(reply, 404, { error: 'there is no such path here' }))
  return app
}

function workersShown(parts: Parts): readonly unknown[] {
  const now = parts.world.nowMs()
  return parts.workers.all().map((worker) => ({
    name: worker.name,
    url: worker.url,
    health: worker.health,
    models: worker.models,
    namesPrompts: worker.naming,
    streams: worker.load.streams,
    waitingTokens: worker.load.waitingTokens,
    prefillTokensPerSecond: Math.round(worker.rate.tokensPerSecond),
    leaseMsLeft: worker.leaseUntilMs === null ? null : Math.max(0, Math.round(worker.leaseUntilMs - now)),
  }))
}

const registrationFields = ['name', 'url', 'model', 'leaseMs']

/** The registration in a body, or what is wrong with it. */
function workerIn(body: unknown): WorkerWanted | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'body: must be a JSON object'
  const fields = new Map<string, unknown>(Object.entries(body))
  for (const name of fields.keys()) {
    if (!registrationFields.includes(name)) {
      return `${name.slice(0, 64)}: not known, use ${registrationFields.join(', ')}`
    }
  }
  const name = fields.get('name')
  const url = fields.get('url')
  const model = fields.get('model') ?? null
  const leaseMs = fields.get('leaseMs') ?? null
  if (typeof name !== 'string') return 'name: must be a text'
  if (typeof url !== 'string') return 'url: must be a text'
  if (model !== null && typeof model !== 'string') return 'model: must be a text'
  if (leaseMs !== null && typeof leaseMs !== 'number') return 'leaseMs: must be a number'
  return { name, url, model, leaseMs }
}

function isLoopbackName(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/.test(host)
}

/** Compared as digests of one length, in constant time. */
function hasToken(authorization: string | undefined, token: string): boolean {
  const given = hash('sha256', authorization ?? '', 'buffer')
  return timingSafeEqual(given, hash('sha256', `Bearer ${token}`, 'buffer'))
}

function send(reply: FastifyReply, status: number, value: unknown): FastifyReply {
  return reply.code(status).type('application/json').send(JSON.stringify(value))
}
