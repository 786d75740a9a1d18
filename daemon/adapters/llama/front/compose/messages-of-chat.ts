import { field } from '../../json.ts'
import { ChatComposer } from './chat.ts'
import { type Composed, type Composer, countAt, isObject, type Json, textAt } from './composer.ts'

const stopReasons: Readonly<Record<string, string>> = { length: 'max_tokens', tool_calls: 'tool_use' }

/** Why an answer ended, in the words of the Anthropic API. `verbose`: the server's own account of it. */
export function stopOf(finish: string, verbose: unknown): Json {
  const word = textAt(verbose, 'stopping_word')
  return { stop_reason: stopReasons[finish] ?? 'end_turn', stop_sequence: word === '' ? null : word }
}

/** Puts chat chunks together to an answer of the Anthropic API, for a request that was sent to the chat API instead. */
export class MessagesOfChatComposer implements Composer {
  readonly endsWithDone = true
  readonly #chat = new ChatComposer()
  #verbose: Json | null = null

  get keptBytes(): number {
    return this.#chat.keptBytes
  }

  take(event: Json, byteCount: number): boolean {
    if (isObject(event.__verbose)) this.#verbose = event.__verbose
    return this.#chat.take(event, byteCount)
  }

  compose(): Composed {
    const composed = this.#chat.compose()
    if (composed.as !== 'answer') return composed
    // Without the server's account nobody knows the stop word.
    if (this.#verbose === null) return { as: 'again', why: 'unlike' }
    const choice = field(field(composed.json, 'choices'), '0')
    return {
      as: 'answer',
      json: {
        id: field(composed.json, 'id'),
        type: 'message',
        role: 'assistant',
        content: blocksOf(field(choice, 'message')),
        model: field(composed.json, 'model'),
        ...stopOf(textAt(choice, 'finish_reason'), this.#verbose),
        usage: usageOf(composed.json),
      },
    }
  }
}

function blocksOf(message: unknown): Json[] {
  const blocks: Json[] = []
  const thinking = textAt(message, 'reasoning_content')
  if (thinking !== '') blocks.push({ type: 'thinking', thinking, signature: '' })
  const text = textAt(message, 'content')
  if (text !== '') blocks.push({ type: 'text', text })
  const calls = field(message, 'tool_calls')
  for (const call of Array.isArray(calls) ? calls : []) {
    const called = field(call, 'function')
    const input = parsedOrEmpty(textAt(called, 'arguments'))
    blocks.push({ type: 'tool_use', id: textAt(call, 'id'), name: textAt(called, 'name'), input })
  }
  return blocks
}

function usageOf(answer: unknown): Json {
  const usage = field(answer, 'usage')
  const cached = Math.max(0, countAt(usage, 'prompt_tokens_details', 'cached_tokens'))
  return {
    cache_read_input_tokens: cached,
    input_tokens: countAt(answer, 'usage', 'prompt_tokens') - cached,
    output_tokens: countAt(answer, 'usage', 'completion_tokens'),
  }
}

/** Arguments that are no JSON are left out, as the server does. */
export function parsedOrEmpty(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
