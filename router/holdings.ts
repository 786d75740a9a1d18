import type { World } from '../tiers/block/clock.ts'
import type { EventBatch, EventSnapshot, Holder, KvEvent } from '../tiers/block/event.ts'
import type { RouteHash } from '../tiers/block/route.ts'
import { type Cursor, type Judged, judge } from './cursor.ts'
import type { HolderId } from './owner-sets.ts'
import { type ModelSeed, modelSeed, type PrefixIndex } from './prefix-index.ts'

/** Blocks put into the index in one go. Why: requests wait for no longer than that takes. */
const sliceBlocks = 4_096

/** One holder as the index knows it. */
export type Held = {
  readonly id: HolderId
  readonly holder: Holder
  readonly seed: ModelSeed
}

/** What one publisher holds, written through to the index. Only this changes the index's placements. */
export class Holdings {
  readonly #world: World
  readonly #index: PrefixIndex
  #held = new Map<string, Held>()
  #cursor: Cursor = null
  #scheme = ''

  constructor(world: World, index: PrefixIndex) {
    this.#world = world
    this.#index = index
  }

  get cursor(): Cursor {
    return this.#cursor
  }

  get scheme(): string {
    return this.#scheme
  }

  all(): Iterable<Held> {
    return this.#held.values()
  }

  /** Applies the batch if it is the next one, and says what it was. */
  apply(batch: EventBatch): Judged {
    const judged = judge(this.#cursor, batch)
    if (judged !== 'next') return judged
    for (const event of batch.events) this.#applyEvent(event)
    this.#cursor = { publisher: batch.publisher, epoch: batch.epoch, sequence: batch.sequence }
    this.#scheme = batch.scheme
    return judged
  }

  /** Puts the snapshot in place of everything known of the publisher: built beside the old state, then
   *  swapped, so that a look-up sees one or the other. */
  async replace(snapshot: EventSnapshot): Promise<void> {
    const next = new Map<string, Held>()
    let sinceRest = 0
    for (const { holder, blocks } of snapshot.holdings) {
      const name = nameOf(holder)
      const held = next.get(name) ?? this.#make(holder)
      next.set(name, held)
      for (let at = 0; at < blocks.length; at += sliceBlocks) {
        const slice = blocks.slice(at, at + sliceBlocks)
        this.#addAll(held, slice)
        sinceRest += slice.length
        if (sinceRest < sliceBlocks) continue
        sinceRest = 0
        await this.#world.sleep(0)
      }
    }
    this.#retireAll()
    this.#held = next
    this.#cursor = { publisher: snapshot.publisher, epoch: snapshot.epoch, sequence: snapshot.sequence }
    this.#scheme = snapshot.scheme
  }

  #applyEvent(event: KvEvent): void {
    const { holder } = event
    const name = nameOf(holder)
    const known = this.#held.get(name) ?? null
    if (event.kind === 'stored') {
      const held = known ?? this.#make(holder)
      this.#held.set(name, held)
      this.#addAll(held, event.blocks)
      return
    }
    if (known === null) return
    if (event.kind === 'removed') {
      for (const block of event.blocks) this.#index.remove(known.seed, block, known.id)
      return
    }
    this.#held.delete(name)
    this.#index.retire(known.id)
  }

  #addAll(held: Held, blocks: readonly RouteHash[]): void {
    for (const block of blocks) this.#index.add(held.seed, block, held.id)
  }

  #make(holder: Holder): Held {
    return { id: this.#index.newHolder(), holder, seed: modelSeed(holder.model) }
  }

  #retireAll(): void {
    for (const { id } of this.#held.values()) this.#index.retire(id)
  }
}

function nameOf({ tier, worker, model, blockTokens }: Holder): string {
  return `${tier}\n${worker}\n${model}\n${blockTokens}`
}
