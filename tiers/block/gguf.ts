/** Facts of a model from the head of its GGUF file: what a KV cache for it costs, and what it is called. Reads forward
 *  through the key/value table only; tensors and long lists are stepped over. Bounded: a damaged count ends as a
 *  reason. */

/** Gives `byteCount` bytes at `offset`, or fewer at the end of the file. */
export type ReadAt = (offset: number, byteCount: number) => Uint8Array

export type GgufFacts = {
  readonly version: number
  readonly tensorCount: number
  readonly architecture: string
  /** Name written by the converter; empty when there is none. */
  readonly name: string
  readonly fileType: number
  readonly layerCount: number
  readonly headCount: number
  /** Key/value heads per layer; one entry per layer. 0 marks a layer without attention (hybrid models). */
  readonly kvHeads: readonly number[]
  readonly keyLength: number
  readonly valueLength: number
  readonly contextLength: number
  /** Tokens of a sliding attention window; 0 for full attention. */
  readonly slidingWindow: number
  readonly tokenizer: {
    readonly model: string
    readonly pre: string
    readonly tokenCount: number
    readonly bosToken: number
    readonly eosToken: number
    readonly hasChatTemplate: boolean
  }
}

export type GgufRefusal = 'magic' | 'version' | 'truncated' | 'counts' | 'type' | 'facts'
export type GgufRead =
  | { readonly as: 'facts'; readonly facts: GgufFacts }
  | { readonly as: 'refused'; readonly why: GgufRefusal }

type Value = number | bigint | string | boolean | readonly number[] | { readonly listOf: number }

/** Most keys and longest key, in entries and bytes; longest text kept; most numbers of a list kept. */
const keyCountMax = 65_536
const keyBytesMax = 1_024
const textBytesMax = 65_536
const listKeptMax = 4_096
const listLengthMax = 1 << 26
/** Bytes asked for at a time while stepping through. */
const windowBytes = 1 << 18

const textType = 8
const listType = 9
/** Width in bytes of each plain value type, by its number in the format. */
const widths: readonly (number | undefined)[] = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8]

class Refused extends Error {
  readonly why: GgufRefusal
  constructor(why: GgufRefusal) {
    super(why)
    this.why = why
  }
}

function refuse(why: GgufRefusal): never {
  throw new Refused(why)
}

/** A forward cursor with one window of bytes. */
class Cursor {
  readonly #readAt: ReadAt
  #window: DataView = new DataView(new ArrayBuffer(0))
  #windowAt = 0
  at = 0

  constructor(readAt: ReadAt) {
    this.#readAt = readAt
  }

  /** A view of the next bytes; moves past them. */
  next(byteCount: number): DataView {
    const start = this.at - this.#windowAt
    if (start < 0 || start + byteCount > this.#window.byteLength) {
      const bytes = this.#readAt(this.at, Math.max(byteCount, windowBytes))
      if (bytes.byteLength < byteCount) refuse('truncated')
      this.#window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      this.#windowAt = this.at
    }
    const view = new DataView(
      this.#window.buffer,
      this.#window.byteOffset + this.at - this.#windowAt,
      byteCount,
    )
    this.at += byteCount
    return view
  }

  u32(): number {
    return this.next(4).getUint32(0, true)
  }

  count(largest: number): number {
    const value = this.next(8).getBigUint64(0, true)
    if (value > BigInt(largest)) refuse('counts')
    return Number(value)
  }

  text(bytesMax: number): string {
    const byteCount = this.count(bytesMax)
    const view = this.next(byteCount)
    return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset, byteCount))
  }

  /** Makes sure that what was stepped over is there. */
  checkEnd(): void {
    if (this.#readAt(this.at - 1, 1).byteLength < 1) refuse('truncated')
  }

  /** Steps over a text without keeping it. */
  skipText(): void {
    const byteCount = this.count(listLengthMax)
    this.at += byteCount
  }
}

/** Reads the head. Never throws for what the bytes hold. */
export function readGguf(readAt: ReadAt): GgufRead {
  try {
    return { as: 'facts', facts: parse(new Cursor(readAt)) }
  } catch (error) {
    if (error instanceof Refused) return { as: 'refused', why: error.why }
    throw error
  }
}

function parse(cursor: Cursor): GgufFacts {
  if (cursor.u32() !== 0x46554747) refuse('magic')
  const version = cursor.u32()
  if (version < 2 || version > 3) refuse('version')
  const tensorCount = cursor.count(listLengthMax)
  const keyCount = cursor.count(keyCountMax)
  const values = new Map<string, Value>()
  for (let key = 0; key < keyCount; key++) {
    const name = cursor.text(keyBytesMax)
    values.set(name, readValue(cursor, cursor.u32(), name))
  }
  cursor.checkEnd()
  return factsOf(version, tensorCount, values)
}

function readValue(cursor: Cursor, type: number, name: string): Value {
  if (type === textType) {
    if (!name.startsWith('tokenizer.chat_template')) return cursor.text(textBytesMax)
    cursor.skipText()
    return true
  }
  return type === listType ? readList(cursor) : readPlain(cursor, type)
}

function readPlain(cursor: Cursor, type: number): Value {
  const width = widths[type]
  if (width === undefined) refuse('type')
  const view = cursor.next(width)
  if (type === 0) return view.getUint8(0)
  if (type === 1) return view.getInt8(0)
  if (type === 2) return view.getUint16(0, true)
  if (type === 3) return view.getInt16(0, true)
  if (type === 4) return view.getUint32(0, true)
  if (type === 5) return view.getInt32(0, true)
  if (type === 6) return view.getFloat32(0, true)
  if (type === 7) return view.getUint8(0) !== 0
  if (type === 10) return view.getBigUint64(0, true)
  if (type === 11) return view.getBigInt64(0, true)
  return view.getFloat64(0, true)
}

/** Short lists of numbers are kept (heads per layer); of the others, only the length. */
function readList(cursor: Cursor): Value {
  const type = cursor.u32()
  const length = cursor.count(listLengthMax)
  if (type === textType) {
    for (let entry = 0; entry < length; entry++) cursor.skipText()
    return { listOf: length }
  }
  const width = widths[type]
  if (width === undefined) refuse('type')
  if (length > listKeptMax) {
    cursor.at += width * length
    return { listOf: length }
  }
  return Array.from({ length }, () => Number(readPlain(cursor, type)))
}

function factsOf(version: number, tensorCount: number, values: ReadonlyMap<string, Value>): GgufFacts {
  const text = (name: string): string => {
    const value = values.get(name)
    return typeof value === 'string' ? value : ''
  }
  const number = (name: string, otherwise: number): number => {
    const value = values.get(name)
    if (value === undefined || typeof value === 'string' || typeof value === 'object') return otherwise
    return Number(value)
  }
  const architecture = text('general.architecture')
  const layerCount = number(`${architecture}.block_count`, 0)
  const heads = values.get(`${architecture}.attention.head_count`)
  const headCount = Array.isArray(heads) ? Math.max(0, ...(heads as number[])) : Number(heads ?? 0)
  if (architecture === '' || layerCount < 1 || layerCount > listKeptMax || !(headCount >= 1)) refuse('facts')
  const headLength = Math.floor(number(`${architecture}.embedding_length`, 0) / headCount)
  const tokens = values.get('tokenizer.ggml.tokens')
  const listOf = typeof tokens === 'object' && 'listOf' in tokens ? tokens.listOf : 0
  return {
    version,
    tensorCount,
    architecture,
    name: text('general.name'),
    fileType: number('general.file_type', -1),
    layerCount,
    headCount,
    kvHeads: kvHeadsOf(values.get(`${architecture}.attention.head_count_kv`), layerCount, headCount),
    keyLength: number(`${architecture}.attention.key_length`, headLength),
    valueLength: number(`${architecture}.attention.value_length`, headLength),
    contextLength: number(`${architecture}.context_length`, 0),
    slidingWindow: number(`${architecture}.attention.sliding_window`, 0),
    tokenizer: {
      model: text('tokenizer.ggml.model'),
      pre: text('tokenizer.ggml.pre'),
      tokenCount: listOf,
      bosToken: number('tokenizer.ggml.bos_token_id', -1),
      eosToken: number('tokenizer.ggml.eos_token_id', -1),
      hasChatTemplate: values.has('tokenizer.chat_template'),
    },
  }
}

function kvHeadsOf(value: Value | undefined, layerCount: number, headCount: number): readonly number[] {
  if (Array.isArray(value)) {
    if (value.length !== layerCount) refuse('facts')
    return value as number[]
  }
  return Array.from({ length: layerCount }, () => (typeof value === 'number' ? value : headCount))
}

/** KV bytes of one token over all layers, with keys and values of `elementBytes` bytes per number (2 for F16). */
export function kvBytesPerToken(facts: GgufFacts, elementBytes: number): number {
  const heads = facts.kvHeads.reduce((sum, count) => sum + count, 0)
  return heads * (facts.keyLength + facts.valueLength) * elementBytes
}
