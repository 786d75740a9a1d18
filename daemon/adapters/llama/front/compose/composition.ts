import { engineAnswerBytesMax } from '../../../../../tiers/block/limits.ts'
import { field } from '../../json.ts'
import { again, type Composed, type Composer, countAt, isObject } from './composer.ts'
import { EventReader, type StreamEvent } from './events.ts'

/** The bytes of one stream on their way to one answer. */
export class Composition {
  readonly #reader = new EventReader()
  readonly #composer: Composer
  readonly #bytesMax: number
  #verdict: Composed | null = null
  #saidDone = false

  constructor(composer: Composer, bytesMax = engineAnswerBytesMax) {
    this.#composer = composer
    this.#bytesMax = bytesMax
  }

  /** What came of it already, before the end; null while the stream is to be read on. */
  push(piece: Uint8Array): Composed | null {
    for (const event of this.#reader.push(piece)) {
      this.#verdict ??= this.#take(event)
    }
    if (this.#composer.keptBytes + this.#reader.heldLength > this.#bytesMax)
      this.#verdict ??= again('too_large')
    return this.#verdict
  }

  end(): Composed {
    if (this.#verdict === null && this.#composer.endsWithDone && !this.#saidDone) return { as: 'gone' }
    return this.#verdict ?? this.#composer.compose()
  }

  #take(event: StreamEvent): Composed | null {
    if (event.data === '[DONE]') this.#saidDone = true
    // The server says `null` when it begins with one of several prompts.
    if (event.data === '[DONE]' || event.data === 'null') return null
    const json = parsed(event.data)
    if (!isObject(json)) return again('unlike')
    const error = event.name === 'error' ? json : field(json, 'error')
    if (isObject(error)) return failed(error)
    return this.#composer.take(json, event.data.length) ? null : again('unlike')
  }
}

/** An error in the middle of a stream. What the server finds wrong with the request it would also say without a stream;
 *  a failure of its own may be the stream's (its parser meets half of an answer). */
function failed(error: object): Composed {
  const status = countAt({ error }, 'error', 'code')
  return status >= 400 && status < 500 ? { as: 'error', status, json: { error } } : again('failed')
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch {
    return null
  }
}
