import { reasonOf } from '../failure.ts'
import { fieldsOf } from '../trace/reader.ts'
import { EventCutter } from './sse.ts'

/** An OpenAI endpoint to drive. */
export type Endpoint = {
  /** Base address, with `/v1`. */
  readonly url: string
  readonly model: string
  readonly api: 'chat' | 'completions'
  readonly key: string | null
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
  readonly nowMs: () => number
}

/** Tokens by where they came from, as the answer says. */
type CachedBy = Readonly<Record<string, number>>

/** What became of one request. Times are on the endpoint's clock. */
export type Answer =
  | {
      readonly as: 'answered'
      readonly sentMs: number
      readonly firstTokenMs: number
      readonly endMs: number
      readonly outputTokens: number
      /** Null where the server does not say. */
      readonly promptTokens: number | null
      readonly cachedTokens: number | null
      readonly cachedBy: CachedBy
      readonly text: string
    }
  | { readonly as: 'failed'; readonly sentMs: number; readonly endMs: number; readonly why: string }

/** Most characters of an answer that are kept. */
const textKeptMax = 4_096

/** Sends one prompt, streaming; the time to first token is the time to the first piece with content. */
export async function ask(
  endpoint: Endpoint,
  prompt: string,
  outputTokensMax: number,
  stop: AbortSignal,
): Promise<Answer> {
  const sentMs = endpoint.nowMs()
  const failed = (why: string): Answer => ({ as: 'failed', sentMs, endMs: endpoint.nowMs(), why })
  const signal = AbortSignal.any([stop, AbortSignal.timeout(endpoint.timeoutMs)])
  try {
    const response = await fetch(
      `${endpoint.url}/${endpoint.api === 'chat' ? 'chat/completions' : 'completions'}`,
      {
        method: 'POST',
        headers: headersOf(endpoint),
        body: JSON.stringify(bodyOf(endpoint, prompt, outputTokensMax)),
        signal,
      },
    )
    if (!response.ok) {
      await response.body?.cancel()
      return failed(`HTTP ${response.status}`)
    }
    if (response.body === null) return failed('no body')
    const reading = new AnswerReading(endpoint.nowMs)
    const cutter = new EventCutter()
    for await (const bytes of response.body) for (const data of cutter.push(bytes)) reading.event(data)
    return reading.answer(sentMs, cachedByOf(response.headers.get('x-terrace-cached-tokens')))
  } catch (error) {
    if (stop.aborted) return failed('interrupted')
    return failed(signal.aborted ? 'timeout' : causeOf(error))
  }
}

function headersOf(endpoint: Endpoint): Record<string, string> {
  const key: Record<string, string> = endpoint.key === null ? {} : { authorization: `Bearer ${endpoint.key}` }
  return { 'content-type': 'application/json', ...key, ...endpoint.headers }
}

function bodyOf(endpoint: Endpoint, prompt: string, outputTokensMax: number): object {
  const asked = endpoint.api === 'chat' ? { messages: [{ role: 'user', content: prompt }] } : { prompt }
  return {
    model: endpoint.model,
    ...asked,
    max_tokens: Math.max(1, outputTokensMax),
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  }
}

/** The system's name for a network failure (`ECONNREFUSED`), which fetch hides inside. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  const code = (cause as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : reasonOf(error)
}

/** Follows the events of one answer. */
class AnswerReading {
  readonly #nowMs: () => number
  #firstTokenMs: number | null = null
  #lastTokenMs = 0
  #pieces = 0
  #text = ''
  #usage: Readonly<Record<string, unknown>> | null = null
  #error: string | null = null

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  event(data: string): void {
    if (data === '[DONE]') return
    const fields = fieldsOf(JSON.parse(data))
    if (fields === null) return
    if (fields.error !== undefined) this.#error = 'error inside the stream'
    this.#usage = fieldsOf(fields.usage) ?? this.#usage
    const [choice] = Array.isArray(fields.choices) ? fields.choices : []
    const text = contentOf(fieldsOf(choice))
    if (text === '') return
    this.#lastTokenMs = this.#nowMs()
    this.#firstTokenMs ??= this.#lastTokenMs
    this.#pieces += 1
    if (this.#text.length < textKeptMax) this.#text += text
  }

  answer(sentMs: number, cachedBy: CachedBy): Answer {
    const endMs = this.#lastTokenMs || this.#nowMs()
    if (this.#error !== null) return { as: 'failed', sentMs, endMs, why: this.#error }
    if (this.#firstTokenMs === null) return { as: 'failed', sentMs, endMs, why: 'no token' }
    const told = Object.values(cachedBy).reduce((sum, tokens) => sum + tokens, 0)
    const details = fieldsOf(this.#usage?.prompt_tokens_details)
    return {
      as: 'answered',
      sentMs,
      firstTokenMs: this.#firstTokenMs,
      endMs,
      outputTokens: countOf(this.#usage?.completion_tokens) ?? this.#pieces,
      promptTokens: countOf(this.#usage?.prompt_tokens),
      cachedTokens: countOf(details?.cached_tokens) ?? (Object.keys(cachedBy).length > 0 ? told : null),
      cachedBy,
      text: this.#text,
    }
  }
}

function contentOf(choice: Readonly<Record<string, unknown>> | null): string {
  if (typeof choice?.text === 'string') return choice.text
  const delta = fieldsOf(choice?.delta)
  for (const name of ['content', 'reasoning_content', 'reasoning']) {
    const value = delta?.[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return Array.isArray(delta?.tool_calls) ? ' ' : ''
}

function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null
}

/** `engine=64,host=0,nvme=128,s3=0` by name; empty when it is not of that form. */
export function cachedByOf(header: string | null): CachedBy {
  if (header === null || !/^\w+=\d{1,9}(,\s*\w+=\d{1,9})*$/.test(header)) return {}
  return Object.fromEntries(
    header.split(',').map((part) => {
      const [name = '', count = '0'] = part.trim().split('=')
      return [name, Number(count)]
    }),
  )
}
