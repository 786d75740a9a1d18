import type { Link, Links } from './score.ts'

/** What a daemon says about its node in `/status`, as far as prices rest on it. */
export type NodeReport = {
  readonly links: Links
  /** The workers whose engines are attached to it, and what its events call their models. */
  readonly workers: ReadonlyMap<string, ReadonlySet<string>>
}

/** Before a daemon has measured a link: slow enough that a load is not chosen lightly. */
export const cautiousLinks: Links = {
  host: { bytesPerSecond: 2e9, latencySeconds: 0.001 },
  nvme: { bytesPerSecond: 5e8, latencySeconds: 0.005 },
  s3: { bytesPerSecond: 5e7, latencySeconds: 0.05 },
}

/** Reads a daemon's status. Whatever is missing or strange is taken as unknown. */
export function nodeReportOf(status: unknown): NodeReport {
  const tiers = field(status, 'tiers')
  const links = {
    host: linkOf(field(tiers, 'host'), cautiousLinks.host),
    nvme: linkOf(field(tiers, 'nvme'), cautiousLinks.nvme),
    s3: linkOf(field(tiers, 's3'), cautiousLinks.s3),
  }
  const sessions = field(status, 'sessions')
  const workers = new Map<string, Set<string>>()
  for (const session of listOf(sessions)) {
    const worker = field(session, 'worker')
    if (typeof worker !== 'string' || worker === '') continue
    const models = workers.get(worker) ?? new Set<string>()
    workers.set(worker, models)
    for (const namespace of listOf(field(session, 'namespaces'))) {
      const model = field(namespace, 'model')
      if (typeof model === 'string') models.add(model)
    }
  }
  return { links, workers }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function linkOf(tier: unknown, fallback: Link): Link {
  const rate = field(tier, 'readBytesPerSecond')
  const latencyMs = field(tier, 'readLatencyMs')
  return {
    bytesPerSecond: isPositive(rate) ? rate : fallback.bytesPerSecond,
    latencySeconds: isPositive(latencyMs) ? latencyMs / 1_000 : fallback.latencySeconds,
  }
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}

function field(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}
