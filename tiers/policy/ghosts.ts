export type GhostKind = 'evicted' | 'refused'

/** Names of blocks that a tier let go, each kind in the order of going and bounded: a wish for one of them is regret. */
export class Ghosts<Key> {
  readonly #lists: Readonly<Record<GhostKind, Set<Key>>> = { evicted: new Set(), refused: new Set() }

  /** Remembers at most so many of each kind. */
  add(key: Key, kind: GhostKind, countMax: number): void {
    this.#lists[kind === 'evicted' ? 'refused' : 'evicted'].delete(key)
    const list = this.#lists[kind]
    list.delete(key)
    list.add(key)
    for (const oldest of list) {
      if (list.size <= countMax) return
      list.delete(oldest)
    }
  }

  /** Forgets the block, and says how it had gone; null when it is no ghost. */
  take(key: Key): GhostKind | null {
    if (this.#lists.evicted.delete(key)) return 'evicted'
    return this.#lists.refused.delete(key) ? 'refused' : null
  }
}
