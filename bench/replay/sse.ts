/** Largest event accepted, in characters. Why: a server that never ends an event must not fill the memory. */
const eventCharactersMax = 2 ** 22

/** Cuts a server-sent event stream into the data of its events. */
export class EventCutter {
  #rest = ''
  readonly #decoder = new TextDecoder()

  /** The data of the events that the bytes complete, in order. */
  push(bytes: Uint8Array): string[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true })
    const parts = this.#rest.split(/\r\n\r\n|\n\n|\r\r/)
    this.#rest = parts.pop() ?? ''
    if (this.#rest.length > eventCharactersMax) throw new Error('an event of the stream is too large')
    return parts.map(dataOf).filter((data) => data !== '')
  }
}

function dataOf(event: string): string {
  return event
    .split(/\r\n|\n|\r/)
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n')
}
