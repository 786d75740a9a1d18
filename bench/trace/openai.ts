import { RequestDraft } from './builder.ts'
import {
  BadRecord,
  fieldsOf,
  type LineReader,
  objectOfLine,
  type ReaderContext,
  type TraceFormat,
} from './reader.ts'
import { charactersPerToken, fillFromText, logTimeMs } from './text.ts'

type Fields = Readonly<Record<string, unknown>>

/** Tokens per block when the log is cut by characters. */
const blockTokensUsual = 16

/** Names under which logs keep the request's body, its time and its session. */
const bodyNames = ['body', 'request', 'request_body']
const timeNames = ['timestamp', 'time', 'created_at', 'created', 'ts', 'start_time', 'startTime']
export const sessionNames = ['session_id', 'session', 'conversation_id', 'prompt_cache_key']
const tenantNames = ['tenant', 'user', 'organization']

/** Logs of OpenAI requests (and of other prompts as text). No tokenizer: prompts are cut by characters. */
export const openai: TraceFormat = {
  name: 'openai',
  kind: 'lines',
  about:
    'JSON lines {timestamp?, session_id?, body or request: {messages or prompt or input, tools?}, usage?}',
  fits: ({ json }) => {
    const fields = fieldsOf(json)
    return fields !== null && promptOf(fields, bodyOf(fields)) !== null
  },
  open: (context) => new OpenaiReader(context),
}

class OpenaiReader implements LineReader {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  readonly #blockTokens: number
  #startMs: number | null = null
  #withoutTime = 0

  constructor(context: ReaderContext) {
    this.#context = context
    this.#blockTokens = context.blockTokens ?? blockTokensUsual
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const fields = objectOfLine(bytes, start, end)
    const body = bodyOf(fields)
    const prompt = promptOf(fields, body)
    if (prompt === null) throw new BadRecord('no "messages", "prompt" or "input" in the line or its body')
    const draft = this.#draft
    draft.clear()
    fillFromText(prompt, this.#blockTokens, draft)
    draft.outputTokens = outputTokensOf(fields)
    draft.arrivalMs = this.#arrivalOf(fields)
    draft.session = nameIn(fields, body, sessionNames)
    draft.tenant = nameIn(fields, body, tenantNames)
    this.#context.builder.add(draft)
  }

  finish(): number {
    const characters = this.#blockTokens * charactersPerToken
    this.#context.assume(
      `no tokenizer: a block is ${characters} characters, taken as ${this.#blockTokens} tokens`,
    )
    if (this.#withoutTime > 0) {
      this.#context.assume(
        `${this.#withoutTime} requests name no time: placed one second after the one before`,
      )
    }
    return this.#blockTokens
  }

  #lastMs = 0

  #arrivalOf(fields: Fields): number {
    for (const name of timeNames) {
      const atMs = logTimeMs(fields[name])
      if (atMs === null) continue
      this.#startMs ??= atMs
      this.#lastMs = Math.max(0, atMs - this.#startMs)
      return this.#lastMs
    }
    this.#withoutTime += 1
    this.#lastMs += 1_000
    return this.#lastMs
  }
}

/** The request's body inside a log line. */
export function bodyOf(fields: Fields): Fields {
  for (const name of bodyNames) {
    const value = fields[name]
    const body = fieldsOf(typeof value === 'string' ? parsed(value) : value)
    if (body !== null) return body
  }
  return fields
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The prompt as one text, in the order in which chat templates write it: tools, then messages. */
export function promptOf(fields: Fields, body: Fields): string | null {
  const tools = body.tools === undefined ? '' : `${JSON.stringify(body.tools)}\n`
  for (const source of [body, fields]) {
    const messages = source.messages ?? source.input ?? source.prompt
    if (typeof messages === 'string') return tools + messages
    if (!Array.isArray(messages)) continue
    const system = typeof source.system === 'string' ? `system\n${source.system}\n` : ''
    return tools + system + messages.map(messageText).join('')
  }
  return null
}

function messageText(message: unknown): string {
  if (typeof message === 'string') return `${message}\n`
  const fields = fieldsOf(message)
  if (fields === null) return `${JSON.stringify(message)}\n`
  const content = typeof fields.content === 'string' ? fields.content : JSON.stringify(fields.content ?? '')
  const calls = fields.tool_calls === undefined ? '' : JSON.stringify(fields.tool_calls)
  return `${String(fields.role ?? '')}\n${content}${calls}\n`
}

function outputTokensOf(fields: Fields): number {
  const usage = fieldsOf(fields.usage) ?? fieldsOf(fieldsOf(fields.response)?.usage)
  const counted = usage?.completion_tokens ?? usage?.output_tokens
  if (typeof counted === 'number' && Number.isInteger(counted) && counted >= 0) return counted
  return typeof fields.output === 'string' ? Math.ceil(fields.output.length / charactersPerToken) : 0
}

/** The first of the names that the line or its body has, as text. */
export function nameIn(fields: Fields, body: Fields, names: readonly string[]): string | null {
  for (const name of names) {
    const value = fields[name] ?? body[name]
    if (typeof value === 'string' && value !== '') return value
    if (typeof value === 'number') return String(value)
  }
  return null
}
