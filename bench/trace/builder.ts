import { FloatColumn, IntColumn } from './column.ts'
import { sharedInts, type TraceTree } from './trace.ts'
import { mix, Trie } from './trie.ts'

/** One request while it is read; readers reuse one object, so that no line costs an allocation. Block ids
 *  are 64-bit, in two halves. */
export class RequestDraft {
  arrivalMs = 0
  inputTokens = 0
  outputTokens = 0
  session: string | number | null = null
  tenant: string | null = null
  delayMs = -1
  blockCount = 0
  low = new Int32Array(1_024)
  high = new Int32Array(1_024)

  clear(): void {
    this.arrivalMs = 0
    this.inputTokens = 0
    this.outputTokens = 0
    this.session = null
    this.tenant = null
    this.delayMs = -1
    this.blockCount = 0
  }

  pushBlock(low: number, high: number): void {
    if (this.blockCount === this.low.length) this.#grow()
    this.low[this.blockCount] = low
    this.high[this.blockCount] = high
    this.blockCount += 1
  }

  /** A block named by any integer: exact up to 64 bits. */
  pushInteger(id: bigint | number): void {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < 2 ** 31) this.pushBlock(id, 0)
    else {
      const wide = BigInt.asUintN(64, BigInt(id))
      this.pushBlock(Number(wide & 0xffffffffn) | 0, Number(wide >> 32n) | 0)
    }
  }

  /** A block named by any text: two independent 32-bit hashes stand for it, so among a million distinct names
   *  two are taken for one with a chance of about 1 in 40 million. */
  pushText(id: string): void {
    let low = 0x811c9dc5
    let high = 0x5bd1e995
    for (let at = 0; at < id.length; at += 1) {
      const code = id.charCodeAt(at)
      low = Math.imul(low ^ code, 0x01000193)
      high = mix(high, code)
    }
    this.pushBlock(mix(low, id.length), high)
  }

  #grow(): void {
    const low = new Int32Array(this.low.length * 2)
    const high = new Int32Array(this.low.length * 2)
    low.set(this.low)
    high.set(this.high)
    this.low = low
    this.high = high
  }
}

/** Numbers names in order of first appearance. */
class NameTable {
  readonly names: string[] = []
  readonly #index = new Map<string | number, number>()
  indexOf(name: string | number): number {
    const known = this.#index.get(name)
    if (known !== undefined) return known
    this.#index.set(name, this.names.length)
    this.names.push(String(name))
    return this.names.length - 1
  }
}

/** Collects requests into columns. */
export class TraceBuilder {
  readonly trie: Trie
  referenceCount = 0
  /** Requests left out by sampling. */
  leftOutCount = 0
  readonly #sampleBelow: number
  readonly #last = new IntColumn()
  readonly #arrivalMs = new FloatColumn()
  readonly #inputTokens = new IntColumn()
  readonly #outputTokens = new IntColumn()
  readonly #session = new IntColumn()
  readonly #tenant = new IntColumn()
  readonly #delayMs = new FloatColumn()
  readonly #sessions = new NameTable()
  readonly #tenants = new NameTable()
  #hasSession = false
  #hasTenant = false
  #hasDelay = false

  /** `sample` is the share of the conversations that is kept. */
  constructor(keepIds = false, sample = 1) {
    this.trie = new Trie(keepIds)
    this.#sampleBelow = sample * 2 ** 32
  }

  get requestCount(): number {
    return this.#last.length
  }

  add(draft: RequestDraft): void {
    if (this.#sampleBelow < 2 ** 32 && conversationHash(draft) >= this.#sampleBelow) {
      this.leftOutCount += 1
      return
    }
    let node = -1
    const { low, high, blockCount } = draft
    for (let at = 0; at < blockCount; at += 1) node = this.trie.child(node, low[at] ?? 0, high[at] ?? 0)
    this.#last.push(node)
    this.referenceCount += blockCount
    this.#arrivalMs.push(draft.arrivalMs)
    this.#inputTokens.push(draft.inputTokens)
    this.#outputTokens.push(draft.outputTokens)
    this.#session.push(draft.session === null ? -1 : this.#sessions.indexOf(draft.session))
    this.#tenant.push(draft.tenant === null ? -1 : this.#tenants.indexOf(draft.tenant))
    this.#delayMs.push(draft.delayMs)
    this.#hasSession ||= draft.session !== null
    this.#hasTenant ||= draft.tenant !== null
    this.#hasDelay ||= draft.delayMs >= 0
  }

  /** The finished trace. Requests stay in the order they were added. */
  build(name: string, blockTokens: number): TraceTree {
    return {
      name,
      blockTokens,
      requestCount: this.requestCount,
      nodeCount: this.trie.nodeCount,
      referenceCount: this.referenceCount,
      last: this.#last.shared(),
      depth: depthsOf(this.trie.parents.items, this.trie.nodeCount),
      parents: this.trie.parents.shared(),
      arrivalMs: this.#arrivalMs.shared(),
      inputTokens: this.#inputTokens.shared(),
      outputTokens: this.#outputTokens.shared(),
      session: this.#hasSession ? this.#session.shared() : null,
      tenant: this.#hasTenant ? this.#tenant.shared() : null,
      tenantNames: this.#tenants.names,
      delayMs: this.#hasDelay ? this.#delayMs.shared() : null,
    }
  }
}

/** A number below 2^32 that is the same for all requests of one conversation: of its session, or without one of its
 *  first blocks, because the very first is often common to all. Whole conversations are kept or left out, so
 *  that reuse within them stays as it is. */
function conversationHash(draft: RequestDraft): number {
  const { session, blockCount, low, high } = draft
  if (session !== null) {
    const text = String(session)
    let hash = text.length
    for (let at = 0; at < text.length; at += 1) hash = mix(hash, text.charCodeAt(at))
    return hash >>> 0
  }
  const at = Math.min(conversationDepth, blockCount - 1)
  return blockCount === 0
    ? mix(draft.inputTokens, draft.arrivalMs) >>> 0
    : mix(low[at] ?? 0, high[at] ?? 0) >>> 0
}

/** Position of the block that tells conversations apart when there are no sessions. */
const conversationDepth = 1

/** A child has a larger number than its parent, so one pass is enough. */
function depthsOf(parents: Int32Array, nodeCount: number): Int32Array {
  const depths = sharedInts(nodeCount)
  for (let node = 0; node < nodeCount; node += 1) {
    const parent = parents[node] ?? -1
    depths[node] = parent < 0 ? 0 : (depths[parent] ?? 0) + 1
  }
  return depths
}

/** A trace from lists of block ids, one per request, one second apart: for examples and tests. */
export function traceOfLists(
  name: string,
  lists: readonly (readonly number[])[],
  blockTokens = 1,
): TraceTree {
  const builder = new TraceBuilder()
  const draft = new RequestDraft()
  for (const [index, ids] of lists.entries()) {
    draft.clear()
    draft.arrivalMs = index * 1_000
    draft.inputTokens = ids.length * blockTokens
    for (const id of ids) draft.pushInteger(id)
    builder.add(draft)
  }
  return builder.build(name, blockTokens)
}
