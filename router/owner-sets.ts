/** A number for one holder's current state: a tier of a node, or a worker's own cache, for one model. Retired
 *  and replaced as a whole, never used again. */
export type HolderId = number
/** A number for one set of holders; 0 is the empty set. */
export type SetId = number

type OwnerSet = {
  readonly holders: readonly HolderId[]
  readonly key: string
  refs: number
  /** What this set becomes with one holder more or less: most changes are repeated for a whole prefix. */
  readonly plus: Map<HolderId, SetId>
  readonly minus: Map<HolderId, SetId>
}

/** Rough bytes of one set with its map entries, and of each holder in it: what the budget counts. */
const setBytes = 400
const holderBytes = 24

/** Sets of holders, each kept once: a million blocks of the same few holders share a few sets. */
export class OwnerSets {
  readonly #sets: (OwnerSet | null)[] = [null]
  readonly #byKey = new Map<string, SetId>()
  readonly #free: SetId[] = []
  readonly #setsMax: number
  #holderCount = 0

  constructor(setsMax: number) {
    this.#setsMax = setsMax
  }

  get byteCount(): number {
    return this.#byKey.size * setBytes + this.#holderCount * holderBytes
  }

  holdersOf(set: SetId): readonly HolderId[] {
    return this.#sets[set]?.holders ?? []
  }

  has(set: SetId, holder: HolderId): boolean {
    return this.holdersOf(set).includes(holder)
  }

  /** One more block has the set. */
  take(set: SetId): void {
    const entry = this.#sets[set]
    if (entry) entry.refs += 1
  }

  /** One block less has the set. */
  give(set: SetId): void {
    const entry = this.#sets[set]
    if (entry) entry.refs -= 1
  }

  /** The set with the holder; null when there is no room for another set. */
  with(set: SetId, holder: HolderId): SetId | null {
    const entry = this.#sets[set] ?? null
    const known = entry?.plus.get(holder)
    if (known !== undefined) return known
    const holders = this.holdersOf(set)
    if (holders.includes(holder)) return set
    const made = this.#intern([...holders, holder].sort((a, b) => a - b))
    if (made !== null) entry?.plus.set(holder, made)
    return made
  }

  /** The set without the holder; 0 when nothing is left. Without room for the smaller set the block is given
   *  up: 0 too. */
  without(set: SetId, holder: HolderId): SetId {
    const entry = this.#sets[set] ?? null
    const known = entry?.minus.get(holder)
    if (known !== undefined) return known
    const holders = this.holdersOf(set)
    if (!holders.includes(holder)) return set
    const made = this.#intern(holders.filter((id) => id !== holder))
    if (made !== null) entry?.minus.set(holder, made)
    return made ?? 0
  }

  #intern(holders: readonly HolderId[]): SetId | null {
    if (holders.length === 0) return 0
    const key = holders.join(',')
    const known = this.#byKey.get(key)
    if (known !== undefined) return known
    if (this.#byKey.size >= this.#setsMax) this.#reclaim()
    if (this.#byKey.size >= this.#setsMax) return null
    const id = this.#free.pop() ?? this.#sets.length
    this.#sets[id] = { holders, key, refs: 0, plus: new Map(), minus: new Map() }
    this.#byKey.set(key, id)
    this.#holderCount += holders.length
    return id
  }

  /** Frees the sets that no block has. Remembered changes may name them, so all of those go too. */
  #reclaim(): void {
    for (const [id, entry] of this.#sets.entries()) {
      if (entry === null) continue
      entry.plus.clear()
      entry.minus.clear()
      if (entry.refs > 0) continue
      this.#byKey.delete(entry.key)
      this.#holderCount -= entry.holders.length
      this.#sets[id] = null
      this.#free.push(id)
    }
  }
}
