import type { Holder, KvEvent, RemovedWhy } from '../tiers/block/event.ts'
import type { RouteHash } from '../tiers/block/route.ts'

type Held = { readonly holder: Holder; readonly counts: Map<RouteHash, number> }

/** What engines say they hold in their own caches (tier hbm). A block counts as held by a worker while any of its sessions holds
 *  it: an engine that reconnects before its old session has ended must not lose its blocks when that one ends. */
export class HeldBlocks {
  readonly #byHolder = new Map<string, Held>()
  readonly #publish: (events: readonly KvEvent[]) => void

  constructor(publish: (events: readonly KvEvent[]) => void) {
    this.#publish = publish
  }

  /** Replaces what one session held in one namespace (`before`) by `after`; returns what to give as `before` next time. */
  replace(
    holder: Holder,
    before: ReadonlySet<RouteHash>,
    after: ReadonlySet<RouteHash>,
    why: RemovedWhy,
  ): ReadonlySet<RouteHash> {
    const name = JSON.stringify(holder)
    const held = this.#byHolder.get(name) ?? { holder, counts: new Map<RouteHash, number>() }
    const stored: RouteHash[] = []
    const removed: RouteHash[] = []
    for (const block of after) {
      if (before.has(block)) continue
      const count = held.counts.get(block) ?? 0
      held.counts.set(block, count + 1)
      if (count === 0) stored.push(block)
    }
    for (const block of before) {
      if (after.has(block)) continue
      const count = held.counts.get(block) ?? 0
      if (count > 1) held.counts.set(block, count - 1)
      else {
        held.counts.delete(block)
        removed.push(block)
      }
    }
    const events: KvEvent[] = []
    if (held.counts.size === 0) {
      this.#byHolder.delete(name)
      if (removed.length > 0) events.push({ kind: 'cleared', holder, why })
    } else {
      this.#byHolder.set(name, held)
      if (removed.length > 0) events.push({ kind: 'removed', holder, blocks: removed, why })
      if (stored.length > 0) events.push({ kind: 'stored', holder, blocks: stored })
    }
    if (events.length > 0) this.#publish(events)
    return after
  }

  /** One `stored` event per holder. */
  holdings(): readonly KvEvent[] {
    return [...this.#byHolder.values()].map(({ holder, counts }) => ({
      kind: 'stored',
      holder,
      blocks: [...counts.keys()],
    }))
  }

  /** Blocks that any worker holds. */
  blockCount(): number {
    let count = 0
    for (const { counts } of this.#byHolder.values()) count += counts.size
    return count
  }
}
