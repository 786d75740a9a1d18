import { IntColumn } from './column.ts'

/** Ids below the first bound are always found by index; those below the second only while they are not much larger
 *  than the number of nodes. Why: an index entry costs 4 bytes, so traces that number their blocks from 0 take
 *  least memory, and a few large ids do not spread it. */
const directIdAlways = 2 ** 22
const directIdMax = 2 ** 30

/** The prefix tree of a trace: a node per (parent node, block id), numbered in order of first appearance.
 *  Ids are 64-bit, given as two 32-bit halves.
 *  Most ids occur after one parent only: the first node of an id is found without comparing ids, further
 *  ones through an open-addressed table. So a node takes 8 bytes as long as ids are dense. */
export class Trie {
  readonly parents = new IntColumn()
  /** Code of each node's id, kept only on request. */
  readonly #codes: IntColumn | null
  /** Per small id its first node, plus 1; 0 is none. Per wide id (numbered by `#wide`) the same. */
  readonly #first = new IntColumn()
  readonly #wideFirst = new IntColumn()
  readonly #wide = new PairTable()
  readonly #later = new LaterNodes()

  constructor(keepIds: boolean) {
    this.#codes = keepIds ? new IntColumn() : null
  }

  get nodeCount(): number {
    return this.parents.length
  }

  /** The child of `parent` (-1 for a root) with the id, made when it is new. */
  child(parent: number, low: number, high: number): number {
    if (high === 0 && low >= 0 && low < directIdMax) {
      const known = low < this.#first.items.length ? (this.#first.items[low] ?? 0) : 0
      if (known !== 0) {
        if (this.parents.items[known - 1] === parent) return known - 1
        return this.#further(parent, low)
      }
      const isWide = this.#wide.count > 0 && this.#wide.find(low, 0) >= 0
      if (!isWide && low < directIdAlways + 4 * this.parents.length) {
        this.#first.reserve(low + 1)
        return this.#add(parent, low, this.#first, low)
      }
    }
    const index = this.#wide.intern(low, high)
    const code = -1 - index
    this.#wideFirst.reserve(index + 1)
    const known = this.#wideFirst.items[index] ?? 0
    if (known === 0) return this.#add(parent, code, this.#wideFirst, index)
    if (this.parents.items[known - 1] === parent) return known - 1
    return this.#further(parent, code)
  }

  /** The 64-bit id that a node was made with; only when ids are kept. */
  idOf(node: number): bigint {
    const code = this.#codes?.items[node] ?? 0
    return code >= 0 ? BigInt(code) : this.#wide.valueOf(-1 - code)
  }

  #add(parent: number, code: number, first: IntColumn, slot: number): number {
    const node = this.parents.length
    first.items[slot] = node + 1
    this.parents.push(parent)
    this.#codes?.push(code)
    return node
  }

  #further(parent: number, code: number): number {
    const known = this.#later.find(parent, code)
    if (known >= 0) return known
    const node = this.parents.length
    this.parents.push(parent)
    this.#codes?.push(code)
    this.#later.add(parent, code, node)
    return node
  }
}

/** Nodes whose id had another node before, by parent and id: an open-addressed table. */
class LaterNodes {
  #parents = new Int32Array(1_024)
  #codes = new Int32Array(1_024)
  /** Node plus 1; 0 is a free place. */
  #nodes = new Int32Array(1_024)
  #count = 0

  find(parent: number, code: number): number {
    const mask = this.#nodes.length - 1
    for (let at = mix(parent, code) & mask; ; at = (at + 1) & mask) {
      const node = (this.#nodes[at] ?? 0) - 1
      if (node < 0 || (this.#parents[at] === parent && this.#codes[at] === code)) return node
    }
  }

  add(parent: number, code: number, node: number): void {
    if (this.#count * 2 >= this.#nodes.length) this.#grow()
    this.#put(parent, code, node + 1)
    this.#count += 1
  }

  #put(parent: number, code: number, entry: number): void {
    const mask = this.#nodes.length - 1
    let at = mix(parent, code) & mask
    while (this.#nodes[at] !== 0) at = (at + 1) & mask
    this.#parents[at] = parent
    this.#codes[at] = code
    this.#nodes[at] = entry
  }

  #grow(): void {
    const [parents, codes, nodes] = [this.#parents, this.#codes, this.#nodes]
    this.#parents = new Int32Array(nodes.length * 2)
    this.#codes = new Int32Array(nodes.length * 2)
    this.#nodes = new Int32Array(nodes.length * 2)
    for (const [at, entry] of nodes.entries()) {
      if (entry !== 0) this.#put(parents[at] ?? 0, codes[at] ?? 0, entry)
    }
  }
}

/** Numbers 64-bit values (two 32-bit halves) in order of first appearance. */
class PairTable {
  readonly #low = new IntColumn()
  readonly #high = new IntColumn()
  #slots = new Int32Array(1_024)

  get count(): number {
    return this.#low.length
  }

  /** The value's number, or -1 when it has none. */
  find(low: number, high: number): number {
    return (this.#slots[this.#placeOf(low, high)] ?? 0) - 1
  }

  intern(low: number, high: number): number {
    if (this.#low.length * 2 >= this.#slots.length) this.#grow()
    const place = this.#placeOf(low, high)
    const known = (this.#slots[place] ?? 0) - 1
    if (known >= 0) return known
    const index = this.#low.length
    this.#low.push(low)
    this.#high.push(high)
    this.#slots[place] = index + 1
    return index
  }

  valueOf(index: number): bigint {
    const high = BigInt.asUintN(32, BigInt(this.#high.items[index] ?? 0))
    return (high << 32n) | BigInt.asUintN(32, BigInt(this.#low.items[index] ?? 0))
  }

  /** Where the value is, or the free place where it would be. */
  #placeOf(low: number, high: number): number {
    const mask = this.#slots.length - 1
    for (let at = mix(low, high) & mask; ; at = (at + 1) & mask) {
      const index = (this.#slots[at] ?? 0) - 1
      if (index < 0 || (this.#low.items[index] === low && this.#high.items[index] === high)) return at
    }
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2)
    for (let index = 0; index < this.#low.length; index += 1) {
      this.#slots[this.#placeOf(this.#low.items[index] ?? 0, this.#high.items[index] ?? 0)] = index + 1
    }
  }
}

/** A 32-bit hash of two integers (multiply-xor-shift rounds; the constants are those of murmur3's finalizer). */
export function mix(left: number, right: number): number {
  let hash = Math.imul(left, 0x85ebca6b) ^ right
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
