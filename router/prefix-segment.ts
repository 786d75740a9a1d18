import type { SetId } from './owner-sets.ts'

/** Bytes of one place: two halves of the hash and the set. */
export const placeBytes = 12
const capacityMin = 16
/** The top bit of a set's number: whether the block was asked for since the hand last passed. Storing alone
 *  does not set it: a flood of new blocks must not push out those that requests come back to. */
const usedBit = 0x8000_0000
const setMask = 0x7fff_ffff

/** A small hash table from 64-bit names of blocks to sets of holders, with open addressing in typed arrays.
 *  It grows to a limit; then the hand of a clock goes round and takes out what was not used since it last
 *  came by. */
export class PrefixSegment {
  readonly #capacityMax: number
  #capacity = capacityMin
  #highs = new Uint32Array(capacityMin)
  #lows = new Uint32Array(capacityMin)
  /** 0 marks an empty place. */
  #sets = new Uint32Array(capacityMin)
  #count = 0
  #hand = 0

  /** `capacityMax` is a power of two. */
  constructor(capacityMax: number) {
    this.#capacityMax = Math.max(capacityMin, capacityMax)
  }

  get count(): number {
    return this.#count
  }

  get byteCount(): number {
    return this.#capacity * placeBytes
  }

  /** The set of the block, 0 when it is not here. */
  get(high: number, low: number): SetId {
    return (this.#sets[this.#find(high, low)] ?? 0) & setMask
  }

  /** The same for a request: marks the block as used. */
  use(high: number, low: number): SetId {
    const at = this.#find(high, low)
    const set = this.#sets[at] ?? 0
    if (set === 0) return 0
    this.#sets[at] = set | usedBit
    return set & setMask
  }

  /** Puts the block's set in place of what it had. `onEvict` is told the set of a block that had to go for
   *  it. */
  put(high: number, low: number, set: SetId, onEvict: (set: SetId) => void): void {
    let at = this.#find(high, low)
    if (this.#sets[at] === 0) {
      if ((this.#count + 1) * 4 > this.#capacity * 3) {
        if (this.#capacity < this.#capacityMax) this.#rebuild(this.#capacity * 2)
        else onEvict(this.#evict())
        at = this.#find(high, low)
      }
      this.#count += 1
      this.#highs[at] = high
      this.#lows[at] = low
    }
    this.#sets[at] = set | ((this.#sets[at] ?? 0) & usedBit)
  }

  delete(high: number, low: number): void {
    const at = this.#find(high, low)
    if (this.#sets[at] !== 0) this.#deleteAt(at)
  }

  /** Gives every block the set that `next` makes of its own; 0 takes the block out. */
  map(next: (set: SetId) => SetId): void {
    let kept = 0
    for (let at = 0; at < this.#capacity; at++) {
      const set = this.#sets[at] ?? 0
      if (set === 0) continue
      const after = next(set & setMask)
      this.#sets[at] = after === 0 ? 0 : after | (set & usedBit)
      if (after !== 0) kept += 1
    }
    // Places emptied in passing would break the runs of others: all are placed anew.
    if (kept === this.#count) return
    let capacity = this.#capacity
    while (capacity > capacityMin && kept * 4 < capacity) capacity /= 2
    this.#rebuild(capacity)
  }

  /** The place of the block, or the empty place where it would go. */
  #find(high: number, low: number): number {
    const mask = this.#capacity - 1
    let at = low & mask
    while (this.#sets[at] !== 0 && (this.#lows[at] !== low || this.#highs[at] !== high)) at = (at + 1) & mask
    return at
  }

  #evict(): SetId {
    const mask = this.#capacity - 1
    for (;;) {
      const at = this.#hand
      const set = this.#sets[at] ?? 0
      if (set !== 0 && (set & usedBit) === 0) {
        this.#deleteAt(at)
        return set & setMask
      }
      this.#sets[at] = set & setMask
      this.#hand = (at + 1) & mask
    }
  }

  /** Empties a place and moves later ones of its run back, so that no look-up stops short of them. */
  #deleteAt(gap: number): void {
    const mask = this.#capacity - 1
    let hole = gap
    for (let at = (gap + 1) & mask; this.#sets[at] !== 0; at = (at + 1) & mask) {
      const home = (this.#lows[at] ?? 0) & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.#highs[hole] = this.#highs[at] ?? 0
      this.#lows[hole] = this.#lows[at] ?? 0
      this.#sets[hole] = this.#sets[at] ?? 0
      hole = at
    }
    this.#sets[hole] = 0
    this.#count -= 1
  }

  #rebuild(capacity: number): void {
    const [highs, lows, sets] = [this.#highs, this.#lows, this.#sets]
    this.#capacity = capacity
    this.#highs = new Uint32Array(capacity)
    this.#lows = new Uint32Array(capacity)
    this.#sets = new Uint32Array(capacity)
    this.#hand = 0
    this.#count = 0
    for (let from = 0; from < sets.length; from++) {
      const set = sets[from] ?? 0
      if (set === 0) continue
      const at = this.#find(highs[from] ?? 0, lows[from] ?? 0)
      this.#highs[at] = highs[from] ?? 0
      this.#lows[at] = lows[from] ?? 0
      this.#sets[at] = set
      this.#count += 1
    }
  }
}
