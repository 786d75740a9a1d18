import { field } from '../../json.ts'
import {
  again,
  type Composed,
  type Composer,
  countAt,
  hasOnly,
  inOrder,
  isObject,
  type Json,
} from './composer.ts'

/** One of the answers of a request: several prompts, or several answers to one, share a stream. */
type Part = {
  texts: string[]
  probabilities: unknown[]
  /** Tokens that were computed at the last event that was not the end. */
  sentTokens: number
  last: Json | null
}

class Parts {
  readonly #parts = new Map<number, Part>()

  at(index: number): Part {
    const known = this.#parts.get(index)
    if (known !== undefined) return known
    const part: Part = { texts: [], probabilities: [], sentTokens: 0, last: null }
    this.#parts.set(index, part)
    return part
  }

  inOrder(): readonly [Part, ...Part[]] | null {
    return inOrder(this.#parts)
  }
}

/** Whether the answer may end in text that was not streamed: the last tokens were not sent because they end within a
 *  character, or were sent without their text because it may be the beginning of a stop word. */
function isCut(part: Part, tokens: number, byLimit: boolean, hasStops: boolean): boolean {
  if (part.sentTokens < tokens) return true
  return byLimit && hasStops && tokens > 0 && part.texts.at(-1) === ''
}

const choiceNames = new Set(['text', 'index', 'logprobs', 'finish_reason'])

/** Puts chunks of the OpenAI completions API together. */
export class CompletionsComposer implements Composer {
  readonly endsWithDone = true
  keptBytes = 0
  readonly #parts = new Parts()
  readonly #hasStops: boolean

  constructor(hasStops: boolean) {
    this.#hasStops = hasStops
  }

  take(event: Json, byteCount: number): boolean {
    const { choices } = event
    const choice: unknown = Array.isArray(choices) && choices.length === 1 ? choices[0] : null
    if (event.object !== 'text_completion' || !isObject(choice) || !hasOnly(choice, choiceNames)) return false
    if (typeof choice.index !== 'number' || typeof choice.text !== 'string') return false
    const part = this.#parts.at(choice.index)
    if (part.last !== null) return false
    const entries = field(choice.logprobs, 'content')
    this.keptBytes += Array.isArray(entries) ? byteCount : choice.text.length
    if (Array.isArray(entries)) part.probabilities.push(...entries)
    if (typeof choice.finish_reason === 'string') {
      part.last = event
      return choice.text === '' && countAt(event, 'usage', 'completion_tokens') >= 0
    }
    if (event.prompt_progress !== undefined) return true
    part.texts.push(choice.text)
    part.sentTokens = Math.max(part.sentTokens, countAt(event, 'timings', 'predicted_n'))
    return true
  }

  compose(): Composed {
    const parts = this.#parts.inOrder()
    if (parts === null) return { as: 'gone' }
    const choices: Json[] = []
    for (const [index, part] of parts.entries()) {
      if (part.last === null) return { as: 'gone' }
      const finish = field(field(part.last.choices, '0'), 'finish_reason')
      const tokens = countAt(part.last, 'usage', 'completion_tokens')
      if (isCut(part, tokens, finish === 'length', this.#hasStops)) return again('cut')
      const logprobs = part.probabilities.length === 0 ? null : { content: part.probabilities }
      choices.push({ text: part.texts.join(''), index, logprobs, finish_reason: finish })
    }
    return { as: 'answer', json: { ...parts[0].last, choices } }
  }
}

/** Puts chunks of llama.cpp's own completion together. Several prompts give a list. */
export class NativeComposer implements Composer {
  readonly endsWithDone = false
  keptBytes = 0
  readonly #parts = new Parts()
  readonly #hasStops: boolean

  constructor(hasStops: boolean) {
    this.#hasStops = hasStops
  }

  take(event: Json, byteCount: number): boolean {
    const { index, content, stop } = event
    if (typeof index !== 'number' || typeof content !== 'string' || typeof stop !== 'boolean') return false
    const part = this.#parts.at(index)
    if (part.last !== null) return false
    if (stop) {
      part.last = event
      return (
        content === '' && isObject(event.generation_settings) && typeof event.tokens_predicted === 'number'
      )
    }
    if (event.prompt_progress !== undefined) return true
    const entries = event.completion_probabilities
    this.keptBytes += Array.isArray(entries) ? byteCount : content.length
    if (Array.isArray(entries)) part.probabilities.push(...entries)
    part.texts.push(content)
    if (typeof event.tokens_predicted !== 'number') return false
    part.sentTokens = Math.max(part.sentTokens, event.tokens_predicted)
    return true
  }

  compose(): Composed {
    const parts = this.#parts.inOrder()
    if (parts === null) return { as: 'gone' }
    const answers: Json[] = []
    for (const part of parts) {
      const { last } = part
      if (last === null) return { as: 'gone' }
      const byLimit = last.stop_type === 'limit'
      if (isCut(part, Number(last.tokens_predicted), byLimit, this.#hasStops)) return again('cut')
      const settings = { ...(last.generation_settings as Json), stream: false }
      const answer: Json = { ...last, content: part.texts.join(''), generation_settings: settings }
      if (part.probabilities.length > 0) answer.completion_probabilities = part.probabilities
      answers.push(answer)
    }
    return { as: 'answer', json: answers.length === 1 ? answers[0] : answers }
  }
}
