/** One server-sent event: its name, where the server gives one, and its data. */
export type StreamEvent = { readonly name: string; readonly data: string }

/** Cuts a stream of bytes into server-sent events. Pieces may end anywhere, within a character too. */
export class EventReader {
  readonly #decoder = new TextDecoder()
  /** The line that has no end yet, in parts: joining them at every piece would cost the square of a long line. */
  #open: string[] = []
  #name = ''
  #data: string[] = []
  /** Characters held for an event that is not finished. */
  heldLength = 0
  commentCount = 0

  push(piece: Uint8Array): StreamEvent[] {
    const lines = this.#decoder.decode(piece, { stream: true }).split('\n')
    const last = lines.pop() ?? ''
    const events: StreamEvent[] = []
    for (const line of lines) {
      const whole = this.#open.length === 0 ? line : `${this.#open.join('')}${line}`
      this.#open = []
      const event = this.#line(whole.endsWith('\r') ? whole.slice(0, -1) : whole)
      if (event !== null) events.push(event)
    }
    if (last !== '') this.#open.push(last)
    if (events.length > 0) this.heldLength = 0
    this.heldLength += last.length
    return events
  }

  #line(line: string): StreamEvent | null {
    if (line === '') {
      const data = this.#data.join('\n')
      const name = this.#name
      this.#name = ''
      this.#data = []
      return data === '' ? null : { name, data }
    }
    const value = (field: string): string =>
      line.slice(line[field.length + 1] === ' ' ? field.length + 2 : field.length + 1)
    if (line.startsWith('data:')) {
      this.#data.push(value('data'))
      this.heldLength += line.length
    } else if (line.startsWith(':')) this.commentCount++
    else if (line.startsWith('event:')) this.#name = value('event')
    return null
  }
}
