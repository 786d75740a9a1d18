import { RequestDraft } from './builder.ts'
import { fillBlocks } from './mooncake.ts'
import {
  BadRecord,
  countIn,
  fieldsOf,
  type LineReader,
  numberIn,
  objectOfLine,
  type ReaderContext,
  type TraceFormat,
} from './reader.ts'

/** Tokens of a chunk where nothing else is set. */
const chunkTokensUsual = 256

/** Lookup-hash logs of an LMCache server, and the chunk statistics of an engine, which say less. */
export const lmcache: TraceFormat = {
  name: 'lmcache',
  kind: 'lines',
  about: 'JSON lines {timestamp s, request_id, model_name, chunk_size?, seq_len?, chunk_hashes}',
  fits: ({ json }) => {
    const fields = fieldsOf(json)
    return fields !== null && 'chunk_hashes' in fields
  },
  open: (context) => new LmcacheReader(context),
}

class LmcacheReader implements LineReader {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  #chunkTokens: number | null = null
  #startMs: number | null = null

  constructor(context: ReaderContext) {
    this.#context = context
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const fields = objectOfLine(bytes, start, end)
    const chunkTokens = fields.chunk_size === undefined ? this.#assumedChunk() : countIn(fields, 'chunk_size')
    this.#chunkTokens ??= chunkTokens
    if (chunkTokens !== this.#chunkTokens) {
      throw new BadRecord(
        `chunk_size changes from ${this.#chunkTokens} to ${chunkTokens}: one trace has one block size`,
      )
    }
    const draft = this.#draft
    draft.clear()
    const atMs = numberIn(fields, 'timestamp') * 1_000
    this.#startMs ??= atMs
    draft.arrivalMs = Math.max(0, atMs - this.#startMs)
    fillBlocks(fields.chunk_hashes, draft, 'chunk_hashes')
    draft.inputTokens =
      fields.seq_len === undefined ? draft.blockCount * chunkTokens : countIn(fields, 'seq_len')
    // Keys of two models never meet, so their blocks must not either.
    if (typeof fields.model_name === 'string') draft.tenant = fields.model_name
    this.#context.builder.add(draft)
  }

  /** The chunk statistics of an engine name neither chunk size nor length. */
  #assumedChunk(): number {
    const tokens = this.#context.blockTokens ?? chunkTokensUsual
    if (this.#chunkTokens === null) this.#context.assume(`chunks of ${tokens} tokens: the log does not say`)
    return tokens
  }

  finish(): number {
    this.#context.assume(
      'full chunks only: the tail of a prompt is no reference; a model is taken as a tenant',
    )
    return this.#context.blockTokens ?? this.#chunkTokens ?? chunkTokensUsual
  }
}
