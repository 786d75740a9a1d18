import { Pool } from 'undici'
import type { World } from '../tiers/block/clock.ts'
import { decodeBatch, decodeSnapshot } from '../tiers/block/event.ts'
import { eventHeartbeatMs, eventMessageBytesMax, workerConnectMsMax } from '../tiers/block/limits.ts'
import { EventStreamReader, type StreamMessage } from './event-stream.ts'
import type { Holdings } from './holdings.ts'
import type { Log } from './log.ts'
import { cautiousLinks, type NodeReport, nodeReportOf } from './node-report.ts'
import type { RouterMeter } from './parts.ts'

/** Between two tries to reach a daemon, in milliseconds. */
const retryMs = 1_000
/** Between two looks at a daemon's status, and the longest wait for one, in milliseconds. */
const statusEveryMs = 5_000
const statusMsMax = 2_000
/** Missed beats of an event stream until it is given up. Why several: a daemon under load may be late. */
const beatsMissedMax = 5
/** Blocks of one snapshot. Why: the decoder's bound; beyond it the index would forget most anyway. */
const snapshotBlocksMax = 8_000_000

/** Follows one daemon: its events into the holdings, its status into prices. A daemon that cannot be reached
 *  is nobody to load from; what engines hold themselves stays known. */
export class Follower {
  readonly url: string
  readonly holdings: Holdings
  readonly #world: World
  readonly #log: Log
  readonly #meter: RouterMeter
  readonly #pool: Pool
  readonly #stop = new AbortController()
  #connected = false
  #report: NodeReport = { links: cautiousLinks, workers: new Map() }
  #cancelStatus: () => void = () => undefined

  constructor(options: {
    readonly url: string
    readonly holdings: Holdings
    readonly world: World
    readonly log: Log
    readonly meter: RouterMeter
  }) {
    this.url = options.url
    this.holdings = options.holdings
    this.#world = options.world
    this.#log = options.log
    this.#meter = options.meter
    this.#pool = new Pool(options.url, {
      connections: 4,
      headersTimeout: 10_000,
      // The daemon sends a beat at least; after a few missed ones the connection is dead.
      bodyTimeout: eventHeartbeatMs * beatsMissedMax,
      connect: { timeout: workerConnectMsMax },
    })
  }

  get connected(): boolean {
    return this.#connected
  }

  get report(): NodeReport {
    return this.#report
  }

  start(): void {
    void this.#follow()
    void this.#lookAtStatus()
  }

  stop(): void {
    this.#stop.abort()
    this.#cancelStatus()
    this.#pool.destroy().catch(() => undefined)
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#takeSnapshot()
        await this.#readEvents()
      } catch {
        // Refused, broken, malformed: the next round starts from a snapshot either way.
      }
      this.#setConnected(false)
      if (!this.#stop.signal.aborted) await this.#pause()
    }
  }

  async #takeSnapshot(): Promise<void> {
    const answer = await this.#pool.request({
      path: '/snapshot',
      method: 'GET',
      signal: this.#stop.signal,
    })
    const text = await textWithin(answer.body, eventMessageBytesMax)
    if (answer.statusCode !== 200 || text === null) throw new Error('no snapshot')
    await this.#replace(text)
  }

  async #replace(text: string): Promise<void> {
    const decoded = decodeSnapshot(text, snapshotBlocksMax)
    const result = decoded.as === 'value' ? 'applied' : 'refused'
    this.#meter.add('terrace_router_snapshots_total', { daemon: this.url, result })
    if (decoded.as === 'refused') {
      this.#log('snapshot_refused', { daemon: this.url, why: decoded.why })
      throw new Error('snapshot refused')
    }
    await this.holdings.replace(decoded.value)
  }

  async #readEvents(): Promise<void> {
    const { cursor } = this.holdings
    const epoch = encodeURIComponent(cursor?.epoch ?? '')
    const answer = await this.#pool.request({
      path: `/events?from=${(cursor?.sequence ?? 0) + 1}&epoch=${epoch}`,
      method: 'GET',
      signal: this.#stop.signal,
    })
    if (answer.statusCode !== 200) {
      await answer.body.dump()
      throw new Error('no events')
    }
    this.#setConnected(true)
    const reader = new EventStreamReader()
    answer.body.setEncoding('utf8')
    for await (const chunk of answer.body as AsyncIterable<string>) {
      const messages = reader.read(chunk)
      if (messages === null) throw new Error('message too large')
      for (const message of messages) await this.#take(message)
    }
  }

  async #take(message: StreamMessage): Promise<void> {
    if (message.event === 'snapshot') return this.#replace(message.data)
    const decoded = decodeBatch(message.data)
    if (decoded.as === 'refused') {
      this.#count('refused')
      this.#log('events_refused', { daemon: this.url, why: decoded.why })
      return
    }
    const batch = decoded.value
    let judged = this.holdings.apply(batch)
    this.#count(judged === 'next' ? 'applied' : judged)
    if (judged !== 'gap' && judged !== 'epoch') return
    this.#meter.add('terrace_router_event_gaps_total', { daemon: this.url })
    this.#log('events_missing', { daemon: this.url, why: judged })
    await this.#takeSnapshot()
    // The snapshot has this batch in it, or ends right before.
    judged = this.holdings.apply(batch)
    if (judged === 'gap') throw new Error('the snapshot is older than the stream')
  }

  #count(result: string): void {
    this.#meter.add('terrace_router_events_total', { daemon: this.url, result })
  }

  #setConnected(connected: boolean): void {
    if (connected !== this.#connected) {
      this.#log(connected ? 'daemon_followed' : 'daemon_lost', { daemon: this.url })
    }
    this.#connected = connected
    this.#meter.set('terrace_router_daemon_connected', { daemon: this.url }, connected ? 1 : 0)
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#world.after(retryMs, resolve)
      this.#stop.signal.addEventListener('abort', () => {
        cancel()
        resolve()
      })
    })
  }

  async #lookAtStatus(): Promise<void> {
    const late = new AbortController()
    const cancel = this.#world.after(statusMsMax, () => late.abort())
    try {
      const answer = await this.#pool.request({ path: '/status', method: 'GET', signal: late.signal })
      const text = await textWithin(answer.body, eventMessageBytesMax)
      if (answer.statusCode === 200 && text !== null) this.#report = nodeReportOf(JSON.parse(text))
    } catch {
      // The last report stays; whether the daemon can be reached is for the event stream to say.
    } finally {
      cancel()
    }
    if (this.#stop.signal.aborted) return
    this.#cancelStatus = this.#world.after(statusEveryMs, () => void this.#lookAtStatus())
  }
}

async function textWithin(body: AsyncIterable<Buffer>, bytesMax: number): Promise<string | null> {
  const chunks: Buffer[] = []
  let byteCount = 0
  for await (const chunk of body) {
    byteCount += chunk.length
    if (byteCount > bytesMax) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
