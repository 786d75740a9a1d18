import { readFileSync } from 'node:fs'
import type { World } from '../tiers/block/clock.ts'
import { type TierName, tierNames } from '../tiers/block/id.ts'
import { wireVersion } from '../tiers/block/wire.ts'
import type { BlockStore } from '../tiers/store.ts'
import type { TierUsage } from '../tiers/tier.ts'
import type { HeldBlocks } from './held.ts'
import type { LinkRates, StoredTier } from './links.ts'
import type { DaemonMeter } from './metrics.ts'
import type { Publisher } from './publish.ts'
import type { EngineServer, ServerState } from './server.ts'

export type TierStatus = TierUsage & {
  /** As measured on loads: one of `n` bytes takes the latency and `n` over the rate. Null before any. */
  readonly readBytesPerSecond: number | null
  readonly readLatencyMs: number | null
}
type Counts = Readonly<Record<string, number>>

/** What `GET /status` gives: everything an operator asks first, and what routers price loads with. Numbers and names only. */
export type DaemonStatus = {
  readonly version: string
  readonly wireVersion: number
  readonly node: string
  readonly epoch: string
  readonly pid: number
  readonly state: ServerState
  readonly uptimeMs: number
  readonly data: string
  readonly socket: string
  readonly sessions: ReturnType<EngineServer['sessions']>
  readonly tiers: {
    readonly hbm: { readonly blockCount: number }
    readonly host: TierStatus
    readonly nvme: TierStatus
    readonly s3: TierStatus
  }
  /** Realised: what engines reported of whole requests, in tokens. */
  readonly requests: {
    readonly reportedCount: number
    readonly promptTokens: number
    readonly computedTokens: number
    readonly tokensByTier: Readonly<Record<TierName, number>>
  }
  /** In blocks: wanted by engines, possible (held by some tier as a prefix), loaded. */
  readonly loads: {
    readonly wantedBlocks: number
    readonly possibleBlocks: number
    readonly loadedBlocksByTier: Readonly<Record<TierName, number>>
    readonly countByStop: Counts
  }
  readonly lookups: {
    readonly blocks: number
    readonly predictedBlocksByTier: Readonly<Record<TierName, number>>
  }
  readonly stores: { readonly wantedBlocks: number; readonly droppedBlocksByWhy: Counts }
  readonly asks: { readonly countByMessage: Counts; readonly failedByCode: Counts }
  readonly refusedPeersByWhy: Counts
  readonly events: {
    readonly sequence: number
    readonly readers: number
    readonly nats: 'off' | 'connected' | 'away'
  }
}

type StatusParts = {
  readonly world: World
  readonly store: BlockStore
  readonly server: EngineServer
  readonly heldBlocks: HeldBlocks
  readonly publisher: Publisher
  readonly links: LinkRates
  readonly meter: DaemonMeter
  readonly node: string
  readonly data: string
  readonly socket: string
  readonly readySinceMs: number
  readonly nats: () => DaemonStatus['events']['nats']
}

export function statusOf(parts: StatusParts): DaemonStatus {
  const { world, store, server, heldBlocks, publisher, links, meter } = parts
  const usage = store.usage()
  const tier = (name: StoredTier): TierStatus => {
    const rate = links.rateOf(name)
    return {
      ...usage[name],
      readBytesPerSecond: rate === null ? null : Math.round(rate.bytesPerSecond),
      readLatencyMs: rate === null ? null : rate.latencySeconds * 1_000,
    }
  }
  const counts = (name: Parameters<DaemonMeter['byLabel']>[0], label: string): Counts =>
    Object.fromEntries(meter.byLabel(name, label))
  const byTier = (name: Parameters<DaemonMeter['byLabel']>[0]): Record<TierName, number> => {
    const sums = meter.byLabel(name, 'tier')
    return Object.fromEntries(tierNames.map((at) => [at, sums.get(at) ?? 0])) as Record<TierName, number>
  }
  return {
    version: productVersion(),
    wireVersion,
    node: parts.node,
    epoch: publisher.epoch,
    pid: process.pid,
    state: server.state,
    uptimeMs: Math.round(world.nowMs() - parts.readySinceMs),
    data: parts.data,
    socket: parts.socket,
    sessions: server.sessions(),
    tiers: {
      hbm: { blockCount: heldBlocks.blockCount() },
      host: tier('host'),
      nvme: tier('nvme'),
      s3: tier('s3'),
    },
    requests: {
      reportedCount: meter.valueOf('terrace_reports_total'),
      promptTokens: meter.valueOf('terrace_prompt_tokens_total'),
      computedTokens: meter.valueOf('terrace_computed_tokens_total'),
      tokensByTier: byTier('terrace_realised_tokens_total'),
    },
    loads: {
      wantedBlocks: meter.valueOf('terrace_tenant_load_wanted_blocks_total'),
      possibleBlocks: meter.valueOf('terrace_possible_blocks_total'),
      loadedBlocksByTier: byTier('terrace_tenant_loaded_blocks_total'),
      countByStop: counts('terrace_tenant_loads_total', 'stop'),
    },
    lookups: {
      blocks: meter.valueOf('terrace_tenant_lookup_blocks_total'),
      predictedBlocksByTier: byTier('terrace_predicted_blocks_total'),
    },
    stores: {
      wantedBlocks: meter.valueOf('terrace_tenant_store_wanted_blocks_total'),
      droppedBlocksByWhy: counts('terrace_tenant_store_dropped_blocks_total', 'why'),
    },
    asks: {
      countByMessage: counts('terrace_asks_total', 'message'),
      failedByCode: counts('terrace_asks_failed_total', 'code'),
    },
    refusedPeersByWhy: counts('terrace_peers_refused_total', 'why'),
    events: {
      sequence: publisher.sequence,
      readers: meter.valueOf('terrace_event_readers'),
      nats: parts.nats(),
    },
  }
}

/** The release, from the package's own file. */
function productVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return String((JSON.parse(text) as { readonly version?: unknown }).version)
}
