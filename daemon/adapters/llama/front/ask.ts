import type { Reading } from './answer-writer.ts'
import { chatFields } from './compose/choose.ts'
import type { Json } from './compose/composer.ts'
import { MessagesEvents } from './compose/messages-events.ts'
import { MessagesOfChatComposer } from './compose/messages-of-chat.ts'
import { bump } from './counters.ts'
import type { PromptKind } from './endpoints.ts'
import { bodyWith } from './prompt.ts'
import { passedHeaders, type Relayed, relay } from './relay.ts'
import type { Exchange, Serving } from './request.ts'
import type { Before } from './usage.ts'

export type Gone = Extract<Relayed, { as: 'client_gone' | 'engine_gone' }>

/** A request as it is to reach the engine. */
export type Asked = {
  readonly body: Buffer | string | null
  /** What the body says and to which API, when that is known: only then its stream can be put together. */
  readonly known: { readonly kind: PromptKind; readonly json: Json } | null
  /** The same for the chat API, slot included, of a request whose own API takes no slot; null when there is none. */
  readonly chat: Json | null
  /** Fields to add to the body. */
  readonly fields: Readonly<Json>
  /** Headers to add to the answer. */
  readonly added: Record<string, string>
  readonly before: Before | null
  /** Whether the engine is to report while it computes the prompt: by this alone it notices a client that goes meanwhile. */
  readonly reports: boolean
  /** Called before the request goes to its own API, which for some takes no slot. */
  readonly unplaced: () => Promise<void>
  /** Makes the engine ready to be asked once more; or says who went away meanwhile. */
  readonly renew: () => Promise<Gone | null>
}

/** Where and how a request is sent, and what is made of the stream that comes. */
type Way = {
  readonly path: string
  readonly body: Buffer | string | null
  readonly reading: Reading | null
}

const chatPath = '/v1/chat/completions'
/** Headers that are not passed on with a stream that is read here: by the first the server goes on with a stream that nobody
 *  reads, by the second it may pack what is to be read. */
const streamHeaders = ['x-conversation-id', 'accept-encoding']

/** Asks the engine. What is not wanted as a stream is asked for as one and put together, because an engine notices at once
 *  that nobody reads a stream any more, and only after long that nobody waits for an answer. Where the stream does not tell
 *  the answer, the engine is asked again for the answer itself. */
export async function ask(serving: Serving, exchange: Exchange, asked: Asked): Promise<Relayed> {
  const ownPath = exchange.request.url ?? '/'
  const way = readWay(serving, ownPath, asked)
  if (way !== null) {
    if (way.path === ownPath) await asked.unplaced()
    const result = await send(serving, exchange, asked, way)
    if (asked.known !== null && way.reading?.as === 'compose') book(serving, asked.known.kind, result)
    if (result.as !== 'again') return result
    const gone = await asked.renew()
    if (gone !== null) return gone
  }
  await asked.unplaced()
  return send(serving, exchange, asked, { path: ownPath, body: withFields(asked, {}), reading: null })
}

/** Books what came of composing an answer. */
function book({ composing, counters }: Serving, kind: PromptKind, result: Relayed): void {
  if (result.as === 'again') {
    bump(counters.askedAgain, result.why)
    composing.saw(kind, result.why)
  } else if (result.as === 'ended' && result.status === 200) {
    counters.composed += 1
    composing.saw(kind, 'composed')
  }
}

/** The way by a stream that is read here; null when the request is sent on as it is. */
function readWay(serving: Serving, ownPath: string, asked: Asked): Way | null {
  const { attachment, composing } = serving
  const { known, chat } = asked
  if (known === null) return null
  const choice = composing.choose(known.kind, known.json, attachment)
  if (chat !== null && !composing.avoided().includes('messages')) {
    const reading = readingOfChat(choice.as === 'compose', known.json)
    const body = JSON.stringify({ ...chat, ...chatFields, verbose: true })
    if (reading !== null) return { path: chatPath, body, reading }
  }
  if (choice.as === 'plain') return null
  const progress = asked.reports ? { return_progress: true } : {}
  const { composer } = choice
  const body = withFields(asked, { ...choice.fields, ...progress })
  return { path: ownPath, body, reading: { as: 'compose', composer } }
}

/** What is made of the chat stream of a Messages request. */
function readingOfChat(composes: boolean, json: Json): Reading | null {
  if (json.stream === true) return { as: 'translate', events: new MessagesEvents() }
  return composes ? { as: 'compose', composer: new MessagesOfChatComposer() } : null
}

function withFields({ body, fields }: Asked, more: Json): Way['body'] {
  const all = { ...fields, ...more }
  return body === null || Object.keys(all).length === 0 ? body : bodyWith(body.toString(), all)
}

function send(serving: Serving, exchange: Exchange, asked: Asked, way: Way): Promise<Relayed> {
  const { request, response } = exchange
  const headers = passedHeaders(request.headers)
  if (way.reading !== null) for (const name of streamHeaders) delete headers[name]
  return relay(response, {
    upstream: serving.attachment.upstream,
    method: request.method ?? 'GET',
    headers,
    ...way,
    added: asked.added,
    before: asked.before,
    world: serving.world,
  })
}
