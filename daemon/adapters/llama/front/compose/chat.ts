import {
  again,
  type Composed,
  type Composer,
  countAt,
  hasOnly,
  inOrder,
  isObject,
  type Json,
  textAt,
} from './composer.ts'

/** One of the answers of a request: a request may ask for several. */
type Part = {
  content: string[]
  reasoning: string[]
  readonly calls: Map<number, { id: string; name: string; arguments: string[] }>
  finish: string | null
  /** Tokens that were computed when something was last said. */
  saidTokens: number
  /** The event with the counts, which is the answer's frame. */
  frame: Json | null
}

const deltaNames = new Set(['role', 'content', 'reasoning_content', 'tool_calls'])
const choiceNames = new Set(['finish_reason', 'index', 'delta'])
const callNames = new Set(['index', 'id', 'type', 'function'])

/** Puts chat chunks together to a chat completion. */
export class ChatComposer implements Composer {
  readonly endsWithDone = true
  keptBytes = 0
  readonly #parts = new Map<number, Part>()
  /** The part whose end came last: the event with its counts comes next and does not say whose it is. */
  #ended: Part | null = null

  take(event: Json, byteCount: number): boolean {
    const { choices } = event
    if (event.object !== 'chat.completion.chunk' || !Array.isArray(choices)) return false
    if (choices.length === 0) return this.#counts(event)
    const choice: unknown = choices[0]
    if (choices.length !== 1 || !isObject(choice) || !hasOnly(choice, choiceNames)) return false
    const { index, delta, finish_reason: finish } = choice
    if (typeof index !== 'number' || !isObject(delta) || !hasOnly(delta, deltaNames)) return false
    const part = this.#part(index)
    if (part.finish !== null || !addDelta(part, delta)) return false
    this.keptBytes += textAt(delta, 'content').length + textAt(delta, 'reasoning_content').length
    if (delta.tool_calls !== undefined) this.keptBytes += byteCount
    if (saysSomething(delta))
      part.saidTokens = Math.max(part.saidTokens, countAt(event, 'timings', 'predicted_n'))
    if (finish === null) return true
    if (typeof finish !== 'string') return false
    part.finish = finish
    this.#ended = part
    return true
  }

  compose(): Composed {
    const parts = inOrder(this.#parts)
    if (parts === null) return { as: 'gone' }
    const choices: Json[] = []
    for (const [index, part] of parts.entries()) {
      if (part.finish === null || part.frame === null) return { as: 'gone' }
      if (isCut(part)) return again('cut')
      choices.push({ finish_reason: part.finish, index, message: messageOf(part) })
    }
    const { choices: _, object: __, ...frame } = parts[0].frame ?? {}
    return { as: 'answer', json: { choices, object: 'chat.completion', ...frame } }
  }

  #counts(event: Json): boolean {
    const part = this.#ended
    this.#ended = null
    if (part === null || countAt(event, 'usage', 'completion_tokens') < 0) return false
    part.frame = event
    return true
  }

  #part(index: number): Part {
    const known = this.#parts.get(index)
    if (known !== undefined) return known
    const part = {
      content: [],
      reasoning: [],
      calls: new Map(),
      finish: null,
      saidTokens: 0,
      frame: null,
    }
    this.#parts.set(index, part)
    return part
  }
}

function saysSomething(delta: Json): boolean {
  return Boolean(delta.content) || Boolean(delta.reasoning_content) || delta.tool_calls !== undefined
}

function addDelta(part: Part, delta: Json): boolean {
  const {
    role = 'assistant',
    content = null,
    reasoning_content: reasoning = null,
    tool_calls: calls = [],
  } = delta
  if (role !== 'assistant' || !Array.isArray(calls)) return false
  if (content !== null && typeof content !== 'string') return false
  if (reasoning !== null && typeof reasoning !== 'string') return false
  if (content) part.content.push(content)
  if (reasoning) part.reasoning.push(reasoning)
  return calls.every((call) => addCall(part, call))
}

/** A call's name comes whole, its arguments in parts. */
function addCall(part: Part, call: unknown): boolean {
  if (!isObject(call) || typeof call.index !== 'number' || !hasOnly(call, callNames)) return false
  if (call.type !== undefined && call.type !== 'function') return false
  const known = part.calls.get(call.index) ?? { id: '', name: '', arguments: [] }
  part.calls.set(call.index, known)
  known.id = textAt(call, 'id') || known.id
  known.name = textAt(call.function, 'name') || known.name
  const text = textAt(call.function, 'arguments')
  if (text !== '') known.arguments.push(text)
  return true
}

/** Whether the answer may end in text that was not streamed. An answer that ends by itself has all its text streamed, but
 *  for one that says nothing at all: then the server answers with text that its parser made nothing of. */
function isCut(part: Part): boolean {
  const tokens = countAt(part.frame, 'usage', 'completion_tokens')
  if (part.finish === 'length') return part.saidTokens < tokens
  return tokens > 1 && part.content.length + part.reasoning.length + part.calls.size === 0
}

function messageOf(part: Part): Json {
  const message: Json = { role: 'assistant', content: part.content.join('') }
  if (part.reasoning.length > 0) message.reasoning_content = part.reasoning.join('')
  if (part.calls.size > 0) {
    message.tool_calls = [...part.calls.values()].map(({ id, name, arguments: texts }) => ({
      type: 'function',
      function: { name, arguments: texts.join('') },
      ...(id === '' ? {} : { id }),
    }))
  }
  return message
}
