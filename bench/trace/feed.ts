import { InputError } from '../failure.ts'
import { LineCutter } from './lines.ts'
import {
  BadRecord,
  type DocumentReader,
  type LineReader,
  type ReaderContext,
  type TraceFormat,
} from './reader.ts'

/** Gives files of one format to its reader, one after another. */
export interface Feed {
  /** Lines left out as unreadable so far. */
  readonly skippedCount: number
  file(label: string, pieces: AsyncIterable<Buffer>): Promise<void>
  /** After the last file; answers the tokens per block. */
  finish(): number
}

export function openFeed(format: TraceFormat, context: ReaderContext, skipBad: boolean): Feed {
  if (format.kind === 'lines') return new LineFeed(format, format.open(context), skipBad)
  return new DocumentFeed(format, format.open(context))
}

class LineFeed implements Feed {
  skippedCount = 0
  readonly #format: TraceFormat
  readonly #reader: LineReader
  readonly #skipBad: boolean

  constructor(format: TraceFormat, reader: LineReader, skipBad: boolean) {
    this.#format = format
    this.#reader = reader
    this.#skipBad = skipBad
  }

  async file(label: string, pieces: AsyncIterable<Buffer>): Promise<void> {
    this.#reader.startFile?.()
    const cutter = new LineCutter(label, (bytes, start, end, complete) => {
      try {
        this.#reader.read(bytes, start, end)
      } catch (error) {
        if (!(error instanceof BadRecord)) throw error
        if (!this.#skipBad) throw this.#refusal(`${label}:${cutter.lineNumber}: ${error.message}`, complete)
        this.skippedCount += 1
      }
    })
    for await (const piece of pieces) cutter.push(piece)
    cutter.finish()
  }

  finish(): number {
    return this.#reader.finish()
  }

  #refusal(what: string, complete: boolean): InputError {
    const cut = complete ? '' : ' (the last line has no line end: the file may be cut off)'
    const { name, about } = this.#format
    return new InputError(`${what}${cut}; expected ${name}: ${about}; --skip-bad skips such lines`)
  }
}

class DocumentFeed implements Feed {
  readonly skippedCount = 0
  readonly #format: TraceFormat
  readonly #reader: DocumentReader
  #label = ''

  constructor(format: TraceFormat, reader: DocumentReader) {
    this.#format = format
    this.#reader = reader
  }

  async file(label: string, pieces: AsyncIterable<Buffer>): Promise<void> {
    this.#label = label
    const parts: Buffer[] = []
    for await (const piece of pieces) parts.push(piece)
    this.#explained(() => this.#reader.document(label, Buffer.concat(parts)))
  }

  finish(): number {
    return this.#explained(() => this.#reader.finish())
  }

  #explained<Value>(work: () => Value): Value {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      throw new InputError(
        `${this.#label}: ${error.message}; expected ${this.#format.name}: ${this.#format.about}`,
      )
    }
  }
}
