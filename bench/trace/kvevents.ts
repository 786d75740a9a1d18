import { RequestDraft } from './builder.ts'
import { MsgpackReader } from './msgpack.ts'
import {
  BadRecord,
  type DocumentReader,
  fieldsOf,
  type LineReader,
  type ReaderContext,
  type TraceFormat,
  valueOfLine,
  wordFor,
} from './reader.ts'

/** KV-event streams of vLLM and SGLang: batches [ts, events, rank] or {ts, events}, an event as list or map. */
const shape =
  'batches [ts s, [BlockStored | BlockRemoved | AllBlocksCleared, ...], rank?], events as lists or maps'

export const kvEventLines: TraceFormat = {
  name: 'kv-events',
  kind: 'lines',
  about: `JSON lines of ${shape}`,
  fits: ({ json }) => isBatch(json),
  open: (context) => new KvEventLineReader(context),
}

export const kvEventPack: TraceFormat = {
  name: 'kv-events-msgpack',
  kind: 'documents',
  about: `MessagePack ${shape}, one after another`,
  fits: ({ bytes }) => {
    const first = bytes[0] ?? 0
    if (![0x82, 0x83, 0x92, 0x93].includes(first)) return false
    try {
      return isBatch(new MsgpackReader(bytes).value())
    } catch {
      return false
    }
  },
  open: (context) => new KvEventPackReader(context),
}

function isBatch(value: unknown): boolean {
  const fields = fieldsOf(value)
  if (fields !== null) return Array.isArray(fields.events) && typeof fields.ts === 'number'
  return Array.isArray(value) && typeof value[0] === 'number' && Array.isArray(value[1]) && value.length <= 3
}

type Id = number | bigint | string

/** Turns stored chains into requests: each BlockStored is one request for the whole chain that ends in it. */
class StoredChains {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  readonly #parentOf = new Map<Id, Id | null>()
  #blockTokens: number | null = null
  #startMs: number | null = null

  constructor(context: ReaderContext) {
    this.#context = context
  }

  batch(value: unknown): void {
    const fields = fieldsOf(value)
    if (fields === null && !Array.isArray(value)) throw new BadRecord('not a batch [ts, events, rank]')
    const [ts, events, rank] = fields
      ? [fields.ts, fields.events, fields.data_parallel_rank]
      : (value as unknown[])
    if (typeof ts !== 'number' || !Array.isArray(events))
      throw new BadRecord('not a batch [ts, events, rank]')
    const atMs = ts * 1_000
    this.#startMs ??= atMs
    for (const event of events) this.#event(event, Math.max(0, atMs - this.#startMs), rank)
  }

  finish(): number {
    const { assume, blockTokens } = this.#context
    assume('KV events show what was stored, not what was looked up: a stored chain counts as one request')
    assume('hits on blocks that were never removed are invisible, so reuse is underestimated')
    return blockTokens ?? this.#blockTokens ?? 16
  }

  #event(event: unknown, atMs: number, rank: unknown): void {
    const fields = fieldsOf(event)
    const list = Array.isArray(event) ? event : []
    const kind = fields ? fields.type : list[0]
    if (kind === 'BlockRemoved' || kind === 'AllBlocksCleared') return
    if (kind !== 'BlockStored') throw new BadRecord(`unknown event ${wordFor(kind)}`)
    const hashes = fields ? fields.block_hashes : list[1]
    const parent = (fields ? fields.parent_block_hash : list[2]) ?? null
    const blockTokens = fields ? fields.block_size : list[4]
    if (!Array.isArray(hashes) || !hashes.every(isId) || !(parent === null || isId(parent))) {
      throw new BadRecord('BlockStored needs block_hashes (integers or bytes) and parent_block_hash')
    }
    if (typeof blockTokens !== 'number' || !Number.isInteger(blockTokens) || blockTokens < 1) {
      throw new BadRecord('BlockStored needs a whole block_size')
    }
    this.#blockTokens ??= blockTokens
    if (blockTokens !== this.#blockTokens) throw new BadRecord('block_size changes within the stream')
    this.#request(hashes, parent, atMs, rank)
  }

  #request(hashes: readonly Id[], parent: Id | null, atMs: number, rank: unknown): void {
    const chain: Id[] = []
    const seen = new Set<Id>()
    for (let id = parent; id !== null; id = this.#parentOf.get(id) ?? null) {
      if (seen.has(id)) throw new BadRecord('the chain of parent_block_hash runs in a circle')
      seen.add(id)
      chain.unshift(id)
    }
    let before = parent
    for (const id of hashes) {
      if (!this.#parentOf.has(id)) this.#parentOf.set(id, before)
      before = id
      chain.push(id)
    }
    const draft = this.#draft
    draft.clear()
    draft.arrivalMs = atMs
    draft.inputTokens = chain.length * (this.#blockTokens ?? 1)
    if (typeof rank === 'number') draft.tenant = `rank ${rank}`
    for (const id of chain) {
      if (typeof id === 'string') draft.pushText(id)
      else draft.pushInteger(id)
    }
    this.#context.builder.add(draft)
  }
}

function isId(value: unknown): value is Id {
  return (
    typeof value === 'bigint' ||
    typeof value === 'string' ||
    (typeof value === 'number' && Number.isInteger(value))
  )
}

class KvEventLineReader implements LineReader {
  readonly #chains: StoredChains

  constructor(context: ReaderContext) {
    this.#chains = new StoredChains(context)
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    this.#chains.batch(valueOfLine(bytes, start, end))
  }

  finish(): number {
    return this.#chains.finish()
  }
}

class KvEventPackReader implements DocumentReader {
  readonly #chains: StoredChains

  constructor(context: ReaderContext) {
    this.#chains = new StoredChains(context)
  }

  document(_name: string, bytes: Uint8Array): void {
    const reader = new MsgpackReader(bytes)
    while (!reader.done) this.#chains.batch(reader.value())
  }

  finish(): number {
    return this.#chains.finish()
  }
}
