import { assert } from './block/assert.ts'
import type { BlockKey, Slot } from './block/id.ts'
import { planBlocksMax } from './block/limits.ts'
import type { RouteHash } from './block/route.ts'
import type { StoreDrop } from './block/wire.ts'
import type { OpenNamespace } from './namespaces.ts'
import { identitiesOf, type Parts, tierOf } from './parts.ts'
import { noRow, type Row } from './policy/eviction.ts'
import type { StoreAnswer, StoreWanted } from './store.ts'
import type { Identity } from './table.ts'

/** Takes blocks from an engine's memory into host slots. */
export class KeepFlow {
  readonly #parts: Parts
  /** Called with blocks that some tier holds now, root first. */
  readonly #kept: (identities: readonly Identity[]) => void

  constructor(parts: Parts, kept: (identities: readonly Identity[]) => void) {
    this.#parts = parts
    this.#kept = kept
  }

  /** Resolves when no copy from the engine's memory is under way any more. */
  async store(
    opened: OpenNamespace,
    keys: readonly BlockKey[],
    routes: readonly RouteHash[],
    place: number,
    wanted: StoreWanted,
  ): Promise<StoreAnswer> {
    const { host } = this.#parts
    const run = new KeepRun(this.#parts, place, wanted)
    const identities = identitiesOf(opened, keys, routes, wanted.firstBlock, wanted.blockCount)
    const groupMax = Math.max(
      1,
      Math.min(planBlocksMax, Math.floor(host.arena.slotsMax(opened.blockBytes) / 4)),
    )
    run.refuse('parent_absent', wanted.blockCount - identities.length)
    const end = Math.min(keys.length, wanted.firstBlock + wanted.blockCount)
    const chain = keys.slice(0, end)
    // Before its blocks come, so that each is used once and judged by the answer.
    const absent = chain.findIndex((key) => tierOf(this.#parts, key) === null)
    this.#parts.visited('store', chain, absent < 0 ? end : absent)
    this.#parts.answered(chain, wanted.answerTokens)
    const arrived = host.table.wantChain(chain)
    try {
      await this.#takeAll(run, identities, groupMax)
    } finally {
      arrived()
    }
    this.#parts.reordered(chain)
    const { meter } = this.#parts
    meter.add('terrace_store_wanted_blocks_total', {}, wanted.blockCount)
    meter.add('terrace_store_stored_blocks_total', {}, run.stored)
    meter.add('terrace_store_already_blocks_total', {}, run.already)
    return {
      storedBlocks: run.stored,
      alreadyBlocks: run.already,
      droppedBlocks: run.dropped,
      drop: run.drop,
    }
  }

  /** Group by group, root first, up to the first that cannot be kept: nothing behind it could be found. */
  async #takeAll(run: KeepRun, identities: readonly Identity[], groupMax: number): Promise<void> {
    for (let first = 0; first < identities.length; first += groupMax) {
      const group = identities.slice(first, first + groupMax)
      if (run.drop !== 'none' || !this.#hasParent(group)) {
        run.refuse('parent_absent', identities.length - first)
        break
      }
      await run.take(group)
      this.#kept(group.filter(({ key }) => tierOf(this.#parts, key) !== null))
    }
  }

  /** A block whose parent no tier holds could never be found again: lookups end at the gap. */
  #hasParent([first]: readonly Identity[]): boolean {
    if (first === undefined || first.parent === null) return true
    return this.#parts.host.table.rowOf(first.parent) !== noRow || tierOf(this.#parts, first.parent) !== null
  }
}

/** One store under way. */
class KeepRun {
  stored = 0
  already = 0
  dropped = 0
  drop: StoreDrop = 'none'
  readonly #parts: Parts
  readonly #place: number
  readonly #wanted: StoreWanted

  constructor(parts: Parts, place: number, wanted: StoreWanted) {
    this.#parts = parts
    this.#place = place
    this.#wanted = wanted
  }

  /** Counts blocks that are not taken; the first reason is the answer's. */
  refuse(why: Exclude<StoreDrop, 'none'>, count: number, counted: string = why): void {
    if (count === 0) return
    this.dropped += count
    if (this.drop === 'none') this.drop = why
    this.#parts.meter.add('terrace_store_dropped_blocks_total', { why: counted }, count)
  }

  /** Write protocol up to `sealed`, for blocks that nobody holds yet. */
  async take(group: readonly Identity[]): Promise<void> {
    const { host, world } = this.#parts
    const absent = group.filter(
      ({ key }) => host.table.rowOf(key) === noRow && tierOf(this.#parts, key) === null,
    )
    this.already += group.length - absent.length
    for (let first = 0; first < absent.length; ) {
      const claims = await host.claimAll(absent.slice(first))
      const begun: Identity[] = []
      const copies: Promise<'sealed' | 'failed'>[] = []
      for (const [i, claimed] of claims.entries()) {
        const identity = absent[first + i]
        assert(identity !== undefined, 'every claim is of a block')
        if (claimed.as === 'claimed') {
          begun.push(identity)
          copies.push(this.#gather(identity, claimed.row, claimed.slot))
        } else if (claimed.as === 'known') this.already += 1
        else this.refuse('no_room', 1, claimed.as === 'too_large' ? 'too_large' : 'no_room')
      }
      first += claims.length
      const outcomes = await Promise.all(copies)
      const sealed = begun.filter((_, i) => outcomes[i] === 'sealed')
      this.refuse('copy_failed', begun.length - sealed.length)
      this.#parts.admissions?.stored(sealed.map(({ key }) => key))
      host.table.admit(sealed, world.nowMs())
      this.stored += sealed.length
      if (this.drop !== 'none') {
        this.refuse('parent_absent', absent.length - first)
        break
      }
    }
  }

  async #gather(identity: Identity, row: Row, slot: Slot): Promise<'sealed' | 'failed'> {
    const { host, runner, announcer } = this.#parts
    const { from, firstBlock } = this.#wanted
    const index = from.indexes[identity.position - firstBlock] ?? -1
    const ended = await runner.runToEnd({
      operation: 'gather',
      sourceRegion: from.region,
      source: index,
      targetRegion: host.region,
      target: host.arena.byteOffsetOf(slot.index),
      byteCount: identity.payloadBytes,
      place: this.#place,
      checksum: -1,
      seal: null,
    })
    const checksum = ended.as === 'ok' ? ended.checksum : 0
    const done = { slot, ok: ended.as === 'ok', checksum }
    if (host.table.finishFill(row, done) !== 'sealed') return 'failed'
    announcer.stored('host', identity.namespace, identity.route)
    return 'sealed'
  }
}
