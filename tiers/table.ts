import type { Arena } from './arena.ts'
import { assert } from './block/assert.ts'
import type { BlockKey, NamespaceId, Slot, SlotIndex } from './block/id.ts'
import type { RouteHash } from './block/route.ts'
import { type Lease, LeaseBook } from './lease.ts'
import { type EvictionPolicy, noNotes, noRow, type Row, type TierBelow } from './policy/eviction.ts'
import { type BlockState, type FillDone, finishFill, sameSlot } from './state.ts'

/** What a block is, wherever it lies. */
export type Identity = {
  readonly key: BlockKey
  readonly parent: BlockKey | null
  readonly namespace: NamespaceId
  readonly position: number
  readonly route: RouteHash
  readonly payloadBytes: number
}

export type Claimed =
  | { readonly as: 'claimed'; readonly row: Row; readonly slot: Slot }
  /** The tier holds the key, or is being filled with it. */
  | { readonly as: 'known'; readonly row: Row }
  | { readonly as: 'full' }
  | { readonly as: 'too_large' }

/** The tier below, as a policy may know it, by key. */
export type KeysBelow = Omit<TierBelow, 'holds'> & { readonly holds: (key: BlockKey) => boolean }

/** In which order a policy wants blocks that were added together, so that its order of use comes out right. */
export type VisitOrder = 'tree' | 'leaf-first' | 'root-first'

export type FillOutcome = 'sealed' | 'copy_failed' | 'stale_generation'
export type Held = { readonly identity: Identity; readonly state: BlockState }
/** A pinned block: where its bytes lie and what they must sum to. */
export type Pinned = {
  readonly lease: Lease
  readonly slot: Slot
  readonly checksum: number
  readonly identity: Identity
}

/** The blocks of one tier that has slots, and the ONLY writer of their states. A row is a small dense number, the
 *  policy's name for a block; it is reused only after the slot under it came free.
 *
 *  Invariants: a key has at most one row; every filling, sealed or draining row owns exactly one slot; the policy knows
 *  exactly the sealed rows; a slot with a lease is never given back. */
export class BlockTable {
  readonly leases = new LeaseBook()
  readonly #arena: Arena
  readonly #makePolicy: (capacityBlocks: number) => EvictionPolicy
  /** Made with the first block: only then is it known how many of its size the tier holds. */
  #policy: EvictionPolicy | null = null
  #below: KeysBelow | null = null
  readonly #slotBytesOf: (payloadBytes: number) => number
  readonly #rows: (Held | null)[]
  readonly #byKey = new Map<BlockKey, Row>()
  readonly #bySlot = new Map<SlotIndex, Row>()
  readonly #freeRows: Row[] = []
  readonly #rowMax: number
  /** Rows the policy was told about. */
  readonly #known = new Set<Row>()
  readonly #order: VisitOrder
  /** Keys of chains of which more is on its way, here or not yet, with how many wait for it. */
  readonly #wanted = new Map<BlockKey, number>()
  #sealedCount = 0
  #waiting: (() => void)[] = []

  constructor(
    arena: Arena,
    makePolicy: (capacityBlocks: number) => EvictionPolicy,
    order: VisitOrder,
    rowMax: number,
    slotBytesOf: (payloadBytes: number) => number,
  ) {
    this.#arena = arena
    this.#makePolicy = makePolicy
    this.#order = order
    this.#rowMax = rowMax
    this.#slotBytesOf = slotBytesOf
    this.#rows = []
  }

  get sealedCount(): number {
    return this.#sealedCount
  }

  /** The row under which the key can be found, whatever its state. */
  rowOf(key: BlockKey): Row {
    return this.#byKey.get(key) ?? noRow
  }

  /** The row of a block that can be read now, or `noRow`. */
  sealedRowOf(key: BlockKey): Row {
    const row = this.rowOf(key)
    return row !== noRow && this.#rows[row]?.state.at === 'sealed' ? row : noRow
  }

  rowAt(slot: SlotIndex): Row {
    return this.#bySlot.get(slot) ?? noRow
  }

  at(row: Row): Held {
    const held = this.#rows[row]
    assert(held !== null && held !== undefined, 'a row in use holds a block')
    return held
  }

  /** Write protocol, first step: a slot of its own under a new generation, invisible to readers. */
  claim(identity: Identity): Claimed {
    const known = this.rowOf(identity.key)
    if (known !== noRow) return { as: 'known', row: known }
    if (this.#freeRows.length === 0 && this.#rows.length >= this.#rowMax) return { as: 'full' }
    const acquired = this.#arena.acquire(this.#slotBytesOf(identity.payloadBytes))
    if (acquired.as !== 'slot') return acquired
    const row = this.#place(identity, { at: 'filling', slot: acquired.slot })
    return { as: 'claimed', row, slot: acquired.slot }
  }

  /** Write protocol, last step. A failed fill gives the slot back; a completion for an earlier owner changes nothing. */
  finishFill(row: Row, done: FillDone): FillOutcome {
    const held = this.#rows[row]
    if (held?.state.at !== 'filling') return 'stale_generation'
    const filled = finishFill(held.state, done)
    if (filled.as === 'ignored') return filled.why
    if (filled.as === 'refused') {
      this.#free(row, held)
      return filled.why
    }
    this.#rows[row] = { identity: held.identity, state: filled.state }
    this.#sealedCount += 1
    this.#released()
    return 'sealed'
  }

  /** A fill whose copy is overdue: the key is free for others at once, the slot only when `release` says the copy ended. */
  abandonFill(row: Row, slot: Slot): { readonly release: () => void } {
    const { identity, state } = this.at(row)
    assert(state.at === 'filling' && sameSlot(state.slot, slot), 'only its own fill is abandoned')
    this.#unindex(identity.key, row)
    this.#rows[row] = { identity, state: { at: 'draining', slot, pins: 1 } }
    return { release: () => this.#unpinRow(row) }
  }

  /** Recovery: a block that was found whole in a slot the arena has adopted. */
  restore(identity: Identity, slot: Slot, checksum: number): Row {
    assert(this.rowOf(identity.key) === noRow, 'a key is restored once')
    const row = this.#place(identity, { at: 'sealed', slot, checksum, pins: 0 })
    this.#sealedCount += 1
    return row
  }

  /** Whether a copy holds some slot at this moment. */
  get isInUse(): boolean {
    return this.leases.count > 0 || this.#bySlot.size > this.#sealedCount
  }

  /** Resolves when a copy lets go of a slot. */
  nextRelease(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  get rowsLeft(): number {
    return this.#rowMax - this.#rows.length + this.#freeRows.length
  }

  /** Read protocol: nothing may reuse the slot until `unpin`. Null when the block cannot be read now. */
  pin(key: BlockKey, nowMs: number): Pinned | null {
    const row = this.rowOf(key)
    const held = row === noRow ? null : this.at(row)
    if (held === null || held.state.at !== 'sealed') return null
    const { identity, state } = held
    this.#rows[row] = { identity, state: { ...state, pins: state.pins + 1 } }
    const lease = this.leases.give(row, state.slot, nowMs)
    return { lease, slot: state.slot, checksum: state.checksum, identity }
  }

  /** Read protocol: whether the row still has the slot, with the generation, it was pinned with. */
  stillHolds(lease: Lease): 'same' | 'changed' {
    const held = this.#rows[lease.row]
    return held != null && sameSlot(held.state.slot, lease.slot) ? 'same' : 'changed'
  }

  unpin(lease: Lease): void {
    if (!this.leases.end(lease)) return
    assert(this.stillHolds(lease) === 'same', 'a leased slot keeps its generation')
    this.#unpinRow(lease.row)
  }

  /** Un-indexes a sealed block. Its slot comes free now, or when the last copy on it has ended. */
  drop(row: Row, evicted: boolean, nowMs: number): Identity {
    const held = this.at(row)
    const { identity, state } = held
    assert(state.at === 'sealed', 'only a sealed block is dropped')
    this.#unindex(identity.key, row)
    this.#sealedCount -= 1
    if (this.#known.delete(row)) this.#policy?.onDrop(row, evicted, nowMs)
    this.#rows[row] = { identity, state: { at: 'draining', slot: state.slot, pins: state.pins } }
    if (state.pins === 0) this.#free(row, this.at(row))
    return identity
  }

  /** The block to give up next among those that nobody reads, or `noRow`. */
  victim(nowMs: number, mayLeave: (held: Held) => boolean = () => true): Row {
    const isHeld = (row: Row): boolean => {
      const held = this.#rows[row]
      return held?.state.at !== 'sealed' || held.state.pins > 0 || !mayLeave(held)
    }
    const isWanted = (row: Row): boolean => isHeld(row) || this.#wanted.has(this.at(row).identity.key)
    const row = this.#policy?.victim(isWanted, nowMs) ?? noRow
    if (row !== noRow || this.#wanted.size === 0) return row
    return this.#policy?.victim(isHeld, nowMs) ?? noRow
  }

  /** Makes sealed blocks known to the policy, so that they can be evicted. Root first; the policy gets them in its
   *  own order. */
  admit(identities: readonly Identity[], nowMs: number): void {
    const fresh: Row[] = []
    for (const { key } of identities) {
      const row = this.sealedRowOf(key)
      if (row !== noRow && !this.#known.has(row)) fresh.push(row)
    }
    const [first] = fresh
    if (first === undefined) return
    this.#policy ??= this.#madePolicy(this.at(first).identity.payloadBytes)
    this.#policy.onVisit(new Int32Array(0), 0, 0, nowMs)
    for (const row of this.#order === 'leaf-first' ? fresh.reverse() : fresh) {
      const { key, parent, position } = this.at(row).identity
      const above = parent === null ? noRow : this.sealedRowOf(parent)
      this.#known.add(row)
      const parentRow = this.#known.has(above) ? above : noRow
      this.#policy.onAdd(row, parentRow, position, position + 1, nowMs, nameOf(key))
    }
    this.#policy.onVisitEnd()
  }

  #madePolicy(payloadBytes: number): EvictionPolicy {
    const policy = this.#makePolicy(this.#capacityFor(payloadBytes))
    const below = this.#below
    if (below !== null) policy.over?.({ ...below, holds: (row) => below.holds(this.at(row).identity.key) })
    return policy
  }

  /** What lies below the tier, for a policy that cares; before the first block. */
  useBelow(below: KeysBelow): void {
    this.#below = below
  }

  /** The tier below has stored a block that may be here too. */
  storedBelow(key: BlockKey): void {
    const row = this.sealedRowOf(key)
    if (this.#known.has(row)) this.#policy?.onStoredBelow?.(row)
  }

  /** Whether the policy cares for what lies below: then it has kept blocks in order to learn whether they deserve a place there. */
  get judgesForBelow(): 'yes' | 'no' {
    return this.#below !== null && this.#policy?.over !== undefined ? 'yes' : 'no'
  }

  /** Tells the policy that a request walked this chain, from its root on. */
  visit(keys: readonly BlockKey[], readyCount: number, nowMs: number): void {
    if (this.#policy === null) return
    const rows = this.#knownRows(keys)
    // Names of absent blocks too: a policy learns from what was evicted or not yet stored.
    const names = Float64Array.from(keys, nameOf)
    this.#policy.onVisit(rows, rows.length, readyCount, nowMs, { ...noNotes, names })
    this.#policy.onVisitEnd()
  }

  /** Tells the policy how long the answer to a request with this chain was. */
  answered(keys: readonly BlockKey[], answerTokens: number): void {
    if (this.#policy?.onAnswer === undefined) return
    const names = Float64Array.from(keys, nameOf)
    this.#policy.onAnswer(this.#knownRows(keys), keys.length, answerTokens, names)
  }

  /** Tells the policy that a request it was told of has brought in more of this chain. */
  reorder(keys: readonly BlockKey[]): void {
    this.#policy?.reorder?.(this.#knownRows(keys), keys.length)
  }

  /** Until the answer is called, blocks of this chain leave only when nothing else can: more of it is on its way, and a
   *  block without those before it is of no use. */
  wantChain(keys: readonly BlockKey[]): () => void {
    for (const key of keys) this.#wanted.set(key, (this.#wanted.get(key) ?? 0) + 1)
    return () => {
      for (const key of keys) {
        const left = (this.#wanted.get(key) ?? 1) - 1
        if (left === 0) this.#wanted.delete(key)
        else this.#wanted.set(key, left)
      }
    }
  }

  /** Chance that a block is used within the horizon, resident or not; null where the policy does not know. */
  chanceOfUse(key: BlockKey, nowMs: number, horizonMs: number): number | null {
    const row = this.sealedRowOf(key)
    return (
      this.#policy?.chanceOfUse?.(this.#known.has(row) ? row : noRow, nowMs, horizonMs, nameOf(key)) ?? null
    )
  }

  /** Every block that can be read now. */
  *sealed(): Generator<Identity> {
    for (const held of this.#rows) if (held?.state.at === 'sealed') yield held.identity
  }

  /** Checks the invariants; tests call it after every step. */
  check(): void {
    let owners = 0
    const slots = new Set<SlotIndex>()
    for (const [row, held] of this.#rows.entries()) {
      if (held === null) continue
      owners += 1
      assert(!slots.has(held.state.slot.index), 'a slot has one owner')
      slots.add(held.state.slot.index)
      assert(this.rowAt(held.state.slot.index) === row, 'a slot knows its row')
      const indexed = this.rowOf(held.identity.key) === row
      assert(indexed === (held.state.at !== 'draining'), 'exactly the draining rows cannot be found')
    }
    assert(owners === this.#bySlot.size, 'every slot in use has a row')
    assert(owners + this.#freeRows.length === this.#rows.length, 'a row is in use or free')
  }

  #knownRows(keys: readonly BlockKey[]): Int32Array {
    return Int32Array.from(keys, (key) => {
      const row = this.sealedRowOf(key)
      return this.#known.has(row) ? row : noRow
    })
  }

  #capacityFor(payloadBytes: number): number {
    const slots = this.#arena.slotsMax(this.#slotBytesOf(payloadBytes))
    return Math.max(1, Math.min(slots, this.#rowMax))
  }

  #place(identity: Identity, state: BlockState): Row {
    const row = this.#freeRows.pop() ?? this.#rows.length
    this.#rows[row] = { identity, state }
    this.#byKey.set(identity.key, row)
    assert(!this.#bySlot.has(state.slot.index), 'a slot has one owner')
    this.#bySlot.set(state.slot.index, row)
    return row
  }

  #unpinRow(row: Row): void {
    const { identity, state } = this.at(row)
    assert(state.at !== 'filling' && state.pins > 0, 'a pin is taken back once')
    const pins = state.pins - 1
    this.#rows[row] = { identity, state: { ...state, pins } }
    if (state.at === 'draining' && pins === 0) this.#free(row, this.at(row))
    else if (pins === 0) this.#released()
  }

  #released(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #unindex(key: BlockKey, row: Row): void {
    assert(this.#byKey.get(key) === row, 'a key leads to its row')
    this.#byKey.delete(key)
  }

  #free(row: Row, held: Held): void {
    if (held.state.at !== 'draining') this.#unindex(held.identity.key, row)
    this.#bySlot.delete(held.state.slot.index)
    this.#rows[row] = null
    this.#freeRows.push(row)
    this.#arena.giveBack(held.state.slot)
    this.#released()
  }
}

/** A number that outlives the residence: 48 bits of the key. */
function nameOf(key: BlockKey): number {
  let name = 0
  for (let i = 0; i < 6; i++) name = name * 256 + key.charCodeAt(i)
  return name
}
