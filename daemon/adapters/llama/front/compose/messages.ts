import { field } from '../../json.ts'
import { again, type Composed, type Composer, countAt, isObject, type Json, textAt } from './composer.ts'
import { parsedOrEmpty } from './messages-of-chat.ts'

type Call = { readonly id: string; readonly name: string; readonly input: string[] }

/** Puts the events of an Anthropic Messages stream together. Blocks are told apart by what they hold: the server numbers
 *  them as it finds them, but an answer that is not streamed always has thoughts, text and calls in this order. */
export class MessagesComposer implements Composer {
  readonly endsWithDone = false
  keptBytes = 0
  #start: Json | null = null
  #end: Json | null = null
  #stopped = false
  #deltaCount = 0
  readonly #thoughts: string[] = []
  readonly #texts: string[] = []
  readonly #calls = new Map<string, Call>()
  /** The call of each open block. */
  readonly #open = new Map<unknown, Call>()

  take(event: Json): boolean {
    if (this.#stopped) return false
    switch (event.type) {
      case 'message_start':
        this.#start = isObject(event.message) ? event.message : null
        return this.#start !== null
      case 'content_block_start':
        return this.#block(event)
      case 'content_block_delta':
        return this.#delta(event)
      case 'message_delta':
        this.#end = event
        return isObject(event.delta) && countAt(event, 'usage', 'output_tokens') >= 0
      case 'message_stop':
        this.#stopped = true
        return true
      default:
        return event.type === 'content_block_stop' || event.type === 'ping'
    }
  }

  compose(): Composed {
    const [start, end] = [this.#start, this.#end]
    if (end === null || !this.#stopped) return { as: 'gone' }
    // The first event comes with the first token, and with none when that one has no text of its own.
    if (start === null || this.#isCut(end)) return again('cut')
    const content: Json[] = []
    if (this.#thoughts.length > 0) {
      content.push({ type: 'thinking', thinking: this.#thoughts.join(''), signature: '' })
    }
    if (this.#texts.length > 0) content.push({ type: 'text', text: this.#texts.join('') })
    for (const { id, name, input } of this.#calls.values()) {
      content.push({ type: 'tool_use', id, name, input: parsedOrEmpty(input.join('')) })
    }
    const usage = { ...(isObject(start.usage) ? start.usage : {}), ...(isObject(end.usage) ? end.usage : {}) }
    return { as: 'answer', json: { ...start, content, ...(isObject(end.delta) ? end.delta : {}), usage } }
  }

  #block(event: Json): boolean {
    const block = event.content_block
    const type = field(block, 'type')
    if (type === 'text' || type === 'thinking') return textAt(block, type) === ''
    if (type !== 'tool_use') return false
    const id = textAt(block, 'id')
    if (id === '') return false
    const call = this.#calls.get(id) ?? { id, name: textAt(block, 'name'), input: [] }
    this.#calls.set(id, call)
    this.#open.set(event.index, call)
    return true
  }

  #delta(event: Json): boolean {
    const { delta, index } = event
    this.#deltaCount++
    this.keptBytes += textAt(delta, 'text').length + textAt(delta, 'thinking').length
    this.keptBytes += textAt(delta, 'partial_json').length
    switch (field(delta, 'type')) {
      case 'text_delta':
        this.#texts.push(textAt(delta, 'text'))
        return true
      case 'thinking_delta':
        this.#thoughts.push(textAt(delta, 'thinking'))
        return true
      case 'input_json_delta':
        this.#open.get(index)?.input.push(textAt(delta, 'partial_json'))
        return this.#open.has(index)
      case 'signature_delta':
        this.#deltaCount--
        return textAt(delta, 'signature') === ''
      default:
        return false
    }
  }

  /** Whether the answer may end in text that was not streamed. Nothing but their number tells whether all tokens were. */
  #isCut(end: Json): boolean {
    const tokens = countAt(end, 'usage', 'output_tokens')
    if (field(end.delta, 'stop_reason') === 'max_tokens') return this.#deltaCount < tokens
    return tokens > 1 && this.#texts.length + this.#thoughts.length + this.#calls.size === 0
  }
}
