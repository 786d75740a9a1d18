import { eventMessageBytesMax } from '../tiers/block/limits.ts'

export type StreamMessage = { readonly event: string; readonly data: string }

/** Takes server-sent events out of chunks of text. Bounded: a message past its limit ends the stream. */
export class EventStreamReader {
  /** Pieces of the line that has not ended. Joined once, so that a long line costs its length. */
  #pieces: string[] = []
  #pieceBytes = 0
  #event = ''
  #data: string[] = []
  #dataBytes = 0

  /** The messages that the chunk completes; null when one is too large. */
  read(chunk: string): readonly StreamMessage[] | null {
    const messages: StreamMessage[] = []
    let at = 0
    for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', at)) {
      const line = this.#lineWith(chunk.slice(at, end))
      at = end + 1
      if (line !== '') this.#field(line)
      else if (this.#data.length > 0) messages.push(this.#take())
      if (this.#dataBytes > eventMessageBytesMax) return null
    }
    if (at < chunk.length) {
      this.#pieces.push(chunk.slice(at))
      this.#pieceBytes += chunk.length - at
    }
    return this.#pieceBytes + this.#dataBytes > eventMessageBytesMax ? null : messages
  }

  #lineWith(end: string): string {
    const line = this.#pieces.length === 0 ? end : `${this.#pieces.join('')}${end}`
    this.#pieces = []
    this.#pieceBytes = 0
    return line.endsWith('\r') ? line.slice(0, -1) : line
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'event') this.#event = value
    if (name !== 'data') return
    this.#data.push(value)
    this.#dataBytes += value.length
  }

  #take(): StreamMessage {
    const message = { event: this.#event === '' ? 'message' : this.#event, data: this.#data.join('\n') }
    this.#event = ''
    this.#data = []
    this.#dataBytes = 0
    return message
  }
}
