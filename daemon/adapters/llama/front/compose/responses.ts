import { field } from '../../json.ts'
import { again, type Composed, type Composer, countAt, isObject, type Json } from './composer.ts'

/** What ends an answer of this request by force: so many tokens of its own, or so many with its prompt. The stream of
 *  this API does not say why an answer ended. */
export type Ends = { readonly answerTokens: readonly number[]; readonly contextTokens: number }

/** Takes the answer out of the last event of a Responses stream, which carries nearly all of it. */
export class ResponsesComposer implements Composer {
  readonly endsWithDone = false
  keptBytes = 0
  readonly #ends: Ends
  #saidTokens = 0
  #completed: Json | null = null

  constructor(ends: Ends) {
    this.#ends = ends
  }

  take(event: Json, byteCount: number): boolean {
    const { type } = event
    if (typeof type !== 'string' || !type.startsWith('response.') || this.#completed !== null) return false
    if (type.endsWith('.delta')) {
      this.#saidTokens = Math.max(this.#saidTokens, countAt(event, 'timings', 'predicted_n'))
    }
    if (type !== 'response.completed') return true
    const { response } = event
    if (!isObject(response) || !Array.isArray(response.output) || !response.output.every(isObject))
      return false
    if (countAt(response, 'usage', 'output_tokens') < 0) return false
    this.#completed = response
    this.keptBytes += byteCount
    return true
  }

  compose(): Composed {
    const completed = this.#completed
    if (completed === null) return { as: 'gone' }
    const output = (completed.output as Json[]).map((item) =>
      item.type === 'reasoning' ? { ...item, status: 'completed' } : item,
    )
    if (this.#isCut(completed, output.length === 0)) return again('cut')
    return { as: 'answer', json: { completed_at: field(completed, 'created_at'), ...completed, output } }
  }

  #isCut(completed: Json, empty: boolean): boolean {
    const tokens = countAt(completed, 'usage', 'output_tokens')
    if (empty) return tokens > 1
    const { answerTokens, contextTokens } = this.#ends
    const all = tokens + countAt(completed, 'usage', 'input_tokens')
    const byForce = answerTokens.includes(tokens) || all + 1 >= contextTokens
    return byForce && this.#saidTokens < tokens
  }
}
