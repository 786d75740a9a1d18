import type { Upstream } from '../engine/upstream.ts'
import { field } from '../json.ts'
import { chatOfMessages, chatOfResponses } from './convert.ts'
import type { PromptKind } from './endpoints.ts'

type Json = Record<string, unknown>

/** What is known of a request's prompt before the server computes it. `several`: the server will use more than one slot.
 *  `cold`: the client asked for no cache. A wrong guess is a miss: the server compares tokens by itself. */
export type PromptGuess =
  | { readonly as: 'tokens'; readonly tokens: Uint32Array }
  | { readonly as: 'unknown'; readonly why: 'template' | 'media' | 'adapters' | 'form' | 'cold' }
  | { readonly as: 'several' }

/** Asks the server for the tokens of the prompt in a body. */
export async function guessPrompt(
  upstream: Upstream,
  kind: PromptKind,
  body: Json,
  signal: AbortSignal,
): Promise<PromptGuess> {
  if (copiesOf(body) > 1) return { as: 'several' }
  if (field(body, 'cache_prompt') === false) return { as: 'unknown', why: 'cold' }
  if (Array.isArray(field(body, 'lora'))) return { as: 'unknown', why: 'adapters' }
  if (kind === 'completions' || kind === 'native') return textPrompt(upstream, field(body, 'prompt'), signal)
  const chat = kind === 'chat' ? body : kind === 'responses' ? chatOfResponses(body) : chatOfMessages(body)
  if (chat === null || hasMedia(chat)) return { as: 'unknown', why: 'media' }
  const reply = await upstream.post('/apply-template', chat, signal)
  const text = reply.as === 'ok' ? field(reply.json, 'prompt') : undefined
  if (typeof text !== 'string') return { as: 'unknown', why: 'template' }
  return tokenize(upstream, text, signal)
}

/** Answers that a body asks for to one prompt. */
export function copiesOf(body: Json): number {
  const counts = [field(body, 'n'), field(body, 'n_cmpl')].filter((count) => typeof count === 'number')
  return Math.max(1, ...counts)
}

function textPrompt(
  upstream: Upstream,
  prompt: unknown,
  signal: AbortSignal,
): Promise<PromptGuess> | PromptGuess {
  if (typeof prompt === 'string') return tokenize(upstream, prompt, signal)
  if (!Array.isArray(prompt) || prompt.length === 0) return { as: 'unknown', why: 'form' }
  if (prompt.every(isToken)) return { as: 'tokens', tokens: Uint32Array.from(prompt) }
  if (prompt.length > 1 && !prompt.some(isToken)) return { as: 'several' }
  return { as: 'unknown', why: 'form' }
}

function isToken(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31
}

async function tokenize(upstream: Upstream, content: string, signal: AbortSignal): Promise<PromptGuess> {
  const reply = await upstream.post('/tokenize', { content, add_special: true, parse_special: true }, signal)
  const tokens = reply.as === 'ok' ? field(reply.json, 'tokens') : undefined
  if (!Array.isArray(tokens) || !tokens.every(isToken)) return { as: 'unknown', why: 'form' }
  return { as: 'tokens', tokens: Uint32Array.from(tokens) }
}

/** Whether any content part of a chat is something else than text. */
function hasMedia(chat: Json): boolean {
  const messages = field(chat, 'messages')
  if (!Array.isArray(messages)) return false
  return messages.some((message) => {
    const content = field(message, 'content')
    return Array.isArray(content) && content.some((part) => field(part, 'type') !== 'text')
  })
}

/** The body with fields of ours behind its own. Text is added, nothing is written anew, so numbers and order stay as
 *  the client wrote them; of a name given twice the server takes the last. */
export function bodyWith(text: string, fields: Readonly<Json>): string {
  const end = text.lastIndexOf('}')
  const inner = Object.entries(fields).map(([name, value]) => `"${name}":${JSON.stringify(value)}`)
  const comma = /^\s*\{\s*$/.test(text.slice(0, end)) ? '' : ','
  return `${text.slice(0, end)}${comma}${inner.join(',')}}`
}
