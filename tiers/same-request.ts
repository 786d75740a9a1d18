import type { BlockKey } from './block/id.ts'

/** Loads remembered for the store that follows. Why: more requests than that are not under way on one node; what is forgotten
 *  counts as a use too many, nothing else. */
const loadsMax = 4_096

/** Knows which store belongs to a request that was counted already. An engine asks to load a chain, computes the rest and
 *  gives the new blocks: two asks, one use. Without this a policy would learn that every block comes back within seconds. */
export class SameRequest {
  /** Per last key of a loaded chain: how many stores are still to come. */
  readonly #loads = new Map<BlockKey, number>()

  /** A request began with this chain. */
  loaded(keys: readonly BlockKey[]): void {
    const tip = keys.at(-1)
    if (tip === undefined) return
    const count = this.#loads.get(tip) ?? 0
    this.#loads.delete(tip)
    this.#loads.set(tip, count + 1)
    for (const oldest of this.#loads.keys()) {
      if (this.#loads.size <= loadsMax) break
      this.#loads.delete(oldest)
    }
  }

  /** Whether a request that began with this chain, or the beginning of it, is the one whose blocks are given now. Each load
   *  is the beginning of one request. */
  stored(keys: readonly BlockKey[]): 'same' | 'other' {
    for (let at = keys.length - 1; at >= 0; at -= 1) {
      const tip = keys[at] as BlockKey
      const count = this.#loads.get(tip)
      if (count === undefined) continue
      if (count === 1) this.#loads.delete(tip)
      else this.#loads.set(tip, count - 1)
      return 'same'
    }
    return 'other'
  }
}
