import { type Before, correctUsage, type Seen } from '../usage.ts'
import { isObject } from './composer.ts'
import { EventReader } from './events.ts'
import type { MessagesEvents } from './messages-events.ts'

/** The bytes of one API's stream on their way to those of another. */
export class Translation {
  readonly #reader = new EventReader()
  readonly #events: MessagesEvents
  readonly #before: Before | null
  seen: Seen | null = null

  constructor(events: MessagesEvents, before: Before | null) {
    this.#events = events
    this.#before = before
  }

  push(piece: Uint8Array): string {
    const commentCount = this.#reader.commentCount
    let text = ''
    for (const { data } of this.#reader.push(piece)) {
      for (const event of this.#events.take(parsedChunk(data))) {
        if (this.#before !== null) this.seen = correctUsage(event.data, this.#before) ?? this.seen
        text += `event: ${event.name}\ndata: ${JSON.stringify(event.data)}\n\n`
      }
    }
    // Comments keep the connection alive while nothing is said.
    return text === '' && this.#reader.commentCount > commentCount ? ':\n\n' : text
  }
}

/** A chunk that is none says nothing. */
function parsedChunk(data: string): Record<string, unknown> {
  if (!data.startsWith('{')) return {}
  try {
    const json: unknown = JSON.parse(data)
    return isObject(json) ? json : {}
  } catch {
    return {}
  }
}
