import type { ServerResponse } from 'node:http'
import { forwardTriesMax } from '../tiers/block/limits.ts'
import type { Admitted } from './admit.ts'
import type { Parts } from './parts.ts'
import { type Refusal, refusalEvent, refuse, refuseForNow } from './refusal.ts'
import { type CutWhy, type KeptAnswer, type Relayed, relay } from './relay.ts'
import { type Terms, termsText } from './score.ts'
import { answeredHeaders } from './steering.ts'
import { usageOf } from './usage.ts'
import type { Worker } from './workers.ts'

export type Choice = { readonly worker: Worker; readonly terms: Terms }

/** How a request ended, for metrics. Status 499 is a client that went away. */
export type Forwarded =
  | { readonly as: 'sent'; readonly status: number }
  /** Nothing was sent yet: the caller answers with the refusal. */
  | { readonly as: 'refused'; readonly refusal: Refusal }

/** Sends the request to the cheapest worker, and to the next ones as long as nothing has reached the client
 *  and the failure says that nobody worked on it or its work is lost. */
export async function forward(
  parts: Parts,
  request: Admitted,
  choices: readonly Choice[],
  headers: readonly string[],
  client: ServerResponse,
): Promise<Forwarded> {
  const deadlineMs = parts.world.nowMs() + parts.totalMs
  let kept: { readonly answer: KeptAnswer; readonly worker: Worker } | null = null
  let lost = 0
  for (let tries = 0; tries < forwardTriesMax; tries++) {
    const choice = nextChoice(choices, tries, lost)
    if (choice === null) break
    const relayed = await tryOn(parts, request, choice, headers, client, deadlineMs)
    if (relayed.as === 'answered') return { as: 'sent', status: relayed.status }
    if (relayed.as === 'cut') return afterCut(parts, request, relayed, client)
    parts.meter.add('terrace_router_tries_failed_total', { why: relayed.why })
    if (relayed.why === 'closed') lost += 1
    if (relayed.why === 'busy') kept = { answer: relayed.answer, worker: choice.worker }
    else parts.workers.tell(choice.worker, { kind: relayed.why === 'refused' ? 'refused' : 'failed' })
  }
  if (kept !== null) return sendKept(parts, request, kept.answer, kept.worker, client)
  return { as: 'refused', refusal: lost > 0 ? lostRefusal : unreachableRefusal }
}

const lostRefusal = refuse(
  'worker_failed',
  'worker_lost',
  'the worker was lost before it answered: try again',
)
const unreachableRefusal = refuseForNow(
  'unavailable',
  'worker_unreachable',
  'no worker could be reached: try again',
  1,
)

/** Times that a request may lose its worker. Why so few: the request itself may be what kills it. */
const lostMax = 2

/** The next worker in the order of price. A lone worker gets a second try when its connection broke: it may
 *  have been an old one, closed while idle. */
function nextChoice(choices: readonly Choice[], tries: number, lost: number): Choice | null {
  if (lost >= lostMax) return null
  const next = choices[tries]
  if (next !== undefined) return next
  return choices.length === 1 && tries === 1 && lost > 0 ? (choices[0] ?? null) : null
}

async function tryOn(
  parts: Parts,
  request: Admitted,
  { worker, terms }: Choice,
  headers: readonly string[],
  client: ServerResponse,
  deadlineMs: number,
): Promise<Relayed> {
  const { world, meter } = parts
  const alone = worker.load.waitingTokens === 0
  const ticket = worker.load.begin(terms.computeTokens)
  const startedMs = world.nowMs()
  let firstByteMs: number | null = null
  // The first byte of an answer in one piece is also its last: its prefill is taken to end when it was
  // expected to.
  const expectedMs = (terms.queueSeconds + terms.loadSeconds + terms.prefillSeconds) * 1_000
  const cancel = request.stream ? () => undefined : world.after(expectedMs, ticket.prefilled)
  const explained = request.tenant.explain ? { 'x-terrace-explain': termsText(terms) } : {}
  try {
    const relayed = await relay(
      world,
      worker,
      {
        target: request.target,
        headers,
        body: request.body,
        ownHeaders: { 'x-request-id': request.requestId, 'x-terrace-worker': worker.name, ...explained },
        firstByteMs: parts.firstByteMs,
        stallMs: parts.stallMs,
        deadlineMs,
        onFirstByte: () => {
          firstByteMs = world.nowMs()
          ticket.prefilled()
        },
      },
      client,
      parts.cut,
    )
    if (relayed.as === 'answered' && relayed.status < 500) parts.workers.tell(worker, { kind: 'good' })
    if (relayed.as === 'answered' && relayed.status === 200) {
      const seconds = firstByteMs === null ? null : (firstByteMs - startedMs) / 1_000
      if (request.stream && seconds !== null) {
        meter.observe('terrace_router_first_byte_seconds', { endpoint: request.endpoint.name }, seconds)
      }
      learn(parts, request, relayed, worker, terms, alone && request.stream ? seconds : null)
    }
    return relayed
  } finally {
    cancel()
    ticket.end()
  }
}

/** Takes from an answer what it says about hits and speed. */
function learn(
  parts: Parts,
  request: Admitted,
  relayed: Extract<Relayed, { as: 'answered' }>,
  worker: Worker,
  terms: Terms,
  prefillSeconds: number | null,
): void {
  const { promptTokens, cachedTokens } = usageOf(relayed.headers, relayed.tail)
  const tenant = request.tenant.name
  if (promptTokens !== null) {
    parts.meter.add('terrace_router_prompt_tokens_total', { tenant }, promptTokens)
    parts.meter.add('terrace_router_realised_hit_tokens_total', { tenant }, cachedTokens ?? 0)
  }
  if (prefillSeconds === null) return
  const computed = promptTokens === null ? terms.computeTokens : promptTokens - (cachedTokens ?? 0)
  worker.rate.learn(computed, prefillSeconds - terms.loadSeconds)
}

const cutRefusals: Readonly<Record<Exclude<CutWhy, 'client_gone' | 'slow_client'>, Refusal>> = {
  first_byte: refuse('late', 'first_byte_late', 'the worker did not begin to answer in time'),
  stall: refuse('late', 'stalled', 'the worker stopped in the middle of its answer'),
  deadline: refuse('late', 'deadline', 'the request took longer than it may'),
  worker_lost: refuse('worker_failed', 'worker_lost', 'the worker was lost in the middle of its answer'),
  stopping: refuseForNow('unavailable', 'stopping', 'the router is stopping: try again', 1),
}

/** Tells the client what is left to tell: a status when nothing was sent, an event in a stream, else a broken
 *  connection, which no client can take for a whole answer. */
function afterCut(
  parts: Parts,
  request: Admitted,
  relayed: Extract<Relayed, { as: 'cut' }>,
  client: ServerResponse,
): Forwarded {
  const { why } = relayed
  parts.meter.add('terrace_router_cut_total', { why })
  if (why === 'client_gone' || why === 'slow_client') {
    client.destroy()
    return { as: 'sent', status: 499 }
  }
  const refusal = cutRefusals[why]
  if (!relayed.sent) return { as: 'refused', refusal }
  if (relayed.eventMayFollow) {
    client.end(refusalEvent(request.endpoint.dialect, request.path, refusal, request.requestId))
  } else client.destroy()
  return { as: 'sent', status: 200 }
}

/** Passes on the last worker's own refusal, when no other could do better. */
function sendKept(
  parts: Parts,
  request: Admitted,
  answer: KeptAnswer,
  worker: Worker,
  client: ServerResponse,
): Forwarded {
  parts.meter.add('terrace_router_refused_total', { code: 'workers_busy' })
  const { 'content-length': _, ...headers } = answeredHeaders(answer.headers)
  client.writeHead(answer.status, {
    'retry-after': '1',
    ...headers,
    'content-length': answer.body.length,
    'x-request-id': request.requestId,
    'x-terrace-worker': worker.name,
  })
  client.end(answer.body)
  return { as: 'sent', status: answer.status }
}
