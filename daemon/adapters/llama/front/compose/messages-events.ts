import { field } from '../../json.ts'
import { countAt, isObject, type Json, textAt } from './composer.ts'
import { stopOf } from './messages-of-chat.ts'

/** One event of an Anthropic stream. */
export type NamedEvent = { readonly name: string; readonly data: Json }

const named = (data: Json): NamedEvent => ({ name: String(data.type), data })

/** Tells the chat stream of one answer in the events of the Anthropic API, as the server itself would have: with its numbers
 *  for blocks, and with its beginning blocks anew in the last step. */
export class MessagesEvents {
  #started = false
  /** Chunks of the first token, which wait for the counts that come with its last one. */
  #waiting: Json[] | null = null
  /** Blocks that were begun, as the server sees it: it forgets them in the last step. */
  #thinkingBegun = false
  #textBegun = false
  #callsBegun: Set<number> | null = null
  #hasThinking = false
  #hasText = false
  readonly #calls: { id: string; name: string }[] = []
  #verbose: Json | null = null

  take(chunk: Json): NamedEvent[] {
    if (isObject(chunk.error)) return [{ name: 'error', data: chunk.error }]
    const delta = field(field(field(chunk, 'choices'), '0'), 'delta')
    if (!isObject(delta)) return []
    if (!this.#started && this.#waiting === null && delta.role !== undefined) this.#waiting = []
    if (this.#waiting === null) return this.#chunk(chunk, delta)
    this.#waiting.push(chunk)
    if (!isObject(chunk.timings)) return []
    const waiting = this.#waiting
    this.#waiting = null
    this.#started = true
    return [startOf(chunk), ...waiting.flatMap((each) => this.take(each))]
  }

  #chunk(chunk: Json, delta: Json): NamedEvent[] {
    if (isObject(chunk.__verbose)) {
      this.#verbose = chunk.__verbose
      this.#thinkingBegun = false
      this.#textBegun = false
      this.#callsBegun = new Set()
    }
    const events = this.#delta(delta)
    const finish = field(field(chunk.choices, '0'), 'finish_reason')
    if (typeof finish === 'string') events.push(...this.#ends(finish, chunk))
    return events
  }

  #delta(delta: Json): NamedEvent[] {
    const events: NamedEvent[] = []
    const thinking = textAt(delta, 'reasoning_content')
    if (thinking !== '') {
      if (!this.#thinkingBegun) events.push(begin(0, { type: 'thinking', thinking: '' }))
      this.#thinkingBegun = true
      this.#hasThinking = true
      events.push(part(0, { type: 'thinking_delta', thinking }))
    }
    const text = textAt(delta, 'content')
    if (text !== '') {
      const index = Number(this.#hasThinking)
      if (!this.#textBegun) events.push(begin(index, { type: 'text', text: '' }))
      this.#textBegun = true
      this.#hasText = true
      events.push(part(index, { type: 'text_delta', text }))
    }
    for (const call of Array.isArray(delta.tool_calls) ? delta.tool_calls : [])
      events.push(...this.#call(call))
    return events
  }

  #call(call: unknown): NamedEvent[] {
    const number = field(call, 'index')
    // Calls come in order; what has another number is not from this server.
    if (typeof number !== 'number' || !(number in this.#calls || number === this.#calls.length)) return []
    const id = textAt(call, 'id')
    const name = textAt(field(call, 'function'), 'name')
    const known = this.#calls[number] ?? { id: '', name: '' }
    this.#calls[number] = { id: id || known.id, name: name || known.name }
    const index = Number(this.#hasThinking) + Number(this.#hasText) + number
    const begins = this.#callsBegun === null ? name !== '' : !this.#callsBegun.has(number)
    this.#callsBegun?.add(number)
    const events = begins ? [begin(index, { type: 'tool_use', ...this.#calls[number] })] : []
    const partial = textAt(field(call, 'function'), 'arguments')
    if (partial !== '') events.push(part(index, { type: 'input_json_delta', partial_json: partial }))
    return events
  }

  #ends(finish: string, chunk: Json): NamedEvent[] {
    const events: NamedEvent[] = []
    const blockCount = Number(this.#hasThinking) + Number(this.#hasText) + this.#calls.length
    if (this.#hasThinking) events.push(part(0, { type: 'signature_delta', signature: '' }))
    for (let index = 0; index < blockCount; index++) events.push(named({ type: 'content_block_stop', index }))
    const predicted = field(this.#verbose, 'tokens_predicted')
    const tokens = typeof predicted === 'number' ? predicted : countAt(chunk, 'timings', 'predicted_n')
    const delta = stopOf(finish, this.#verbose)
    events.push(named({ type: 'message_delta', delta, usage: { output_tokens: Math.max(0, tokens) } }))
    events.push(named({ type: 'message_stop' }))
    return events
  }
}

/** The beginning of an answer; its counts are those of the prompt. */
function startOf(chunk: Json): NamedEvent {
  const message = {
    id: chunk.id,
    type: 'message',
    role: 'assistant',
    content: [],
    model: chunk.model,
    stop_reason: null,
    stop_sequence: null,
    usage: {
      cache_read_input_tokens: Math.max(0, countAt(chunk, 'timings', 'cache_n')),
      input_tokens: Math.max(0, countAt(chunk, 'timings', 'prompt_n')),
      output_tokens: 0,
    },
  }
  return named({ type: 'message_start', message })
}

const begin = (index: number, content_block: Json): NamedEvent =>
  named({ type: 'content_block_start', index, content_block })

const part = (index: number, delta: Json): NamedEvent => named({ type: 'content_block_delta', index, delta })
