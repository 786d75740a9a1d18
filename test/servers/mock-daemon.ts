import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { EventBatch, EventSnapshot, KvEvent } from '../../tiers/block/event.ts'
import type { TierName } from '../../tiers/block/id.ts'
import { type RouteHash, routeScheme } from '../../tiers/block/route.ts'

/** The events side of a daemon's admin server, to make gaps and restarts at will. What it holds is kept as plain sets. */
export class MockDaemon {
  readonly #server = createServer((request, response) => this.#answer(request.url ?? '', response))
  readonly #readers = new Set<ServerResponse>()
  readonly #held = new Map<string, { readonly event: KvEvent; readonly blocks: Set<RouteHash> }>()
  epoch = 'epoch-1'
  sequence = 0
  snapshots = 0
  status: unknown = {}

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1')
    await new Promise((resolve) => this.#server.once('listening', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Readers connected now. */
  get readerCount(): number {
    return this.#readers.size
  }

  store(tier: TierName, worker: string, blocks: readonly RouteHash[], deliver = true): void {
    const holder = { tier, worker, model: 'mock', blockTokens: 64, blockBytes: 65_536 }
    this.#apply({ kind: 'stored', holder, blocks }, deliver)
  }

  remove(tier: TierName, worker: string, blocks: readonly RouteHash[], deliver = true): void {
    const holder = { tier, worker, model: 'mock', blockTokens: 64, blockBytes: 65_536 }
    this.#apply({ kind: 'removed', holder, blocks, why: 'evicted' }, deliver)
  }

  clear(tier: TierName, worker: string): void {
    const holder = { tier, worker, model: 'mock', blockTokens: 64, blockBytes: 65_536 }
    this.#apply({ kind: 'cleared', holder, why: 'session_end' }, true)
  }

  /** As after a restart: another epoch, nothing held, sequence from the start. */
  restart(): void {
    this.epoch = `${this.epoch}+`
    this.sequence = 0
    this.#held.clear()
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  #apply(event: KvEvent, deliver: boolean): void {
    const name = `${event.holder.tier} ${event.holder.worker}`
    const held = this.#held.get(name) ?? { event, blocks: new Set<RouteHash>() }
    if (event.kind === 'cleared') this.#held.delete(name)
    else this.#held.set(name, held)
    if (event.kind === 'stored') for (const block of event.blocks) held.blocks.add(block)
    if (event.kind === 'removed') for (const block of event.blocks) held.blocks.delete(block)
    this.sequence += 1
    const batch: EventBatch = { ...this.#head(), events: [event] }
    if (!deliver) return
    for (const reader of this.#readers) reader.write(`event: batch\ndata: ${JSON.stringify(batch)}\n\n`)
  }

  #head(): Omit<EventBatch, 'events'> {
    return {
      version: 1,
      publisher: 'node-1',
      epoch: this.epoch,
      sequence: this.sequence,
      scheme: routeScheme,
    }
  }

  #answer(url: string, response: ServerResponse): void {
    if (url === '/snapshot') {
      this.snapshots += 1
      const holdings = [...this.#held.values()].map(({ event, blocks }) => ({
        holder: event.holder,
        blocks: [...blocks],
      }))
      const snapshot: EventSnapshot = { ...this.#head(), holdings }
      response.end(JSON.stringify(snapshot))
    } else if (url.startsWith('/events')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': 0\n\n')
      const beat = setInterval(() => response.write(': 0\n\n'), 1_000)
      response.on('close', () => clearInterval(beat))
      this.#readers.add(response)
      response.on('close', () => this.#readers.delete(response))
    } else response.end(JSON.stringify(this.status))
  }
}
