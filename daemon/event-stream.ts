import type { ServerResponse } from 'node:http'
import type { World } from '../tiers/block/clock.ts'
import { eventHeartbeatMs, eventReaderBytesMax, eventReadersMax } from '../tiers/block/limits.ts'
import type { DaemonMeter } from './metrics.ts'
import type { EncodedBatch, Publisher } from './publish.ts'

/** Event streams of routers over HTTP (server-sent events). Each message is
 *
 *    event: batch      an EventBatch, in order and without gaps from the one asked for
 *    event: snapshot   an EventSnapshot, when what was asked for is no longer kept; batches after it follow
 *
 *  and, while nothing happens, a comment line with the number of the last batch, so that both ends see a dead connection.
 *  A reader that does not read is cut: it comes back with `from` and gets what it missed. */
export class EventStreams {
  readonly #world: World
  readonly #publisher: Publisher
  readonly #meter: DaemonMeter
  readonly #open = new Set<ServerResponse>()
  #cancelBeat: () => void = () => undefined

  constructor(world: World, publisher: Publisher, meter: DaemonMeter) {
    this.#world = world
    this.#publisher = publisher
    this.#meter = meter
    publisher.listen((batch) => {
      for (const response of this.#open) this.#send(response, 'batch', batch.sequence, batch.json)
    })
    this.#beat()
  }

  get isFull(): boolean {
    return this.#open.size >= eventReadersMax
  }

  /** Takes over a response. `from` is the first batch wanted, null for a snapshot and what follows it. */
  start(response: ServerResponse, from: number | null, epoch: string | null): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    response.on('error', () => response.destroy())
    response.on('close', () => {
      this.#open.delete(response)
      this.#meter.set('terrace_event_readers', {}, this.#open.size)
    })
    const known = from === null ? ({ as: 'gap' } as const) : this.#publisher.since(from, epoch)
    if (known.as === 'batches') this.#sendAll(response, known.batches)
    else {
      const snapshot = this.#publisher.snapshot(from === null ? 'asked' : 'gap')
      // Whatever its size, a snapshot is the reader's way back: the limit holds for what comes after it.
      write(response, 'snapshot', snapshot.sequence, JSON.stringify(snapshot))
    }
    this.#open.add(response)
    this.#meter.set('terrace_event_readers', {}, this.#open.size)
  }

  stop(): void {
    this.#cancelBeat()
    for (const response of this.#open) response.end()
  }

  #sendAll(response: ServerResponse, batches: readonly EncodedBatch[]): void {
    for (const batch of batches) write(response, 'batch', batch.sequence, batch.json)
  }

  #send(response: ServerResponse, event: string, sequence: number, json: string): void {
    if (response.writableLength > eventReaderBytesMax) {
      this.#meter.add('terrace_event_readers_cut_total', {})
      this.#open.delete(response)
      response.destroy()
      return
    }
    write(response, event, sequence, json)
  }

  #beat(): void {
    for (const response of this.#open) {
      if (response.writableLength === 0) response.write(`: ${this.#publisher.sequence}\n\n`)
    }
    this.#cancelBeat = this.#world.after(eventHeartbeatMs, () => this.#beat())
  }
}

function write(response: ServerResponse, event: string, sequence: number, json: string): void {
  response.write(`id: ${sequence}\nevent: ${event}\ndata: ${json}\n\n`)
}
