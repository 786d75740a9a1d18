import type { Json } from './compose/composer.ts'
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
  /** Fields to add to the body. */
  readonly fields: Readonly<Json>
  /** Headers to add to the answer. */
  readonly added: Record<string, string>
  readonly before: Before | null
  /** Whether the engine is to report while it computes the prompt: by this alone it notices a client that goes meanwhile. */
  readonly reports: boolean
  /** Makes the engine ready to be asked once more; or says who went away meanwhile. */
  readonly renew: () => Promise<Gone | null>
}

/** A header by which the server goes on with a stream that nobody reads; its sense is lost when the stream ends here. */
const conversationHeader = 'x-conversation-id'

/** Asks the engine. What is not wanted as a stream is asked for as one and put together, because an engine notices at once
 *  that nobody reads a stream any more, and only after long that nobody waits for an answer. Where the stream does not tell
 *  the answer, the engine is asked again for the answer itself. */
export async function ask(serving: Serving, exchange: Exchange, asked: Asked): Promise<Relayed> {
  const { attachment, composing, counters } = serving
  const { known } = asked
  const choice = known === null ? null : composing.choose(known.kind, known.json, attachment)
  if (known !== null && choice?.as === 'compose') {
    const progress = asked.reports ? { return_progress: true } : {}
    const fields = { ...asked.fields, ...choice.fields, ...progress }
    const result = await send(serving, exchange, asked, fields, choice.composer)
    if (result.as === 'ended' && result.status === 200) counters.composed += 1
    if (result.as !== 'again') return result
    bump(counters.askedAgain, result.why)
    if (result.why === 'unlike') composing.avoid(known.kind)
    const gone = await asked.renew()
    if (gone !== null) return gone
  }
  return send(serving, exchange, asked, asked.fields, null)
}

function send(
  serving: Serving,
  exchange: Exchange,
  asked: Asked,
  fields: Readonly<Json>,
  composer: Parameters<typeof relay>[1]['composer'],
): Promise<Relayed> {
  const { request, response } = exchange
  const headers = passedHeaders(request.headers)
  if (composer !== null) delete headers[conversationHeader]
  const { body, added, before } = asked
  return relay(response, {
    upstream: serving.attachment.upstream,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers,
    body: body === null || Object.keys(fields).length === 0 ? body : bodyWith(body.toString(), fields),
    added,
    before,
    composer,
    world: serving.world,
  })
}
