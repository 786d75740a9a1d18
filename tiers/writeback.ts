import { beforeDeadline } from './block/clock.ts'
import type { BlockKey } from './block/id.ts'
import { copyMsMax, planBlocksMax, writebackBlocksMax } from './block/limits.ts'
import type { Climber } from './climb.ts'
import { type Parts, sealOf } from './parts.ts'
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
  readonly #queue = new Map<BlockKey, Identity>()
  #running: Promise<void> | null = null
  #stopped = false

  constructor(parts: Parts, climber: Climber, tier: ColdTier) {
    this.#parts = parts
    this.#climber = climber
    this.#tier = tier
  }

  get waiting(): number {
    return this.#queue.size
  }

  add(identities: readonly Identity[]): void {
    for (const identity of identities) {
      if (this.#stopped || this.#tier.bytesOf(identity.key) !== null) continue
      if (this.#queue.size >= writebackBlocksMax && !this.#queue.has(identity.key)) {
        this.#dropped('queue_full')
        continue
      }
      this.#queue.set(identity.key, identity)
    }
    this.#gauge()
    this.#start()
  }

  /** Writes pinned blocks now, with those of their ancestors that the tier lacks: what leaves host memory must be
   *  reachable below. */
  async save(pinned: readonly Pinned[]): Promise<void> {
    const nowMs = this.#parts.world.nowMs()
    const pins = new Map<BlockKey, Pinned>(pinned.map((one) => [one.identity.key, one]))
    const borrowed: Pinned[] = []
    for (const { identity } of pinned) {
      for (const key of planDemotion(
        this.#ancestorsOf(identity),
        (above) => this.#has(above) || pins.has(above),
      )) {
        const ancestor = this.#parts.host.table.pin(key, nowMs)
        if (ancestor === null) continue
        pins.set(key, ancestor)
        borrowed.push(ancestor)
      }
    }
    const ordered = [...pins.values()].sort((a, b) => a.identity.position - b.identity.position)
    const writing = this.#write(ordered).finally(() => {
      for (const { lease } of borrowed) this.#parts.host.table.unpin(lease)
    })
    await writing
  }

  /** Writes what waits until the deadline; the rest is lost with the process, which makes it a miss. */
  async close(deadlineMs: number): Promise<void> {
    while (this.#queue.size > 0 && this.#parts.world.nowMs() < deadlineMs) {
      this.#start()
      if (this.#running === null) break
      const before = this.#queue.size
      const ended = await beforeDeadline(this.#parts.world, deadlineMs, this.#running)
      if (ended === null || this.#queue.size >= before) break
    }
    this.#stopped = true
    for (const _ of this.#queue.keys()) this.#dropped('stopping')
    this.#queue.clear()
    this.#gauge()
    if (this.#running !== null) await beforeDeadline(this.#parts.world, deadlineMs, this.#running)
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
        residents[this.#tier.name].add(seal)
      } else if (result.as !== 'already') {
        this.#dropped(result.as === 'refused' ? result.why : 'failed')
        refused = true
      }
    }
    return refused ? 'refused' : 'written'
  }

  /** The chain of the block as far as host memory knows it, the block itself left out, root first. */
  #ancestorsOf(identity: Identity): BlockKey[] {
    const { table } = this.#parts.host
    const chain: BlockKey[] = []
    for (let key = identity.parent; key !== null; ) {
      const row = table.sealedRowOf(key)
      if (row < 0 || this.#has(key)) break
      chain.push(key)
      key = table.at(row).identity.parent
    }
    return chain.reverse()
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
