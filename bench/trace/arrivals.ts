import { RequestDraft } from './builder.ts'
import { BadRecord, type LineReader, type ReaderContext, type TraceFormat } from './reader.ts'

/** Traces of arrivals and lengths without block ids: CSV with a header line. */

export const azure: TraceFormat = {
  name: 'azure',
  kind: 'lines',
  about: 'CSV TIMESTAMP,ContextTokens,GeneratedTokens (arrivals and lengths only)',
  fits: ({ firstLine }) => /^"?timestamp"?,.*contexttokens/i.test(firstLine.trim()),
  open: (context) => new ArrivalReader(context, ['timestamp'], ['contexttokens'], ['generatedtokens']),
}

export const burstgpt: TraceFormat = {
  name: 'burstgpt',
  kind: 'lines',
  about: 'CSV Timestamp,Model,Request tokens,Response tokens,... (arrivals and lengths only)',
  fits: ({ firstLine }) => /request tokens/i.test(firstLine) && firstLine.includes(','),
  open: (context) => new ArrivalReader(context, ['timestamp'], ['request tokens'], ['response tokens']),
}

class ArrivalReader implements LineReader {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  readonly #wanted: readonly (readonly string[])[]
  #columns: readonly number[] | null = null
  #sessionColumn = -1
  #modelColumn = -1
  #startMs: number | null = null

  constructor(
    context: ReaderContext,
    time: readonly string[],
    input: readonly string[],
    output: readonly string[],
  ) {
    this.#context = context
    this.#wanted = [time, input, output]
  }

  startFile(): void {
    this.#columns = null
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
    const cells = text.split(',').map((cell) => cell.trim().replace(/^"|"$/g, ''))
    if (this.#columns === null) {
      this.#readHeader(cells)
      return
    }
    const [time = '', input = '', output = ''] = this.#columns.map((column) => cells[column] ?? '')
    const atMs = momentOf(time)
    this.#startMs ??= atMs
    const draft = this.#draft
    draft.clear()
    draft.arrivalMs = atMs - this.#startMs
    if (draft.arrivalMs < 0) throw new BadRecord(`time "${time}" lies before the first line's`)
    draft.inputTokens = tokensOf(input, this.#wanted[1]?.[0] ?? '')
    draft.outputTokens = tokensOf(output, this.#wanted[2]?.[0] ?? '')
    const session = this.#sessionColumn < 0 ? '' : (cells[this.#sessionColumn] ?? '')
    if (session !== '') draft.session = session
    const model = this.#modelColumn < 0 ? '' : (cells[this.#modelColumn] ?? '')
    if (model !== '') draft.tenant = model
    this.#context.builder.add(draft)
  }

  finish(): number {
    this.#context.assume(
      'arrivals and lengths only: the trace names no blocks, so no hit rate can be measured',
    )
    return this.#context.blockTokens ?? 512
  }

  #readHeader(cells: readonly string[]): void {
    const names = cells.map((cell) => cell.toLowerCase())
    this.#columns = this.#wanted.map((any) => {
      const column = names.findIndex((name) => any.includes(name))
      if (column < 0) throw new BadRecord(`the header has no column "${any[0]}"`)
      return column
    })
    this.#sessionColumn = names.indexOf('session id')
    this.#modelColumn = names.indexOf('model')
  }
}

/** Seconds, or a date such as `2023-11-16 18:17:03.9799600` (taken as UTC), in milliseconds. */
function momentOf(text: string): number {
  const seconds = text === '' ? Number.NaN : Number(text)
  if (Number.isFinite(seconds)) return seconds * 1_000
  const parts = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?$/.exec(text)
  const wholeMs = parts === null ? Number.NaN : Date.parse(`${parts[1]}T${parts[2]}Z`)
  if (!Number.isFinite(wholeMs)) throw new BadRecord(`"${text}" is no time (seconds or YYYY-MM-DD hh:mm:ss)`)
  return wholeMs + Number(parts?.[3] ?? 0) * 1_000
}

function tokensOf(text: string, column: string): number {
  const count = text === '' ? Number.NaN : Number(text)
  if (!Number.isInteger(count) || count < 0 || count >= 2 ** 31) {
    throw new BadRecord(`column "${column}" must be a whole number, it is "${text}"`)
  }
  return count
}
