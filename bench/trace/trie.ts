import { IntColumn } from './column.ts'

/** Ids below this are looked up by index, the others through a hash table. Why 2^24: the index then costs
 *  at most 64 MiB, and traces in the wild number their blocks from 0. */
const directIdMax = 2 ** 24

/** The prefix tree of a trace: a node per (parent node, block id), numbered in order of first appearance.
 *  Ids are 64-bit, given as two 32-bit halves.
 *  Most ids occur after one parent only: the first node of an id is found without hashing, further ones
 *  through an open-addressed table. */
export class Trie {
  readonly parents = new IntColumn()
  readonly depths = new IntColumn()
  readonly #ids = new IntColumn()
  /** First node of an id, plus 1; 0 is none. */
  #first = new Int32Array(1_024)
  #wideFirst = new Int32Array(1_024)
  readonly #wide = new PairTable()
  /** Open-addressed: nodes (plus 1) whose id had another node before. */
  #more = new Int32Array(1_024)
  #moreCount = 0

  get nodeCount(): number {
    return this.parents.length
  }

  /** The child of `parent` (-1 for a root) with the id, made when it is new. */
  child(parent: number, low: number, high: number): number {
    const direct = high === 0 && low >= 0 && low < directIdMax
    const id = direct ? low : directIdMax + this.#wide.intern(low, high)
    const slot = direct ? id : id - directIdMax
    const first = direct ? this.#first : this.#wideFirst
    const known = slot < first.length ? (first[slot] ?? 0) : 0
    if (known === 0) {
      const node = this.#add(parent, id)
      this.#setFirst(direct, slot, node + 1)
      return node
    }
    if (this.parents.items[known - 1] === parent) return known - 1
    return this.#later(parent, id)
  }

  /** The 64-bit id that a node was made with. */
  idOf(node: number): bigint {
    const id = this.#ids.items[node] ?? 0
    return id < directIdMax ? BigInt(id) : this.#wide.valueOf(id - directIdMax)
  }

  #add(parent: number, id: number): number {
    const node = this.parents.length
    this.parents.push(parent)
    this.#ids.push(id)
    this.depths.push(parent < 0 ? 0 : (this.depths.items[parent] ?? 0) + 1)
    return node
  }

  #setFirst(direct: boolean, slot: number, value: number): void {
    const first = direct ? this.#first : this.#wideFirst
    if (slot < first.length) {
      first[slot] = value
      return
    }
    const wider = new Int32Array(Math.max(slot + 1, first.length * 2))
    wider.set(first)
    wider[slot] = value
    if (direct) this.#first = wider
    else this.#wideFirst = wider
  }

  #later(parent: number, id: number): number {
    if (this.#moreCount * 2 >= this.#more.length) this.#growMore()
    const mask = this.#more.length - 1
    let at = mix(parent, id) & mask
    for (;;) {
      const node = (this.#more[at] ?? 0) - 1
      if (node < 0) break
      if (this.parents.items[node] === parent && this.#ids.items[node] === id) return node
      at = (at + 1) & mask
    }
    const node = this.#add(parent, id)
    this.#more[at] = node + 1
    this.#moreCount += 1
    return node
  }

  #growMore(): void {
    const wider = new Int32Array(this.#more.length * 2)
    const mask = wider.length - 1
    for (const entry of this.#more) {
      if (entry === 0) continue
      let at = mix(this.parents.items[entry - 1] ?? 0, this.#ids.items[entry - 1] ?? 0) & mask
      while (wider[at] !== 0) at = (at + 1) & mask
      wider[at] = entry
    }
    this.#more = wider
  }
}

/** Numbers 64-bit values (two 32-bit halves) in order of first appearance. */
export class PairTable {
  readonly #low = new IntColumn()
  readonly #high = new IntColumn()
  #slots = new Int32Array(1_024)

  get count(): number {
    return this.#low.length
  }

  intern(low: number, high: number): number {
    if (this.#low.length * 2 >= this.#slots.length) this.#grow()
    const mask = this.#slots.length - 1
    let at = mix(low, high) & mask
    for (;;) {
      const index = (this.#slots[at] ?? 0) - 1
      if (index < 0) break
      if (this.#low.items[index] === low && this.#high.items[index] === high) return index
      at = (at + 1) & mask
    }
    const index = this.#low.length
    this.#low.push(low)
    this.#high.push(high)
    this.#slots[at] = index + 1
    return index
  }

  valueOf(index: number): bigint {
    const high = BigInt.asUintN(32, BigInt(this.#high.items[index] ?? 0))
    return (high << 32n) | BigInt.asUintN(32, BigInt(this.#low.items[index] ?? 0))
  }

  #grow(): void {
    const wider = new Int32Array(this.#slots.length * 2)
    const mask = wider.length - 1
    for (let index = 0; index < this.#low.length; index += 1) {
      let at = mix(this.#low.items[index] ?? 0, this.#high.items[index] ?? 0) & mask
      while (wider[at] !== 0) at = (at + 1) & mask
      wider[at] = index + 1
    }
    this.#slots = wider
  }
}

/** A 32-bit hash of two integers (multiply-xor-shift rounds; the constants are those of murmur3's finalizer). */
export function mix(left: number, right: number): number {
  let hash = Math.imul(left, 0x85ebca6b) ^ right
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
