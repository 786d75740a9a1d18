import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadNative } from '../addon/load.ts'
import type { Native } from '../addon/native.ts'
import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import { Meter } from '../tiers/block/metric.ts'
import { storeMetrics } from '../tiers/metrics.ts'
import { openStore } from '../tiers/open-store.ts'
import { s3Metrics } from '../tiers/s3/metrics.ts'
import type { BlockStore } from '../tiers/store.ts'
import type { ColdTier } from '../tiers/tier.ts'
import { type Admin, openAdmin } from './admin.ts'
import { admissionOf } from './admission.ts'
import type { DaemonConfig } from './config.ts'
import { takeDataDirectory } from './data-directory.ts'
import { errnoOf } from './errno.ts'
import { EventStreams } from './event-stream.ts'
import { HeldBlocks } from './held.ts'
import { LinkRates } from './links.ts'
import type { Log } from './log.ts'
import { type DaemonMeter, daemonMeter } from './metrics.ts'
import type { NatsEvents } from './nats.ts'
import { Publisher } from './publish.ts'
import { readOrCreateSecret } from './secret.ts'
import { EngineServer } from './server.ts'
import { statusOf } from './status.ts'

/** A daemon that serves. */
export type RunningDaemon = {
  readonly adminPort: number
  /** Whether the data directory was made, or first used, by this start. */
  readonly isFresh: boolean
  /** Answers what is in flight, ends the sessions, writes back what fits before the deadline, gives everything back. */
  stop(deadlineMs: number): Promise<void>
}

/** Most of a stop's time belongs to writing back; asks in flight get this share of it. */
const answerShare = 0.25
const daemonIdFile = 'daemon-id'

/** Opens one part after the other; when one cannot be opened, those before it are closed again and its failure is thrown. */
export async function startDaemon(
  config: DaemonConfig,
  world: World,
  log: Log,
  onBroken: (error: unknown) => void,
): Promise<RunningDaemon> {
  const undo: (() => void | Promise<void>)[] = []
  try {
    const clusterSecret = readOrCreateSecret(config.secretFile)
    const token = config.natsToken === null ? null : readToken(config.natsToken)
    const native = loadNative()
    const data = takeDataDirectory(config.data)
    // A start that hangs is ended by a signal's exit, which nothing but this handler hears of.
    const abandon = (): void => data.abandon()
    process.once('exit', abandon)
    undo.push(() => {
      process.off('exit', abandon)
      data.abandon()
    })
    const meters = { daemon: daemonMeter(), store: new Meter(storeMetrics), s3: new Meter(s3Metrics) }
    const s3 = await s3For(config, world, native, meters.s3)
    const { hostBytes, nvmeBytes, policy } = config
    const nvmePolicy = config.nvmePolicy ?? policy
    const admission = admissionOf(config)
    const sizes = { hostBytes, nvmeBytes, s3 }
    const storeOptions = { native, world, clusterSecret, ...sizes, policy, nvmePolicy, admission }
    undo.push(async () => await s3?.close())
    const store = await openStore({ ...storeOptions, dataDirectory: config.data, meter: meters.store })
    // From here on the store closes the tier.
    undo.pop()
    undo.push(() => store.close(world.nowMs()))
    const parts = await connectParts(config, world, log, store, meters.daemon, token)
    undo.push(() => parts.stop())
    const { publisher, heldBlocks, links } = parts
    const { socket, door } = config
    const server = await EngineServer.open({
      world,
      native,
      store,
      meter: meters.daemon,
      links,
      heldBlocks,
      log,
      socket,
      door,
      epoch: publisher.epoch,
      onBroken,
    })
    undo.push(() => server.stop(world.nowMs()))
    const admin = await adminOf(config, world, log, { ...parts, store, server, meters })
    process.off('exit', abandon)
    return {
      adminPort: admin.port,
      isFresh: data.isFresh,
      stop: async (deadlineMs) => {
        const now = world.nowMs()
        await server.stop(now + Math.max(0, deadlineMs - now) * answerShare)
        publisher.flush()
        await store.close(deadlineMs)
        await parts.stop()
        await admin.stop()
        data.release()
      },
    }
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** The client of the object store is large: it is loaded only where a bucket is configured. */
async function s3For(
  config: DaemonConfig,
  world: World,
  native: Native,
  meter: Meter<typeof s3Metrics>,
): Promise<ColdTier | null> {
  if (config.s3 === null) return null
  const { openS3Tier } = await import('../tiers/s3/tier.ts')
  const daemonId = daemonIdIn(config.data)
  const { s3: url, s3Bytes: bytesMax, s3CreateBucket: createBucket } = config
  return await openS3Tier({ url, native, world, meter, daemonId, bytesMax, createBucket })
}

async function natsFor(
  config: DaemonConfig,
  token: string | null,
  parts: ConstructorParameters<typeof NatsEvents>[0],
): Promise<NatsEvents | null> {
  if (config.natsUrl === null) return null
  const { NatsEvents: Events } = await import('./nats.ts')
  const nats = new Events(parts)
  nats.start(config.natsUrl, token)
  return nats
}

type Connected = {
  readonly publisher: Publisher
  readonly heldBlocks: HeldBlocks
  readonly links: LinkRates
  readonly streams: EventStreams
  readonly nats: NatsEvents | null
  stop(): Promise<void>
}

/** The parts that tell others what is held, wired to the store. */
async function connectParts(
  config: DaemonConfig,
  world: World,
  log: Log,
  store: BlockStore,
  meter: DaemonMeter,
  token: string | null,
): Promise<Connected> {
  const heldBlocks = new HeldBlocks((events) => publisher.publish(events))
  const publisher = new Publisher({
    world,
    meter,
    publisher: config.node,
    epoch: epochOf(world),
    holdings: () => [...heldBlocks.holdings(), ...store.holdings()],
  })
  store.onEvent((event) => publisher.publish([event]))
  const streams = new EventStreams(world, publisher, meter)
  const nats = await natsFor(config, token, { world, publisher, meter, log })
  return {
    publisher,
    heldBlocks,
    links: new LinkRates(),
    streams,
    nats,
    stop: async () => {
      streams.stop()
      await nats?.stop()
    },
  }
}

async function adminOf(
  config: DaemonConfig,
  world: World,
  log: Log,
  parts: Connected & {
    readonly store: BlockStore
    readonly server: EngineServer
    readonly meters: {
      readonly daemon: DaemonMeter
      readonly store: Meter<typeof storeMetrics>
      readonly s3: Meter<typeof s3Metrics>
    }
  },
): Promise<Admin> {
  const { store, server, publisher, heldBlocks, links, streams, nats, meters } = parts
  const { node, data, socket } = config
  const meter = meters.daemon
  const readySinceMs = world.nowMs()
  const natsState = () => (nats === null ? 'off' : nats.isReached ? 'connected' : 'away')
  const sources = { world, store, server, heldBlocks, publisher, links, meter }
  return await openAdmin({
    port: config.adminPort,
    store,
    server,
    publisher,
    streams,
    meters: [meter, meters.store, meters.s3],
    refreshGauges: () => {
      meter.set('terrace_daemon_up_seconds', {}, (world.nowMs() - readySinceMs) / 1_000)
      meter.set('terrace_sessions', {}, server.sessions().length)
      // Asking for the usage sets the tiers' own gauges.
      store.usage()
    },
    status: () => statusOf({ ...sources, node, data, socket, readySinceMs, nats: natsState }),
    log,
  })
}

/** Differs from every earlier start of this node, so that readers know that what they knew is void. */
function epochOf(world: World): string {
  const chance = Math.floor(world.random() * 2 ** 48)
  return `${Math.floor(world.wallMs()).toString(36)}-${chance.toString(36)}`
}

/** Names this daemon's own packs in the bucket: made once per data directory. */
function daemonIdIn(data: string): string {
  const file = join(data, daemonIdFile)
  try {
    const text = readFileSync(file, 'utf8').trim()
    if (/^[0-9a-f]{16}$/.test(text)) return text
  } catch {
    // None yet: the next line makes one.
  }
  const fresh = randomBytes(8).toString('hex')
  writeFileSync(`${file}.new`, `${fresh}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
  return fresh
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new KvFailure('KVT_CONFIG_BAD', { why: `--nats-token: ${file} cannot be read (${errnoOf(error)})` })
  }
}
