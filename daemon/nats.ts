import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { World } from '../tiers/block/clock.ts'
import type { EventSnapshot } from '../tiers/block/event.ts'
import { eventBatchBytesMax, eventBlocksMax, eventHeartbeatMs } from '../tiers/block/limits.ts'
import { errnoOf } from './errno.ts'
import type { Log } from './log.ts'
import type { DaemonMeter } from './metrics.ts'
import type { Publisher } from './publish.ts'

/** Events on NATS, for routers on other machines. A hint channel and nothing more: what cannot be sent is dropped and counted,
 *  readers see the gap in the sequence and ask for a snapshot.
 *
 *    terrace.events.<node>     an EventBatch each
 *    terrace.beat.<node>       { publisher, epoch, sequence } now and then: tells of lost batches at the stream's end
 *    terrace.snapshot.<node>   ask with an inbox: the snapshot comes in parts, each an EventSnapshot with `part` and `partCount` */
export class NatsEvents {
  readonly #world: World
  readonly #publisher: Publisher
  readonly #meter: DaemonMeter
  readonly #log: Log
  #connection: NatsConnection | null = null
  #reached = false
  #stopped = false
  #cancelBeat: () => void = () => undefined

  constructor(options: {
    readonly world: World
    readonly publisher: Publisher
    readonly meter: DaemonMeter
    readonly log: Log
  }) {
    this.#world = options.world
    this.#publisher = options.publisher
    this.#meter = options.meter
    this.#log = options.log
    options.publisher.listen((batch) => this.#send('events', batch.json))
  }

  get isReached(): boolean {
    return this.#reached
  }

  /** Connects in the background, for ever; the daemon serves meanwhile. */
  start(url: string, token: string | null): void {
    void this.#connect(url, token)
    this.#beat()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelBeat()
    await this.#connection?.close()
  }

  async #connect(url: string, token: string | null): Promise<void> {
    while (!this.#stopped) {
      try {
        const connection = await connect({
          servers: url,
          ...(token === null ? {} : { token }),
          name: `terrace ${this.#publisher.publisher}`,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 250,
          pingInterval: 5_000,
          maxPingOut: 2,
          ignoreAuthErrorAbort: true,
        })
        if (this.#stopped) return await connection.close()
        this.#connection = connection
        this.#tell(true)
        this.#answerSnapshots(connection)
        await this.#follow(connection)
      } catch (error) {
        if (this.#connection === null) this.#log.warn('nats_unreachable', { why: errnoOf(error) })
      }
      this.#tell(false)
      this.#connection = null
      await this.#world.sleep(1_000)
    }
  }

  /** Until the connection is over for good. */
  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') this.#tell(false)
      if (status.type === 'reconnect') this.#tell(true)
    }
  }

  #tell(reached: boolean): void {
    if (reached !== this.#reached) this.#log.info(reached ? 'nats_reached' : 'nats_lost')
    this.#reached = reached
    this.#meter.set('terrace_nats_connected', {}, reached ? 1 : 0)
  }

  #send(kind: 'events' | 'beat', json: string): void {
    if (this.#connection === null || !this.#reached) {
      if (kind === 'events') this.#meter.add('terrace_nats_dropped_batches_total', {})
      return
    }
    try {
      this.#connection.publish(this.#subject(kind), json)
    } catch {
      if (kind === 'events') this.#meter.add('terrace_nats_dropped_batches_total', {})
    }
  }

  #answerSnapshots(connection: NatsConnection): void {
    connection.subscribe(this.#subject('snapshot'), {
      callback: (error, message) => {
        if (error !== null || message.reply === undefined || message.reply === '') return
        for (const part of snapshotParts(this.#publisher.snapshot('asked'))) message.respond(part)
      },
    })
  }

  #beat(): void {
    const { publisher, epoch, sequence } = this.#publisher
    this.#send('beat', JSON.stringify({ publisher, epoch, sequence }))
    this.#cancelBeat = this.#world.after(eventHeartbeatMs, () => this.#beat())
  }

  /** Dots divide the parts of a subject, so a node's name must not have any. */
  #subject(kind: 'events' | 'beat' | 'snapshot'): string {
    return `terrace.${kind}.${this.#publisher.publisher.replaceAll('.', '_')}`
  }
}

/** A snapshot in messages that a NATS server takes: each holds some of the holdings. */
export function snapshotParts(snapshot: EventSnapshot): readonly string[] {
  const pieces = snapshot.holdings.flatMap(({ holder, blocks }) => {
    const cuts: EventSnapshot['holdings'][number][] = []
    for (let at = 0; at < blocks.length; at += eventBlocksMax) {
      cuts.push({ holder, blocks: blocks.slice(at, at + eventBlocksMax) })
    }
    return cuts
  })
  const parts: (typeof pieces)[] = [[]]
  let byteCount = 0
  for (const piece of pieces) {
    const pieceBytes = Buffer.byteLength(JSON.stringify(piece))
    if (byteCount + pieceBytes > eventBatchBytesMax) {
      parts.push([])
      byteCount = 0
    }
    parts.at(-1)?.push(piece)
    byteCount += pieceBytes
  }
  return parts.map((holdings, part) =>
    JSON.stringify({ ...snapshot, holdings, part, partCount: parts.length }),
  )
}
