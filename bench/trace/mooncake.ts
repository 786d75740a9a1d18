import { BlockSizeGuess } from './blocktokens.ts'
import { RequestDraft } from './builder.ts'
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
import { LineScanner } from './scan.ts'

/** The native format: one JSON object per line, as published with Mooncake. */
export const mooncake: TraceFormat = {
  name: 'mooncake',
  kind: 'lines',
  about:
    'JSON lines {timestamp ms (or delay), input_length, output_length?, hash_ids, session_id?, delay?, tenant?}',
  fits: ({ json }) => {
    const fields = fieldsOf(json)
    return fields !== null && 'hash_ids' in fields && 'input_length' in fields && !('chat_id' in fields)
  },
  open: (context) => new MooncakeReader(context),
}

class MooncakeReader implements LineReader {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  readonly #scanner = new LineScanner()
  readonly #guess = new BlockSizeGuess()
  readonly #clock = new LineClock()
  #blockTokens: number | null = null

  constructor(context: ReaderContext) {
    this.#context = context
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const draft = this.#draft
    draft.clear()
    let timed = true
    if (!this.#scanner.scan(bytes, start, end, draft)) {
      draft.clear()
      const fields = objectOfLine(bytes, start, end)
      timed = fields.timestamp !== undefined
      fillNative(fields, draft)
      if (fields.block_size !== undefined) this.#blockTokens ??= countIn(fields, 'block_size')
    }
    this.#clock.place(draft, timed)
    this.#guess.see(draft.inputTokens, draft.blockCount)
    this.#context.builder.add(draft)
  }

  finish(): number {
    const { assume, blockTokens, sortByArrival } = this.#context
    const { untimedCount } = this.#clock
    if (untimedCount > 0) {
      sortByArrival()
      assume(
        `${untimedCount} requests name no time: placed their delay (or a second) after the one before of their session`,
      )
    }
    const decided = this.#guess.decide(blockTokens ?? this.#blockTokens, 512)
    assume(decided.why)
    return decided.blockTokens
  }
}

/** How far apart requests are placed that name neither time nor delay, in milliseconds. */
const untimedGapMs = 1_000

/** Gives requests without a time one: later turns of a session often name only the delay before them. */
class LineClock {
  untimedCount = 0
  #lastMs = 0
  readonly #lastOfSession = new Map<string | number, number>()

  place(draft: RequestDraft, timed: boolean): void {
    if (!timed) {
      this.untimedCount += 1
      const beforeMs =
        (draft.session === null ? undefined : this.#lastOfSession.get(draft.session)) ?? this.#lastMs
      draft.arrivalMs = beforeMs + (draft.delayMs < 0 ? untimedGapMs : draft.delayMs)
    }
    this.#lastMs = draft.arrivalMs
    if (draft.session !== null) this.#lastOfSession.set(draft.session, draft.arrivalMs)
  }
}

/** Fills a draft from any JSON object of the native format. Without `timestamp` the time is left at 0. */
export function fillNative(fields: Readonly<Record<string, unknown>>, draft: RequestDraft): void {
  if (fields.timestamp !== undefined) draft.arrivalMs = numberIn(fields, 'timestamp')
  draft.inputTokens = countIn(fields, 'input_length')
  if (fields.output_length !== undefined) draft.outputTokens = countIn(fields, 'output_length')
  fillBlocks(fields.hash_ids, draft)
  const session = fields.session_id ?? null
  if (typeof session === 'string' || typeof session === 'number' || session === null) draft.session = session
  else throw new BadRecord('field "session_id" must be a number or a string')
  const tenant = fields.tenant ?? null
  if (typeof tenant === 'string' || tenant === null) draft.tenant = tenant
  else throw new BadRecord('field "tenant" must be a string')
  for (const name of ['delay', 'delay_ms']) {
    if (fields[name] !== undefined && fields[name] !== null) draft.delayMs = numberIn(fields, name)
  }
}

/** Fills a draft's blocks from a list of integers (64 bits at most) or of strings. */
export function fillBlocks(list: unknown, draft: RequestDraft, name = 'hash_ids'): void {
  if (!Array.isArray(list)) throw new BadRecord(`field "${name}" must be a list of block ids`)
  for (const [index, id] of list.entries()) {
    if (typeof id === 'bigint' || (typeof id === 'number' && Number.isInteger(id))) draft.pushInteger(id)
    else if (typeof id === 'string') draft.pushText(id)
    else throw new BadRecord(`field "${name}[${index}]" must be an integer or a string`)
  }
}
