import type { TierAdmission } from './admit.ts'
import { beforeDeadline } from './block/clock.ts'
import type { BlockKey } from './block/id.ts'
import { copyMsMax, planBlocksMax, writebackBlocksMax } from './block/limits.ts'
import type { Climber } from './climb.ts'
import { type Parts, sealOf } from './parts.ts'
import { noRow } from './policy/eviction.ts'
import { planDemotion } from './policy/plan.ts'
import type { Identity, Pinned } from './table.ts'
import type { ColdTier, WriteWanted } from './tier.ts'

/** Payload bytes of one batch. Why: a batch shares one flush, and its pins keep host slots from being reused. */
const batchBytesMax = 16 * 2 ** 20
/** Pause after a tier refused or failed, in milliseconds. */
const refusedPauseMs = 250

/** Brings blocks down to one cold tier, soon after they were stored, so that they survive the process. Why a queue
 *  and not the
 *  order of eviction: durability wants roots first and now, eviction wants leaves and late. */
export class Writeback {
  readonly #parts: Parts
  readonly #climber: Climber
  readonly #tier: ColdTier
  /** Null where every block is taken, as soon as it is there. */
  readonly #admission: TierAdmission | null
  readonly #queue = new Map<BlockKey, Identity>()
  /** Admitted blocks that host memory gives up, until they are written. */
  readonly #saving = new Set<BlockKey>()
  #running: Promise<void> | null = null
  #stopped = false

  constructor(parts: Parts, climber: Climber, tier: ColdTier, admission: TierAdmission | null) {
    this.#parts = parts
    this.#climber = climber
    this.#tier = tier
    this.#admission = admission
  }

  get waiting(): number {
    return this.#queue.size
  }

  /** Takes note of blocks that were just stored or used. */
  add(identities: readonly Identity[]): void {
    if (this.#admission?.demotion !== 'demote') this.#offer(identities)
  }

  #offer(identities: readonly Identity[]): void {
    for (const identity of identities) {
      if (this.#stopped || this.#has(identity.key) || this.#queue.has(identity.key)) continue
      if (this.#wants(identity) === 'unwanted') continue
      if (this.#admission !== null) for (const above of this.#comingAlong(identity)) this.#enqueue(above)
      this.#enqueue(identity)
    }
    this.#gauge()
    this.#start()
  }

  #enqueue(identity: Identity): void {
    if (this.#queue.size < writebackBlocksMax) this.#queue.set(identity.key, identity)
    else this.#dropped('queue_full')
  }

  /** Whether the tier takes a block that host memory gives up now; `save` is then called with it. */
  takes(identity: Identity): 'wanted' | 'unwanted' {
    if (this.#admission === null) return 'wanted'
    if (this.#wants(identity) === 'unwanted') return 'unwanted'
    // The victims of one moment are asked about before the first of them is written: none is promised twice.
    for (const { key } of [...this.#comingAlong(identity), identity]) this.#saving.add(key)
    return 'wanted'
  }

  /** Whether the tier, which lacks the block, takes it. What is on its way already was asked about before. */
  #wants(identity: Identity): 'wanted' | 'unwanted' {
    if (this.#admission === null || this.#isOnItsWay(identity.key)) return 'wanted'
    if (this.#admission.admits(identity) === 'refused') return 'unwanted'
    const along = this.#comingAlong(identity)
    const [{ parent } = identity] = along
    if (parent !== null && !this.#has(parent) && !this.#isOnItsWay(parent)) {
      // With a gap above it the tier could never serve it alone.
      this.#admission.refused(identity.key, 'ancestor_absent')
      return 'unwanted'
    }
    const byteCount = along.reduce((sum, { payloadBytes }) => sum + payloadBytes, identity.payloadBytes)
    return this.#admission.promise(identity, byteCount) === 'promised' ? 'wanted' : 'unwanted'
  }

  /** Writes pinned blocks now, with those of their ancestors that the tier lacks: what leaves host memory must be
   *  reachable below. */
  async save(pinned: readonly Pinned[]): Promise<void> {
    const nowMs = this.#parts.world.nowMs()
    const pins = new Map<BlockKey, Pinned>(pinned.map((one) => [one.identity.key, one]))
    const borrowed: Pinned[] = []
    for (const { identity } of pinned) {
      const above = this.#ancestorsOf(identity).map(({ key }) => key)
      for (const key of planDemotion(above, (one) => this.#has(one) || pins.has(one))) {
        const ancestor = this.#parts.host.table.pin(key, nowMs)
        if (ancestor === null) continue
        pins.set(key, ancestor)
        borrowed.push(ancestor)
      }
    }
    const ordered = [...pins.values()].sort((a, b) => a.identity.position - b.identity.position)
    const writing = this.#write(ordered).finally(() => {
      for (const { lease } of borrowed) this.#parts.host.table.unpin(lease)
      for (const { identity } of ordered) this.#saving.delete(identity.key)
    })
    await writing
  }

  /** Writes what waits until the deadline; the rest is lost with the process, which makes it a miss. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#admission?.demotion === 'demote') await this.#offerAll(deadlineMs)
    await this.#drain(deadlineMs)
    this.#stopped = true
    for (const _ of this.#queue.keys()) this.#dropped('stopping')
    this.#queue.clear()
    this.#gauge()
    if (this.#running !== null) await beforeDeadline(this.#parts.world, deadlineMs, this.#running)
  }

  /** Offers what host memory would have given up later, roots first. */
  async #offerAll(deadlineMs: number): Promise<void> {
    const held = [...this.#parts.host.table.sealed()].sort((a, b) => a.position - b.position)
    const groupMax = writebackBlocksMax / 2
    for (let first = 0; first < held.length; first += groupMax) {
      this.#offer(held.slice(first, first + groupMax))
      await this.#drain(deadlineMs)
    }
  }

  async #drain(deadlineMs: number): Promise<void> {
    while (this.#queue.size > 0 && this.#parts.world.nowMs() < deadlineMs) {
      this.#start()
      if (this.#running === null) break
      const before = this.#queue.size
      const ended = await beforeDeadline(this.#parts.world, deadlineMs, this.#running)
      if (ended === null || this.#queue.size >= before) break
    }
  }

  /** Forgets what waits. */
  clear(): void {
    this.#queue.clear()
    this.#gauge()
  }

  #start(): void {
    if (this.#running !== null || this.#queue.size === 0) return
    this.#running = this.#loop().finally(() => {
      this.#running = null
    })
  }

  async #loop(): Promise<void> {
    while (this.#queue.size > 0) {
      if (this.#isResting) {
        if (this.#stopped) return
        await this.#parts.world.sleep(refusedPauseMs)
        continue
      }
      const batch = this.#nextBatch()
      await this.#bringUp(batch.filter(({ key }) => this.#parts.host.table.sealedRowOf(key) < 0))
      const pins: Pinned[] = []
      for (const { key } of batch) {
        const pinned = this.#has(key) ? null : this.#parts.host.table.pin(key, this.#parts.world.nowMs())
        if (pinned !== null) pins.push(pinned)
        else {
          if (!this.#has(key)) this.#dropped('evicted_before')
          this.#queue.delete(key)
        }
      }
      const outcome = await this.#write(pins)
      for (const { lease, identity } of pins) {
        this.#parts.host.table.unpin(lease)
        // What a resting tier refused is tried again once it serves; anything else had its chance.
        if (!this.#isResting || this.#has(identity.key)) this.#queue.delete(identity.key)
      }
      this.#gauge()
      if (outcome === 'refused' && !this.#stopped) await this.#parts.world.sleep(refusedPauseMs)
    }
  }

  get #isResting(): boolean {
    return this.#tier.usage().state !== 'serving'
  }

  #nextBatch(): Identity[] {
    const batch: Identity[] = []
    let bytes = 0
    for (const identity of this.#queue.values()) {
      const slotsMax = Math.max(1, Math.floor(this.#parts.host.arena.slotsMax(identity.payloadBytes) / 4))
      if (batch.length > 0 && bytes + identity.payloadBytes > batchBytesMax) break
      if (batch.length >= Math.min(planBlocksMax, slotsMax)) break
      batch.push(identity)
      bytes += identity.payloadBytes
    }
    return batch
  }

  /** Blocks that left host memory before their turn are read back from a nearer tier, if one has them. */
  async #bringUp(gone: readonly Identity[]): Promise<void> {
    const [nearest] = this.#parts.cold
    if (nearest === undefined || nearest === this.#tier) return
    const { book, world } = this.#parts
    for (const identity of gone) {
      const opened = book.of(identity.namespace)
      if (opened === null || nearest.bytesOf(identity.key) === null || this.#has(identity.key)) continue
      await Promise.all(this.#climber.climb(opened, [identity], world.nowMs() + copyMsMax))
    }
  }

  async #write(pins: readonly Pinned[]): Promise<'written' | 'refused'> {
    const { book, host, meter, residents } = this.#parts
    const blocks: WriteWanted[] = []
    for (const { identity, slot, checksum } of pins) {
      const opened = book.of(identity.namespace)
      if (opened === null || this.#has(identity.key)) continue
      const from = host.spanOf(slot, identity.payloadBytes)
      blocks.push({ seal: sealOf(opened, identity, checksum), namespace: identity.namespace, from })
    }
    if (blocks.length === 0) return 'written'
    const results = await this.#tier.write(blocks)
    let refused = false
    for (const [i, { seal }] of blocks.entries()) {
      const result = results[i] ?? { as: 'failed', why: 'no_answer' }
      if (result.as === 'written') {
        meter.add('terrace_tier_demoted_blocks_total', { tier: this.#tier.name })
        this.#admission?.wrote()
        if (this.#tier === this.#parts.cold[0]) host.table.storedBelow(seal.key)
        residents[this.#tier.name].add(seal)
      } else if (result.as !== 'already') {
        this.#dropped(result.as === 'refused' ? result.why : 'failed')
        refused = true
      }
    }
    return refused ? 'refused' : 'written'
  }

  /** The chain of the block as far as host memory knows it and the tier lacks it, the block itself left out, root first. */
  #ancestorsOf(identity: Identity, ends: (key: BlockKey) => boolean = () => false): Identity[] {
    const chain: Identity[] = []
    for (let key = identity.parent; key !== null; ) {
      const above = this.#inHost(key)
      if (above === null || this.#has(key) || ends(key)) break
      chain.push(above)
      key = above.parent
    }
    return chain.reverse()
  }

  /** Ancestors that an admitted block brings along: those that neither lie in the tier nor are on their way. */
  #comingAlong(identity: Identity): Identity[] {
    return this.#ancestorsOf(identity, (key) => this.#isOnItsWay(key))
  }

  #isOnItsWay(key: BlockKey): boolean {
    return this.#queue.has(key) || this.#saving.has(key)
  }

  #inHost(key: BlockKey): Identity | null {
    const { table } = this.#parts.host
    const row = table.sealedRowOf(key)
    return row === noRow ? null : table.at(row).identity
  }

  #has(key: BlockKey): boolean {
    return this.#tier.bytesOf(key) !== null
  }

  #dropped(why: string): void {
    this.#parts.meter.add('terrace_tier_dropped_blocks_total', { tier: this.#tier.name, why })
  }

  #gauge(): void {
    this.#parts.meter.set(
      'terrace_tier_writeback_waiting_blocks',
      { tier: this.#tier.name },
      this.#queue.size,
    )
  }
}
