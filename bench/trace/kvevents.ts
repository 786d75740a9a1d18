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
      // Of a long first batch only the beginning may be here: then its time, a double, has to do.
      return first >= 0x92 && bytes[1] === 0xcb
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

/** The fields of a BlockStored that are read here. */
type Stored = {
  readonly hashes: readonly Id[]
  readonly parent: Id | null
  readonly blockTokens: number
  readonly medium: string | null
  readonly group: number
  readonly session: string | null
}

/** A chain that still grows. */
type Growing = {
  readonly atMs: number
  readonly session: string | null
  readonly rank: unknown
  readonly chain: Id[]
  lastMs: number
}

/** A store this long after the last one of its chain is another request, in milliseconds. Why: a prompt comes in pieces of some
 *  thousand tokens and an answer block by block, each within a second or two; the next turn takes longer. */
const growMs = 2_000

/** Turns stores into requests. An engine stores a prompt piece by piece and its answer block by block: what continues a chain
 *  soon after its last store belongs to the same request. */
class StoredChains {
  readonly #context: ReaderContext
  readonly #draft = new RequestDraft()
  readonly #parentOf = new Map<Id, Id | null>()
  /** In the order of their first stores; by the last block, of each rank. */
  readonly #growing = new Set<Growing>()
  readonly #byTip = new Map<string, Growing>()
  #blockTokens: number | null = null
  #startMs: number | null = null
  #copyCount = 0
  #groupCount = 0

  constructor(context: ReaderContext) {
    this.#context = context
  }

  batch(value: unknown): void {
    const fields = fieldsOf(value)
    if (fields === null && !Array.isArray(value)) throw new BadRecord('not a batch [ts, events, rank]')
    const [ts, events, rank] = fields
      ? [fields.ts, fields.events, fields.data_parallel_rank ?? fields.attn_dp_rank]
      : (value as unknown[])
    if (typeof ts !== 'number' || !Array.isArray(events))
      throw new BadRecord('not a batch [ts, events, rank]')
    const readMs = ts * 1_000
    this.#startMs ??= readMs
    const atMs = Math.max(0, readMs - this.#startMs)
    this.#flush(atMs - growMs)
    for (const event of events) this.#event(event, atMs, rank)
  }

  finish(): number {
    this.#flush(Number.POSITIVE_INFINITY)
    const { assume, blockTokens } = this.#context
    assume(
      'KV events show what was stored, not what was looked up: a stored chain counts as one request, with what ' +
        `continues it within ${growMs / 1_000} s`,
    )
    assume('hits on blocks that were never removed are invisible, so reuse is underestimated')
    if (this.#copyCount > 0)
      assume(`${this.#copyCount} stores in tiers below the GPU are left out: they are copies`)
    if (this.#groupCount > 0)
      assume(`${this.#groupCount} stores of further layer groups are left out: one group tells the chain`)
    return blockTokens ?? this.#blockTokens ?? 16
  }

  #event(event: unknown, atMs: number, rank: unknown): void {
    const kind = fieldsOf(event)?.type ?? (Array.isArray(event) ? event[0] : undefined)
    if (kind === 'BlockRemoved' || kind === 'AllBlocksCleared') return
    if (kind !== 'BlockStored') throw new BadRecord(`unknown event ${wordFor(kind)}`)
    const stored = storedOf(event)
    if (stored.medium !== null && stored.medium !== 'GPU') this.#copyCount += 1
    else if (stored.group > 0) this.#groupCount += 1
    else this.#stored(stored, atMs, rank)
  }

  #stored({ hashes, parent, blockTokens, session }: Stored, atMs: number, rank: unknown): void {
    this.#blockTokens ??= blockTokens
    if (blockTokens !== this.#blockTokens) throw new BadRecord('block_size changes within the stream')
    const tip = hashes.at(-1)
    if (tip === undefined) return
    const open = parent === null ? undefined : this.#byTip.get(tipName(rank, parent))
    const goesOn = open !== undefined && atMs - open.lastMs <= growMs && open.session === session
    const growing: Growing = goesOn
      ? open
      : { atMs, session, rank, chain: this.#chainTo(parent), lastMs: atMs }
    if (goesOn && parent !== null) this.#byTip.delete(tipName(rank, parent))
    let before = parent
    for (const id of hashes) {
      if (!this.#parentOf.has(id)) this.#parentOf.set(id, before)
      before = id
      growing.chain.push(id)
    }
    growing.lastMs = atMs
    this.#growing.add(growing)
    this.#byTip.set(tipName(rank, tip), growing)
  }

  /** The blocks up to this one, root first. One that was stored before the stream began is taken for a root. */
  #chainTo(parent: Id | null): Id[] {
    const chain: Id[] = []
    const seen = new Set<Id>()
    for (let id = parent; id !== null; id = this.#parentOf.get(id) ?? null) {
      if (seen.has(id)) throw new BadRecord('the chain of parent_block_hash runs in a circle')
      seen.add(id)
      chain.push(id)
    }
    return chain.reverse()
  }

  /** Gives on the chains that were not continued since, in the order in which they began. */
  #flush(untilMs: number): void {
    for (const growing of this.#growing) {
      if (growing.lastMs >= untilMs) return
      this.#growing.delete(growing)
      const name = tipName(growing.rank, growing.chain.at(-1) ?? '')
      if (this.#byTip.get(name) === growing) this.#byTip.delete(name)
      this.#request(growing)
    }
  }

  #request({ atMs, chain, rank, session }: Growing): void {
    const draft = this.#draft
    draft.clear()
    draft.arrivalMs = atMs
    draft.inputTokens = chain.length * (this.#blockTokens ?? 1)
    draft.session = session
    if (typeof rank === 'number') draft.tenant = `rank ${rank}`
    for (const id of chain) {
      if (typeof id === 'string') draft.pushText(id)
      else draft.pushInteger(id)
    }
    this.#context.builder.add(draft)
  }
}

function tipName(rank: unknown, id: Id): string {
  return `${typeof rank === 'number' ? rank : ''}/${typeof id}/${id}`
}

/** Places of the fields in an event that comes as a list. */
const place = { hashes: 1, parent: 2, blockTokens: 4, medium: 6, group: 9, session: 14 } as const

/** Reads a BlockStored: a map by names, or a list by places, which older engines send shorter. */
function storedOf(event: unknown): Stored {
  const fields = fieldsOf(event)
  const list = Array.isArray(event) ? event : []
  const of = (name: string, at: number): unknown => (fields === null ? list[at] : fields[name]) ?? null
  const hashes = of('block_hashes', place.hashes)
  const parent = of('parent_block_hash', place.parent)
  const blockTokens = of('block_size', place.blockTokens)
  if (!Array.isArray(hashes) || !hashes.every(isId) || !(parent === null || isId(parent))) {
    throw new BadRecord('BlockStored needs block_hashes (integers or bytes) and parent_block_hash')
  }
  if (typeof blockTokens !== 'number' || !Number.isInteger(blockTokens) || blockTokens < 1) {
    throw new BadRecord('BlockStored needs a whole block_size')
  }
  const medium = of('medium', place.medium)
  const group = of('group_idx', place.group)
  const session = of('session_id', place.session)
  return {
    ...{ hashes, parent, blockTokens },
    medium: typeof medium === 'string' ? medium : null,
    group: typeof group === 'number' ? group : 0,
    session: typeof session === 'string' ? session : null,
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
