import { RequestDraft } from './builder.ts'
import { fillBlocks } from './mooncake.ts'
import {
  countIn,
  fieldsOf,
  type LineReader,
  numberIn,
  objectOfLine,
  type ReaderContext,
  type TraceFormat,
} from './reader.ts'

/** Tokens per block of the published traces. */
const blockTokensUsual = 16

/** Usage traces of Alibaba's Bailian (Qwen): as native lines, with seconds and with turns linked by chat ids. */
export const bailian: TraceFormat = {
  name: 'bailian',
  kind: 'lines',
  about:
    'JSON lines {chat_id, parent_chat_id, timestamp s, input_length, output_length, type, turn, hash_ids}',
  fits: ({ json }) => {
    const fields = fieldsOf(json)
    return fields !== null && 'hash_ids' in fields && 'chat_id' in fields
  },
  open: (context) => new BailianReader(context),
}

class BailianReader implements LineReader {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  /** The first chat of the conversation that a chat belongs to. */
  readonly #rootOf = new Map<unknown, string>()

  constructor(context: ReaderContext) {
    this.#context = context
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    const fields = objectOfLine(bytes, start, end)
    const draft = this.#draft
    draft.clear()
    draft.arrivalMs = numberIn(fields, 'timestamp') * 1_000
    draft.inputTokens = countIn(fields, 'input_length')
    draft.outputTokens = countIn(fields, 'output_length')
    fillBlocks(fields.hash_ids, draft)
    const root = this.#rootOf.get(fields.parent_chat_id) ?? String(fields.chat_id)
    this.#rootOf.set(fields.chat_id, root)
    draft.session = root
    this.#context.builder.add(draft)
  }

  finish(): number {
    const blockTokens = this.#context.blockTokens ?? blockTokensUsual
    this.#context.assume(`${blockTokens} tokens per block; a conversation is a chain of parent_chat_id`)
    return blockTokens
  }
}
