import type { AdmissionFacts } from './admission.ts'

const knownFlag = 1
const evictedFlag = 2
/** One use, in the bits above the flags. */
const oneUse = 4
const usesMax = 2 ** 24

/** What happened to blocks, resident or not: the facts an admission rule judges by. Bounded: what was not touched for longest is
 *  forgotten first, and then counts as new. */
export class BlockPast<Key> {
  readonly #blocksMax: number
  readonly #facts = new Map<Key, number>()

  constructor(blocksMax: number) {
    this.#blocksMax = blocksMax
  }

  get blockCount(): number {
    return this.#facts.size
  }

  /** A request used these blocks. */
  used(keys: Iterable<Key>): void {
    for (const key of keys) {
      const facts = this.#facts.get(key) ?? 0
      this.#put(key, facts < usesMax * oneUse ? facts + oneUse : facts)
    }
  }

  /** A request that hit at least two blocks held these: they belong to a known conversation. */
  known(keys: Iterable<Key>): void {
    for (const key of keys) this.#put(key, (this.#facts.get(key) ?? 0) | knownFlag)
  }

  /** The tier above gave the block up. */
  evicted(key: Key): void {
    this.#put(key, (this.#facts.get(key) ?? 0) | evictedFlag)
  }

  factsOf(key: Key): Omit<AdmissionFacts, 'chanceOfUse'> {
    const facts = this.#facts.get(key) ?? 0
    return {
      uses: Math.floor(facts / oneUse),
      evictedBefore: (facts & evictedFlag) !== 0,
      knownPrefix: (facts & knownFlag) !== 0,
    }
  }

  #put(key: Key, facts: number): void {
    this.#facts.delete(key)
    this.#facts.set(key, facts)
    if (this.#facts.size <= this.#blocksMax) return
    for (const oldest of this.#facts.keys()) {
      this.#facts.delete(oldest)
      return
    }
  }
}
