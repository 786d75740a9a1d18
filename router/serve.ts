import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Admitted, admit, headProblem, readBody } from './admit.ts'
import { type Endpoint, endpoints } from './endpoints.ts'
import { type Choice, type Forwarded, forward } from './forward.ts'
import type { Parts } from './parts.ts'
import { candidatesFor, factsOf, modelOf, type Overlap, promptFactsOf } from './place.ts'
import type { NamesAsked } from './prompt-names.ts'
import { type Refusal, refusalBody, refuse, statusOf } from './refusal.ts'
import { ranked, score, type Terms } from './score.ts'
import { forwardedHeaders } from './steering.ts'
import type { Tenant } from './tenant.ts'
import type { Worker } from './workers.ts'

/** Serves one request of an endpoint that goes to a worker: a row of stages, each of which passes on a richer
 *  request or ends it with a refusal. */
export async function serve(
  parts: Parts,
  request: IncomingMessage,
  client: ServerResponse,
  path: string,
  query: string,
): Promise<void> {
  const endpoint = endpoints[path]
  if (endpoint === undefined) return
  const { world, meter } = parts
  const requestId = requestIdOf(parts, request)
  const startedMs = world.nowMs()
  meter.add('terrace_router_requests_active', {}, 1)
  let heldBytes = 0
  let status = 499
  try {
    const identified = parts.identify.identify(request.headers, startedMs)
    const early = 'done' in identified ? identified.done : headProblem(request, query)
    if ('done' in identified || early !== null) {
      status = sendRefusal(parts, endpoint, early ?? internalError(), requestId, client)
      return
    }
    const read = await readBody(request, parts.held)
    heldBytes = read.heldBytes
    if (read.as === 'gone') return
    if (read.as === 'refused') {
      status = sendRefusal(parts, endpoint, read.refusal, requestId, client)
      return
    }
    const done = await route(parts, {
      request,
      client,
      endpoint,
      path,
      query,
      requestId,
      tenant: identified.pass,
      body: read.body,
    })
    status = done.as === 'sent' ? done.status : sendRefusal(parts, endpoint, done.refusal, requestId, client)
  } finally {
    parts.held.give(heldBytes)
    meter.add('terrace_router_requests_active', {}, -1)
    meter.add('terrace_router_requests_total', { endpoint: endpoint.name, status: String(status) })
    meter.observe(
      'terrace_router_request_seconds',
      { endpoint: endpoint.name },
      (world.nowMs() - startedMs) / 1_000,
    )
  }
}

type Arrived = {
  readonly request: IncomingMessage
  readonly client: ServerResponse
  readonly endpoint: Endpoint
  readonly path: string
  readonly query: string
  readonly requestId: string
  readonly tenant: Tenant
  readonly body: Buffer
}

/** admit -> model -> candidates -> name -> place -> score -> forward. */
async function route(parts: Parts, arrived: Arrived): Promise<Forwarded> {
  const admitted = admit({ ...arrived, headers: arrived.request.headers, workerChoice: parts.workerChoice })
  if ('done' in admitted) return { as: 'refused', refusal: admitted.done }
  const request = admitted.pass
  for (const field of request.droppedFields)
    parts.meter.add('terrace_router_steering_dropped_total', { field })
  const model = modelOf(request, parts.workers, parts.anyModel)
  if ('done' in model) return { as: 'refused', refusal: model.done }
  const candidates = candidatesFor(request, model.pass, parts.workers)
  if ('done' in candidates) return { as: 'refused', refusal: candidates.done }
  const names = await nameOf(parts, request, candidates.pass)
  if (arrived.client.destroyed) return { as: 'sent', status: 499 }
  const choices = choose(parts, request, candidates.pass, names)
  const [first] = choices
  if (first !== undefined) countChoice(parts, request, names, first.terms, choices)
  const headers = [
    ...forwardedHeaders(arrived.request.rawHeaders, parts.identify.hasKeys),
    'x-request-id',
    request.requestId,
    'x-terrace-tenant',
    request.tenant.name,
  ]
  return forward(parts, request, choices, headers, arrived.client)
}

/** Asks one of the candidates how the prompt's blocks are called. */
export async function nameOf(
  parts: Parts,
  request: Admitted,
  candidates: readonly Worker[],
): Promise<NamesAsked> {
  if (!request.endpoint.prompt) return { as: 'none', why: 'no_adapter' }
  const startedMs = parts.world.nowMs()
  const able = candidates.filter((worker) => worker.naming !== 'no')
  const rested = able.filter((worker) => worker.namingRestUntilMs <= startedMs)
  const worker = rested[Math.floor(parts.world.random() * rested.length)] ?? null
  const asked: NamesAsked =
    worker === null
      ? { as: 'none', why: able.length > 0 ? 'resting' : 'no_adapter' }
      : await parts.namer.ask(worker, request.tenant.name, request.path, request.body)
  if (worker !== null) noteNaming(worker, asked, startedMs)
  const result = asked.as === 'names' ? asked.from : asked.why
  parts.meter.add('terrace_router_naming_total', { result })
  if (asked.as === 'names') {
    parts.meter.observe('terrace_router_naming_seconds', {}, (parts.world.nowMs() - startedMs) / 1_000)
  }
  return asked
}

/** How long an adapter is left alone after it was late or failed, in milliseconds. Why: each try may cost a
 *  request its whole wait for names. */
const namingRestMs = 2_000

function noteNaming(worker: Worker, asked: NamesAsked, startedMs: number): void {
  if (asked.as === 'names') worker.naming = 'yes'
  else if (asked.why === 'no_adapter') worker.naming = 'no'
  else worker.namingRestUntilMs = startedMs + namingRestMs
}

/** The candidates in the order of their price. */
export function choose(
  parts: Parts,
  request: Admitted,
  candidates: readonly Worker[],
  asked: NamesAsked,
): readonly Choice[] {
  const names = asked.as === 'names' ? asked.names : null
  const overlaps = new Map<string, Overlap>()
  let blockBytes = 0
  for (const worker of candidates) {
    const overlap = parts.overlaps.overlapOf(worker, names)
    overlaps.set(worker.name, overlap)
    blockBytes = Math.max(blockBytes, overlap.blockBytes)
  }
  const prompt = promptFactsOf(request, names, blockBytes)
  const facts = factsOf(
    request,
    candidates,
    (worker) => overlaps.get(worker.name) ?? parts.overlaps.overlapOf(worker, null),
  )
  const terms = facts.map((entry) => score(prompt, entry, parts.weights))
  const byName = new Map(candidates.map((worker) => [worker.name, worker] as const))
  return ranked(terms, () => parts.world.random()).flatMap((entry) => {
    const worker = byName.get(entry.worker)
    return worker === undefined ? [] : [{ worker, terms: entry }]
  })
}

function countChoice(
  parts: Parts,
  request: Admitted,
  asked: NamesAsked,
  terms: Terms,
  choices: readonly Choice[],
): void {
  const { meter } = parts
  for (const term of ['queue', 'load', 'prefill', 'decode'] as const) {
    meter.observe('terrace_router_score_seconds', { term }, terms[`${term}Seconds`])
  }
  if (asked.as !== 'names') return
  const tenant = request.tenant.name
  const { blockTokens, tokenCount } = asked.names
  meter.add('terrace_router_named_tokens_total', { tenant }, tokenCount)
  for (const [tier, blocks] of Object.entries(terms.blocksByTier)) {
    if (blocks > 0) {
      meter.add('terrace_router_predicted_hit_tokens_total', { tenant, tier }, blocks * blockTokens)
    }
  }
  const possible = Math.max(
    ...choices.map((choice) => choice.terms.deviceBlocks + choice.terms.loadableBlocks),
  )
  meter.add('terrace_router_possible_hit_tokens_total', { tenant }, possible * blockTokens)
}

/** Answers with a refusal, if the client is still there. Returns the status that counts. */
export function sendRefusal(
  parts: Parts,
  endpoint: Pick<Endpoint, 'dialect'>,
  refusal: Refusal,
  requestId: string,
  client: ServerResponse,
): number {
  parts.meter.add('terrace_router_refused_total', { code: refusal.code })
  if (client.destroyed) return 499
  const status = statusOf(refusal)
  const body = refusalBody(endpoint.dialect, refusal, requestId)
  const retry = refusal.retryAfterSeconds === null ? {} : { 'retry-after': String(refusal.retryAfterSeconds) }
  const challenge = status === 401 ? { 'www-authenticate': 'Bearer' } : {}
  client.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-request-id': requestId,
    ...retry,
    ...challenge,
  })
  client.end(body)
  return status
}

function internalError(): Refusal {
  return refuse('internal', 'internal', 'internal error')
}

/** The client's own request id when it is a plain one, else a new one. */
export function requestIdOf(parts: Parts, request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  if (typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given)) return given
  const part = (): string =>
    Math.floor(parts.world.random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0')
  return `req_${part()}${part()}`
}
