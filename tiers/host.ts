import type { Native, RegionHandle } from '../addon/native.ts'
import { Arena, pageRounded } from './arena.ts'
import { beforeDeadline, type World } from './block/clock.ts'
import { KvFailure } from './block/failures.ts'
import type { Slot } from './block/id.ts'
import { copyMsMax } from './block/limits.ts'
import type { Row } from './policy/eviction.ts'
import type { PolicyEntry } from './policy/register.ts'
import { VictimChooser } from './room.ts'
import type { Runner } from './run.ts'
import { sameSlot } from './state.ts'
import type { BlockTable, Claimed, Identity, Pinned } from './table.ts'
import type { HostSpan, TierUsage } from './tier.ts'
import { tierTable } from './tier-table.ts'

/** What the host tier needs when it is full: who else holds a block, how to save one that nobody else holds, and
 *  whom to tell. */
export type Below = {
  /** Whether a tier below holds the block, wants it, or there is none that does. */
  readonly isSaved: (identity: Identity) => 'saved' | 'unsaved' | 'nowhere'
  /** Writes blocks down. Their pins last until it resolves. */
  readonly save: (pinned: readonly Pinned[]) => Promise<void>
  readonly evicted: (identity: Identity) => void
}

/** Longest wait for a copy to give a slot free, in milliseconds. */
const roomWaitMsMax = copyMsMax
/** Pause between two looks for room, in milliseconds. */
const roomLookMs = 5

/** Blocks in the host pool: memory that every engine's copies pass through. */
export class HostTier {
  readonly region: RegionHandle
  readonly table: BlockTable
  readonly arena: Arena
  readonly #native: Native
  readonly #world: World
  readonly #chooser: VictimChooser
  readonly #byteCount: number
  readonly #isTreeAware: boolean
  #isPinned = false
  #below: Below = { isSaved: () => 'nowhere', save: async () => undefined, evicted: () => undefined }

  constructor(native: Native, world: World, byteCount: number, policy: PolicyEntry) {
    this.#native = native
    this.#world = world
    this.#byteCount = byteCount
    this.#isTreeAware = policy.flat === null
    this.arena = new Arena(byteCount)
    this.table = tierTable(world, this.arena, byteCount, policy, pageRounded)
    this.#chooser = new VictimChooser(this.table, this.arena)
    try {
      this.region = native.openMemory(byteCount)
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown'
      throw new KvFailure('KVT_MEMORY_SHORT', { wantedBytes: byteCount, why })
    }
  }

  /** Page-locks the pool for the GPUs, segment by segment, once. Until a segment is, and where the driver does not want to,
   *  copies to it only take longer. Why in pieces: the driver stops all its callers meanwhile, and no slot crosses a segment. */
  pin(runner: Runner, pinned: (byteCount: number) => void): void {
    if (this.#isPinned) return
    this.#isPinned = true
    const { segmentCount, segmentBytes } = this.arena
    const pinAll = async (): Promise<void> => {
      let pinnedBytes = 0
      for (let i = 0; i < segmentCount; i++) {
        const from = {
          operation: 'pin',
          sourceRegion: 0,
          source: 0,
          place: 0,
          checksum: -1,
          seal: null,
        } as const
        const target = { targetRegion: this.region, target: i * segmentBytes, byteCount: segmentBytes }
        // A step that fails is counted, and costs speed alone.
        const ended = await runner.runToEnd({ ...from, ...target })
        if (ended.as !== 'ok') continue
        pinnedBytes += segmentBytes
        pinned(pinnedBytes)
      }
    }
    void pinAll()
  }

  useBelow(below: Below): void {
    this.#below = below
  }

  /** Un-indexes blocks whose lease outlived its deadline: their copy never came back, so nobody shall find them any more. */
  sweepLeases(expired: (count: number) => void): void {
    const nowMs = this.#world.nowMs()
    const late = this.table.leases.newlyOverdue(nowMs)
    for (const { row } of late) {
      if (this.table.at(row).state.at === 'sealed') this.#below.evicted(this.table.drop(row, false, nowMs))
    }
    if (late.length > 0) expired(late.length)
  }

  spanOf(slot: Slot, payloadBytes: number): HostSpan {
    return { region: this.region, offset: this.arena.byteOffsetOf(slot.index), byteCount: payloadBytes }
  }

  /** Claims slots for blocks in their order, evicting what the policy names. Exact: nothing leaves unless its room
   *  is wanted now. The
   *  answer may be shorter than the list: then the room for the rest is in use by copies, and is asked for again
   *  once the caller
   *  has dealt with these. Only a caller that would get nothing at all waits here, so that no two wait for each other. */
  async claimAll(identities: readonly Identity[]): Promise<Claimed[]> {
    const untilMs = this.#world.nowMs() + roomWaitMsMax
    const claims: Claimed[] = []
    let claimedCount = 0
    while (claims.length < identities.length) {
      const identity = identities[claims.length] as Identity
      const claimed = this.table.claim(identity)
      if (claimed.as !== 'full') {
        claims.push(claimed)
        if (claimed.as === 'claimed') claimedCount += 1
        continue
      }
      if (await this.#makeRoom(identity.payloadBytes, identities.length - claims.length)) continue
      if (claimedCount > 0) return claims
      const nowMs = this.#world.nowMs()
      if (nowMs >= untilMs || !this.table.isInUse) {
        claims.push({ as: 'full' })
        return claims
      }
      // Two callers may have held what the other wanted to evict: so the wait is short, however quiet it is.
      await beforeDeadline(this.#world, Math.min(untilMs, nowMs + roomLookMs), this.table.nextRelease())
    }
    return claims
  }

  /** Evicts until so many slots of the size are free; true when at least one came free. */
  async #makeRoom(payloadBytes: number, count: number): Promise<boolean> {
    const slotBytes = pageRounded(payloadBytes)
    const nowMs = this.#world.nowMs()
    const unsaved: Pinned[] = []
    let evicted = 0
    while (Math.min(this.arena.freeSlots(slotBytes), this.table.rowsLeft) + unsaved.length < count) {
      const rows = this.#chooser.choose(slotBytes, nowMs)
      if (rows.length === 0) break
      for (const row of rows) {
        const { identity } = this.table.at(row)
        const pinned =
          this.#below.isSaved(identity) === 'unsaved' ? this.table.pin(identity.key, nowMs) : null
        if (pinned !== null) {
          unsaved.push(pinned)
          continue
        }
        this.#evict(row)
        evicted += 1
      }
      // A leaf that waits for its copy hides its parent: the policy would name a fresher leaf elsewhere. Once it is saved with its
      // ancestors, they follow without a write.
      if (unsaved.length > 0 && this.#isTreeAware) break
    }
    if (unsaved.length === 0) return evicted > 0
    const saved = this.#below.save(unsaved).finally(() => {
      for (const { lease } of unsaved) this.table.unpin(lease)
    })
    // A drive that does not answer keeps its pins; whoever waits for room goes on without it.
    await beforeDeadline(this.#world, nowMs + roomWaitMsMax, saved)
    for (const { lease, identity } of unsaved) {
      const row = this.table.sealedRowOf(identity.key)
      const state = row === lease.row ? this.table.at(row).state : null
      if (state?.at !== 'sealed' || state.pins > 0 || !sameSlot(state.slot, lease.slot)) continue
      this.#evict(row)
      evicted += 1
    }
    return evicted > 0
  }

  #evict(row: Row): void {
    this.#below.evicted(this.table.drop(row, true, this.#world.nowMs()))
  }

  usage(): TierUsage {
    return {
      blockCount: this.table.sealedCount,
      usedBytes: this.arena.usedBytes,
      capacityBytes: this.#byteCount,
      state: 'serving',
      why: '',
    }
  }

  close(): void {
    this.#native.closeRegion(this.region)
  }
}
