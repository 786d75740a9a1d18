import type { World } from '../tiers/block/clock.ts'
import type { EventBatch, EventSnapshot, KvEvent } from '../tiers/block/event.ts'
import {
  eventBatchBytesMax,
  eventBlocksMax,
  eventBytesKeptMax,
  eventsKeptMax,
} from '../tiers/block/limits.ts'
import { routeScheme } from '../tiers/block/route.ts'
import type { DaemonMeter } from './metrics.ts'

/** A batch as readers get it: encoded once, whoever reads it. */
export type EncodedBatch = { readonly sequence: number; readonly json: string }

/** What a reader that has seen everything before `from` needs. */
type CatchUp =
  | { readonly as: 'batches'; readonly batches: readonly EncodedBatch[] }
  /** Too old, of the future, or of another epoch: only a snapshot helps. */
  | { readonly as: 'gap' }

type Kept = EncodedBatch & { readonly eventCount: number; readonly byteCount: number }

const headBytes = 512

/** The node's event stream: numbers batches, keeps the last ones for late readers, and gives snapshots. Events of one
 *  moment (at least a turn of the event loop) go out in one batch: a block's move from tier to tier is one thing to the reader. */
export class Publisher {
  readonly publisher: string
  readonly epoch: string
  readonly #world: World
  readonly #meter: DaemonMeter
  readonly #holdings: () => readonly KvEvent[]
  readonly #listeners = new Set<(batch: EncodedBatch) => void>()
  readonly #waiting: KvEvent[] = []
  #kept: Kept[] = []
  #keptEvents = 0
  #keptBytes = 0
  #sequence = 0
  #flushing = false

  /** `holdings` says all that is held now, as `stored` events. */
  constructor(options: {
    readonly world: World
    readonly meter: DaemonMeter
    readonly publisher: string
    readonly epoch: string
    readonly holdings: () => readonly KvEvent[]
  }) {
    this.publisher = options.publisher
    this.epoch = options.epoch
    this.#world = options.world
    this.#meter = options.meter
    this.#holdings = options.holdings
  }

  /** The number of the last batch; 0 before the first. */
  get sequence(): number {
    return this.#sequence
  }

  publish(events: readonly KvEvent[]): void {
    for (const event of events) this.#waiting.push(...piecesOf(event))
    if (this.#flushing || this.#waiting.length === 0) return
    this.#flushing = true
    this.#world.after(0, () => this.flush())
  }

  /** Calls `listener` with each batch from now on, until the returned function is called. */
  listen(listener: (batch: EncodedBatch) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Sends what waits now. */
  flush(): void {
    this.#flushing = false
    const events = this.#waiting.splice(0)
    let batch: KvEvent[] = []
    let byteCount = headBytes
    for (const event of events) {
      const eventBytes = Buffer.byteLength(JSON.stringify(event)) + 1
      if (batch.length >= eventBlocksMax || byteCount + eventBytes > eventBatchBytesMax) {
        this.#send(batch)
        batch = []
        byteCount = headBytes
      }
      batch.push(event)
      byteCount += eventBytes
    }
    if (batch.length > 0) this.#send(batch)
  }

  /** The batches from number `from` on. */
  since(from: number, epoch: string | null): CatchUp {
    this.flush()
    const first = this.#sequence + 1 - this.#kept.length
    if ((epoch !== null && epoch !== this.epoch) || from < first || from > this.#sequence + 1) {
      return { as: 'gap' }
    }
    return { as: 'batches', batches: this.#kept.slice(from - first) }
  }

  /** Everything held, as of the sequence in it. */
  snapshot(why: 'asked' | 'gap'): EventSnapshot {
    this.flush()
    this.#meter.add('terrace_snapshots_total', { why })
    const holdings = this.#holdings().flatMap((event) =>
      event.kind === 'stored' ? [{ holder: event.holder, blocks: event.blocks }] : [],
    )
    return { ...this.#head(), holdings }
  }

  #head(): Omit<EventBatch, 'events'> {
    return {
      version: 1,
      publisher: this.publisher,
      epoch: this.epoch,
      sequence: this.#sequence,
      scheme: routeScheme,
    }
  }

  #send(events: readonly KvEvent[]): void {
    this.#sequence += 1
    const batch: EventBatch = { ...this.#head(), events }
    const json = JSON.stringify(batch)
    const kept = {
      sequence: this.#sequence,
      json,
      eventCount: events.length,
      byteCount: Buffer.byteLength(json),
    }
    this.#kept.push(kept)
    this.#keptEvents += kept.eventCount
    this.#keptBytes += kept.byteCount
    this.#forget()
    for (const event of events) this.#meter.add('terrace_events_published_total', { kind: event.kind })
    this.#meter.add('terrace_event_batches_total', {})
    for (const listener of this.#listeners) listener(kept)
  }

  #forget(): void {
    let drop = 0
    while (this.#keptEvents > eventsKeptMax || this.#keptBytes > eventBytesKeptMax) {
      const oldest = this.#kept[drop]
      if (oldest === undefined) break
      this.#keptEvents -= oldest.eventCount
      this.#keptBytes -= oldest.byteCount
      drop += 1
    }
    if (drop > 0) this.#kept = this.#kept.slice(drop)
  }
}

/** The same event in pieces that keep the limit of blocks in one. */
function piecesOf(event: KvEvent): readonly KvEvent[] {
  if (event.kind === 'cleared' || event.blocks.length <= eventBlocksMax) return [event]
  const pieces: KvEvent[] = []
  for (let at = 0; at < event.blocks.length; at += eventBlocksMax) {
    pieces.push({ ...event, blocks: event.blocks.slice(at, at + eventBlocksMax) })
  }
  return pieces
}
