import { crc32c } from '../../tiers/block/crc32c.ts'
import type { NamespaceId } from '../../tiers/block/id.ts'
import { blockBytesOf, type Layout, type Place } from '../../tiers/block/layout.ts'
import type { Namespace } from '../../tiers/block/namespace.ts'
import type { BlockStore, LoadAnswer, StoreAnswer } from '../../tiers/store.ts'

/** The one question every simulated run answers: were the served bytes ever stored under that name? A miss is always
 *  allowed,
 *  wrong bytes never are. */
export class ServedChecker {
  readonly #stored = new Map<string, Set<number>>()
  servedBlocks = 0

  stored(name: string, sum: number): void {
    const known = this.#stored.get(name)
    if (known === undefined) this.#stored.set(name, new Set([sum]))
    else known.add(sum)
  }

  served(name: string, sum: number): void {
    this.servedBlocks += 1
    if (this.#stored.get(name)?.has(sum) !== true) throw new Error(`wrong KV served for ${name}`)
  }
}

export function layoutOf(blockTokens: number, layerCount: number, pieceBytes: number): Layout {
  return {
    blockTokens,
    dtype: 'f16',
    planes: [
      { name: 'k', layerCount, pieceBytes },
      { name: 'v', layerCount, pieceBytes },
    ],
  }
}

export function namespaceOf(tenant: string, layout: Layout, revision = 'r1'): Namespace {
  return {
    tenant,
    model: 'model',
    revision,
    adapter: '',
    engine: 'sim',
    layout,
    rank: { index: 0, count: 1 },
    epoch: '',
  }
}

/** Where an engine's blocks lie: layer by layer, each layer with all its blocks. */
export function placeOf(layout: Layout, blockCount: number): Place {
  let base = 0
  const planes = layout.planes.map((plane) => {
    const layerStride = blockCount * plane.pieceBytes
    const at = { baseOffset: base, layerStride, blockStride: plane.pieceBytes }
    base += layerStride * plane.layerCount
    return at
  })
  return { planes }
}

/** An engine with memory for a few blocks. It computes a block's bytes from its whole prefix, and a salt per run of
 *  the computation:
 *  two computations of one prefix differ in a few bits, as they do on real machines. */
export class SimEngine {
  readonly memory: Uint8Array
  readonly blockMax: number
  readonly #layout: Layout
  readonly #namespace: Namespace
  readonly #place: Place
  readonly #checker: ServedChecker

  constructor(
    namespace: Namespace,
    blockMax: number,
    checker: ServedChecker,
    memory: Uint8Array | null = null,
  ) {
    this.#namespace = namespace
    this.#layout = namespace.layout
    this.blockMax = blockMax
    this.memory = memory ?? new Uint8Array(blockMax * blockBytesOf(this.#layout))
    this.#place = placeOf(this.#layout, blockMax)
    this.#checker = checker
  }

  /** Computes blocks `[first, first + count)` of the prompt into its memory, block i at index i. */
  compute(tokens: Uint32Array, first: number, count: number, salt: number): void {
    for (let block = first; block < first + count; block++) {
      const seed = this.#seed(tokens, block) ^ salt
      this.#each(block, (piece, n) => {
        for (let i = 0; i < piece.length; i++)
          piece[i] = (Math.imul(seed ^ (n * 7_919 + i), 2_654_435_761) >>> 24) & 255
      })
    }
  }

  /** Fills its memory with something else: what stays is no block. */
  wipe(): void {
    this.memory.fill(0xee)
  }

  async store(
    store: BlockStore,
    id: NamespaceId,
    region: number,
    tokens: Uint32Array,
    first: number,
    count: number,
    answerTokens = 0,
  ): Promise<StoreAnswer> {
    for (let block = first; block < first + count; block++) {
      this.#checker.stored(this.nameOf(tokens, block), this.sumOf(block))
    }
    const indexes = Uint32Array.from({ length: count }, (_, i) => first + i)
    return store.store(id, tokens, {
      firstBlock: first,
      blockCount: count,
      from: { region, place: this.#place, indexes },
      answerTokens,
    })
  }

  async load(
    store: BlockStore,
    id: NamespaceId,
    region: number,
    tokens: Uint32Array,
    count: number,
    deadlineMs: number,
    prefillMsPerBlock = 0,
  ): Promise<LoadAnswer> {
    const indexes = Uint32Array.from({ length: count }, (_, i) => i)
    const into = { region, place: this.#place, indexes }
    const wanted = { firstBlock: 0, blockCount: count, into, deadlineMs, prefillMsPerBlock }
    return store.load(id, tokens, wanted)
  }

  /** Throws when one of the leading blocks is not what was stored. */
  check(tokens: Uint32Array, readyBlocks: number): void {
    for (let block = 0; block < readyBlocks; block++) {
      this.#checker.served(this.nameOf(tokens, block), this.sumOf(block))
    }
  }

  sumOf(block: number): number {
    let sum = 0
    this.#each(block, (piece) => {
      sum = crc32c(piece, sum)
    })
    return sum
  }

  #each(block: number, visit: (piece: Uint8Array, n: number) => void): void {
    let n = 0
    for (const [i, plane] of this.#layout.planes.entries()) {
      const at = this.#place.planes[i]
      if (at === undefined) continue
      for (let layer = 0; layer < plane.layerCount; layer++) {
        const start = at.baseOffset + layer * at.layerStride + block * at.blockStride
        visit(this.memory.subarray(start, start + plane.pieceBytes), n++)
      }
    }
  }

  #seed(tokens: Uint32Array, block: number): number {
    const end = (block + 1) * this.#layout.blockTokens
    const { tenant, revision } = this.#namespace
    const prefix = new Uint8Array(tokens.buffer, tokens.byteOffset, end * 4)
    return crc32c(prefix, crc32c(new TextEncoder().encode(`${tenant}/${revision}`)))
  }

  /** What the checker knows a block by. */
  nameOf(tokens: Uint32Array, block: number): string {
    const end = (block + 1) * this.#layout.blockTokens
    const { tenant, revision } = this.#namespace
    return `${tenant}/${revision}/${blockBytesOf(this.#layout)}/${tokens.subarray(0, end).join('.')}`
  }
}
