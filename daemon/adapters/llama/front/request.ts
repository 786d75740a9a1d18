import type { IncomingMessage, ServerResponse } from 'node:http'
import type { World } from '../../../../tiers/block/clock.ts'
import type { DaemonSession } from '../../client/session.ts'
import type { Attachment } from '../cache/attach.ts'
import type { HeldNews } from '../cache/held.ts'
import { keep } from '../cache/keep.ts'
import type { Sources } from '../cache/plan.ts'
import { type Prepared, type PrepareOptions, prepare } from '../cache/prepare.ts'
import type { Slot, Taken, Wanted } from '../cache/slots.ts'
import { sendError } from './answer.ts'
import { type Asked, ask, type Gone } from './ask.ts'
import type { Composing } from './compose/composing.ts'
import { chatRequestOfMessages } from './convert.ts'
import { bump, type Counters } from './counters.ts'
import type { PromptKind } from './endpoints.ts'
import { clearRivals, eraseForeign } from './messages.ts'
import { guessPrompt } from './prompt.ts'
import type { Relayed } from './relay.ts'
import { reportRequest } from './report.ts'

/** What one request is served with. */
export type Serving = {
  readonly attachment: Attachment
  readonly session: DaemonSession | null
  readonly news: HeldNews | null
  readonly composing: Composing
  readonly counters: Counters
  readonly world: World
  readonly tenant: string
}

export type Exchange = {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
}

type Json = Record<string, unknown>

/** Serves a request whose prompt may be cached: guess its tokens, take a slot, prepare it, pass the request on, keep
 *  what is new. */
export async function servePrompt(
  serving: Serving,
  exchange: Exchange,
  kind: PromptKind,
  bytes: Buffer,
): Promise<void> {
  const { attachment, counters } = serving
  const { response } = exchange
  const text = bytes.toString('utf8')
  const body = parsedBody(text)
  if (body === null || attachment.kv.as === 'off') {
    bump(counters.requestsBy, body === null ? 'not_json' : 'kv_off')
    const known = body === null ? null : { kind, json: body }
    return passThrough(serving, exchange, bytes, known, {
      'x-terrace-reason': body === null ? 'not_json' : 'kv_off',
    })
  }
  if (Object.hasOwn(body, 'id_slot') && body.id_slot !== -1) {
    bump(counters.requestsBy, 'refused')
    return sendError(response, 400, 'invalid_request_error', '"id_slot" is chosen by Terrace: leave it out')
  }
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const guess = await guessPrompt(attachment.upstream, kind, body, gone.signal)
  if (gone.signal.aborted) {
    counters.clientsGone += 1
    return
  }
  const fits =
    guess.as === 'tokens' && guess.tokens.length > 0 && guess.tokens.length < attachment.contextTokens
  bump(counters.requestsBy, guess.as)
  const wanted: Wanted =
    guess.as === 'several'
      ? { as: 'all' }
      : { as: 'one', tenant: serving.tenant, prompt: fits ? guess.tokens : null }
  const taken = await attachment.slots.take(wanted, gone.signal)
  const slots = slotsOf(serving, taken, exchange)
  if (slots === null) return
  try {
    const [slot] = slots.slots
    if (fits && slot !== undefined) {
      await serveTokens(serving, exchange, { kind, json: body }, text, guess.tokens, slot, gone.signal)
      return
    }
    const why = guess.as === 'unknown' ? guess.why : guess.as === 'tokens' ? 'too_long' : guess.as
    await serveUnknown(
      serving,
      exchange,
      text,
      { kind, json: body },
      slots.slots,
      why,
      guess.as !== 'several' && kind !== 'messages',
    )
  } finally {
    slots.release()
  }
}

function slotsOf(serving: Serving, taken: Taken, exchange: Exchange): Extract<Taken, { as: 'slots' }> | null {
  if (taken.as === 'slots') return taken
  const { response } = exchange
  if (response.destroyed) serving.counters.clientsGone += 1
  else if (taken.as === 'full') {
    sendError(response, 503, 'overloaded_error', 'too many requests wait for this engine: try again', {
      'retry-after': '1',
    })
  } else sendError(response, 503, 'server_error', 'the engine went away: try again', { 'retry-after': '1' })
  return null
}

function parsedBody(text: string): Json | null {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Json) : null
  } catch {
    return null
  }
}

/** Passes a request on as it is; nothing is known of what it does to slots. */
export async function passThrough(
  serving: Serving,
  exchange: Exchange,
  bytes: Buffer | string | null,
  known: Known = null,
  added: Record<string, string> = {},
): Promise<void> {
  answerIfGone(serving, exchange, await ask(serving, exchange, asIs(bytes, known, added)))
}

/** What a request says and to which API, where that is known. */
type Known = Asked['known']

/** A request that nothing was prepared for. */
function asIs(body: Buffer | string | null, known: Known, added: Record<string, string>): Asked {
  const nothing = {
    chat: null,
    fields: {},
    before: null,
    unplaced: async () => undefined,
    renew: async () => null,
  }
  return { body, known, ...nothing, added, reports: true }
}

/** A request that the server computes in slots of its own choice gets all of them; afterwards nothing is known of any. */
export async function serveSpread(
  serving: Serving,
  exchange: Exchange,
  kind: PromptKind | null,
  bytes: Buffer,
): Promise<void> {
  const body = kind === null ? null : parsedBody(bytes.toString('utf8'))
  const known = kind === null || body === null ? null : { kind, json: body }
  const gone = new AbortController()
  exchange.response.once('close', () => gone.abort())
  const taken = slotsOf(serving, await serving.attachment.slots.take({ as: 'all' }, gone.signal), exchange)
  if (taken === null) return
  try {
    await serveUnknown(serving, exchange, bytes, known, taken.slots, 'several', false)
  } finally {
    taken.release()
  }
}

/** A prompt that is not understood is computed without any cache: in its slot alone when the API takes a slot (`placed`),
 *  else wherever the server puts it. */
async function serveUnknown(
  serving: Serving,
  exchange: Exchange,
  body: Buffer | string,
  known: Known,
  slots: readonly Slot[],
  why: string,
  placed: boolean,
): Promise<void> {
  const [slot] = slots
  const fields = placed && slot !== undefined ? { id_slot: slot.index, cache_prompt: false } : {}
  if (!placed) await eraseForeign(serving.attachment, slots, serving.tenant)
  for (const one of placed ? slots : serving.attachment.slots.slots) one.content = { as: 'unknown' }
  bump(serving.counters.reasons, why)
  const added = { 'x-terrace-reason': why, 'x-terrace-cached-tokens': cachedHeader(null) }
  answerIfGone(serving, exchange, await ask(serving, exchange, { ...asIs(body, known, added), fields }))
}

async function serveTokens(
  serving: Serving,
  exchange: Exchange,
  known: NonNullable<Known>,
  text: string,
  prompt: Uint32Array,
  slot: Slot,
  signal: AbortSignal,
): Promise<void> {
  const { attachment, session, tenant, world, counters } = serving
  const isPlaced = known.kind !== 'messages'
  const startMs = world.nowMs()
  if (slot.content.as === 'known' && slot.content.tenant !== tenant && slot.content.tokens.length > 0) {
    counters.tenantChanges += 1
  }
  const preparing = { attachment, session, slot, tenant, prompt, signal, world }
  const prepared = await prepare(preparing)
  if (prepared.as === 'client_gone') {
    counters.clientsGone += 1
    return keepNew(serving, slot, null)
  }
  if (prepared.as === 'refused') {
    return serveUnknown(serving, exchange, text, known, [slot], 'prompt_refused', isPlaced)
  }
  if (prepared.as === 'engine_gone')
    return answerIfGone(serving, exchange, { as: 'engine_gone', begun: false })
  const added = {
    'x-terrace-cached-tokens': cachedHeader(prepared.sources),
    'x-terrace-reason': prepared.reason,
  }
  slot.content = { as: 'known', tenant, tokens: prompt, whole: prepared.whole, grows: true }
  const placed = { id_slot: slot.index, cache_prompt: true, n_cache_reuse: 0 }
  const chat = isPlaced ? null : chatRequestOfMessages(known.json, text)
  const prepareMs = world.nowMs() - startMs
  const result = await ask(serving, exchange, {
    body: text,
    known,
    chat: chat === null ? null : { ...chat, ...placed },
    fields: isPlaced ? placed : {},
    added,
    before: prepared,
    reports: false,
    unplaced: () => (isPlaced ? Promise.resolve() : clearRivals(attachment, slot, prompt)),
    renew: () => renew(preparing),
  })
  settle(serving, exchange, slot, prompt, prepared, result)
  const firstTokenMs = result.as === 'ended' ? prepareMs + result.firstPieceMs : 0
  reportRequest(serving, prompt.length, prepared.sources, firstTokenMs)
  await keepNew(serving, slot, prepared.knownBlocks)
}

/** Takes the end of the prompt and what was computed behind it out of the slot again. */
async function renew(preparing: PrepareOptions): Promise<Gone | null> {
  const { slot, tenant, prompt } = preparing
  const prepared = await prepare(preparing)
  if (prepared.as === 'client_gone') return prepared
  if (prepared.as !== 'ready') return { as: 'engine_gone', begun: false }
  slot.content = { as: 'known', tenant, tokens: prompt, whole: prepared.whole, grows: true }
  return null
}

/** Books what a request did to its slot, and checks the guess of its prompt against what the answer says. */
function settle(
  serving: Serving,
  exchange: Exchange,
  slot: Slot,
  prompt: Uint32Array,
  prepared: Extract<Prepared, { as: 'ready' }>,
  result: Relayed,
): void {
  const { counters } = serving
  answerIfGone(serving, exchange, result)
  if (result.as === 'engine_gone') slot.content = { as: 'unknown' }
  if (result.as === 'ended' && result.status !== 200) slot.content = { as: 'unknown' }
  const seen = result.as === 'ended' ? result.seen : null
  if (seen !== null && (seen.promptTokens !== prompt.length || seen.cachedTokens !== prepared.whole)) {
    counters.wrongGuesses += 1
    slot.content = { as: 'unknown' }
  }
  const { sources } = prepared
  counters.promptTokens += prompt.length
  counters.tokensFrom.engine += sources.resident
  counters.tokensFrom.host += sources.byTier.host
  counters.tokensFrom.nvme += sources.byTier.nvme
  counters.tokensFrom.s3 += sources.byTier.s3
  counters.tokensFrom.computed += prompt.length - sources.resident - sources.loaded
  bump(counters.reasons, prepared.reason)
}

/** Saves and stores new whole blocks. Nothing that goes wrong here reaches the client, who has the answer already. */
async function keepNew(serving: Serving, slot: Slot, knownBlocks: number | null): Promise<void> {
  const { attachment, session, counters } = serving
  slot.finishing = true
  const kept = await keep(attachment, session, slot, knownBlocks).catch(
    () => ({ as: 'skipped', why: 'slot_folder' }) as const,
  )
  if (kept.as === 'unlike') counters.wrongGuesses += 1
  if (kept.as === 'skipped' || kept.as === 'save_failed')
    bump(counters.drops, kept.as === 'skipped' ? kept.why : 'save_failed')
  if (kept.as !== 'store') return
  counters.saves += 1
  void kept.store().then((stored) => {
    if (stored.as === 'failed') return bump(counters.drops, stored.why)
    counters.blocksStored += stored.stored
    counters.blocksAlready += stored.already
    if (stored.dropped > 0) bump(counters.drops, stored.drop, stored.dropped)
  })
}

function answerIfGone(serving: Serving, exchange: Exchange, result: Relayed): void {
  if (result.as === 'client_gone') serving.counters.clientsGone += 1
  if (result.as !== 'engine_gone') return
  serving.counters.enginesGone += 1
  if (result.begun) return
  const says = 'the engine went away before it answered: try again'
  sendError(exchange.response, 503, 'server_error', says, { 'retry-after': '1' })
}

/** Where the cached tokens of a prompt came from, for the answer's headers. */
function cachedHeader(sources: Sources | null): string {
  if (sources === null) return 'engine=0,host=0,nvme=0,s3=0'
  const { host, nvme, s3 } = sources.byTier
  return `engine=${sources.resident},host=${host},nvme=${nvme},s3=${s3}`
}
