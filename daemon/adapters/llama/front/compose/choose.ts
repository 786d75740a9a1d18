import type { Attachment } from '../../cache/attach.ts'
import { field } from '../../json.ts'
import type { PromptKind } from '../endpoints.ts'
import { copiesOf } from '../prompt.ts'
import { ChatComposer } from './chat.ts'
import type { Composer, Json } from './composer.ts'
import { MessagesComposer } from './messages.ts'
import { type Ends, ResponsesComposer } from './responses.ts'
import { CompletionsComposer, NativeComposer } from './text.ts'

/** How a request is sent on: as it is, or as a stream (with fields of ours added to its body) that is put together to
 *  the answer that it asked for. */
export type Choice =
  | { readonly as: 'plain'; readonly why: string }
  | { readonly as: 'compose'; readonly fields: Readonly<Json>; readonly composer: Composer }

/** What has to be known of the server. */
export type Server = Pick<Attachment, 'thoughts' | 'contextTokens'>

/** Probabilities per token that are put together. Why: more is the most that OpenAI's API gives, and fills memory. */
const probabilitiesMax = 20

type Rule = {
  readonly why: string
  readonly kinds: readonly PromptKind[]
  readonly holds: (body: Json, kind: PromptKind) => boolean
}

const all: readonly PromptKind[] = ['chat', 'completions', 'native', 'responses', 'messages']

/** Requests that are sent on as they are, because the stream does not carry all that their answer would. First match. */
const plain: readonly Rule[] = [
  {
    why: 'streamed',
    kinds: all,
    holds: ({ stream }) => stream !== undefined && stream !== null && stream !== false,
  },
  // What is computed before the text is read back into the answer, and no stream repeats it.
  { why: 'continued', kinds: ['chat', 'messages'], holds: continues },
  // Only the tokens that say something carry theirs.
  { why: 'probabilities', kinds: ['chat'], holds: (body) => probabilitiesOf(body) > 0 },
  // A stop word that was found takes as many tokens back as it would have by itself.
  {
    why: 'probabilities',
    kinds: ['completions', 'native'],
    holds: (body) => {
      const count = probabilitiesOf(body)
      return count > probabilitiesMax || (count > 0 && hasStops(body))
    },
  },
  // Half characters are not streamed, and nor are their tokens.
  { why: 'tokens', kinds: ['native'], holds: ({ return_tokens: tokens }) => isOn(tokens) },
  { why: 'chosen_fields', kinds: ['native'], holds: ({ response_fields: fields }) => isOn(fields) },
  { why: 'verbose', kinds: ['chat', 'completions'], holds: ({ verbose }) => isOn(verbose) },
  // The text is cut after it was streamed.
  {
    why: 'indent',
    kinds: ['chat', 'completions', 'native', 'responses'],
    holds: ({ n_indent: n }) => isOn(n),
  },
  {
    why: 'thoughts_in_text',
    kinds: ['chat', 'responses'],
    holds: ({ reasoning_format: format }) => format === 'deepseek-legacy',
  },
  // Events of this API do not say which of several answers they belong to.
  { why: 'several', kinds: ['responses'], holds: (body) => copiesOf(body) > 1 },
]

const isOn = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && value !== 0

/** Decides by the request alone. */
export function choose(kind: PromptKind, body: Json, server: Server): Choice {
  const rule = plain.find(({ kinds, holds }) => kinds.includes(kind) && holds(body, kind))
  if (rule !== undefined) return { as: 'plain', why: rule.why }
  const isText = kind === 'completions' || kind === 'native'
  if (!isText && server.thoughts !== 'apart') return { as: 'plain', why: 'thoughts_in_text' }
  return { as: 'compose', ...composing(kind, body, server.contextTokens) }
}

/** The counts of every token tell whether the text of the last one was streamed. */
const countFields = { stream: true, timings_per_token: true }
/** Fields of a chat request whose stream tells all. */
export const chatFields: Readonly<Json> = { ...countFields, stream_options: { include_usage: true } }

function composing(
  kind: PromptKind,
  body: Json,
  contextTokens: number,
): { fields: Readonly<Json>; composer: Composer } {
  switch (kind) {
    case 'chat':
      return { fields: chatFields, composer: new ChatComposer() }
    case 'completions':
      return { fields: countFields, composer: new CompletionsComposer(hasStops(body)) }
    case 'native':
      return { fields: { stream: true }, composer: new NativeComposer(hasStops(body)) }
    case 'responses':
      return { fields: countFields, composer: new ResponsesComposer(endsOf(body, contextTokens)) }
    case 'messages':
      return { fields: { stream: true }, composer: new MessagesComposer() }
  }
}

function endsOf(body: Json, contextTokens: number): Ends {
  const limits = [body.max_output_tokens, body.max_completion_tokens, body.max_tokens, body.n_predict]
  return { answerTokens: limits.filter((limit) => typeof limit === 'number'), contextTokens }
}

function continues(body: Json): boolean {
  const last: unknown = Array.isArray(body.messages) ? body.messages.at(-1) : undefined
  if (field(last, 'role') === 'assistant') return true
  return isOn(body.continue_final_message) || isOn(body.echo)
}

/** The most probabilities per token that the body asks for, under either name. A switch counts as one. */
function probabilitiesOf(body: Json): number {
  const counts = [body.n_probs, body.logprobs, body.top_logprobs].map((value) => (value === true ? 1 : value))
  return Math.max(0, ...counts.filter((count) => typeof count === 'number'))
}

function hasStops(body: Json): boolean {
  const { stop } = body
  return Array.isArray(stop) ? stop.length > 0 : isOn(stop) && stop !== ''
}
