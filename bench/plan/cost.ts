import type { HeldBlocks } from './distance.ts'
import type { Outcome, Places } from './evaluate.ts'
import { bytesPerGb, packBytes, type Site, secondsPerMonth } from './site.ts'

/** Bytes of each tier; 0 for one that is not used. Every tier also holds what the ones above it hold. */
export type TierBytes = { readonly host: number; readonly nvme: number; readonly s3: number }

/** Dollars per month, by what they pay for. */
export type Cost = {
  readonly gpu: number
  readonly dram: number
  readonly nvme: number
  readonly wear: number
  readonly s3Storage: number
  readonly s3Requests: number
  readonly s3Egress: number
  readonly total: number
}

/** What the tiers do in a month, in bytes and requests. */
export type Activity = {
  readonly nvmeWrittenPerDay: number
  readonly nvmeReadPerDay: number
  /** Whole-drive writes per day; 0 without NVMe. */
  readonly driveWritesPerDay: number
  /** Years until the rated writes are used up; null without writes. */
  readonly driveYears: number | null
  readonly s3PutsPerMonth: number
  readonly s3GetsPerMonth: number
}

export function tierBytes(held: HeldBlocks, places: Places, blockBytes: number): TierBytes {
  const at = (place: number): number => held.capacities[place] ?? 0
  const own = (above: number, place: number): number => (place === above ? 0 : at(place) * blockBytes)
  return {
    host: own(places.hbm, places.host),
    nvme: own(places.host, places.nvme),
    s3: own(places.nvme, places.s3),
  }
}

/** Blocks written to a tier: blocks are written through, so every one that enters it, at once. */
function writtenBlocks(held: HeldBlocks, above: number, below: number): number {
  return below === above ? 0 : (held.entering[below] ?? 0)
}

/** How many times the trace's traffic fits into a month on this site. */
export function runsPerMonth(site: Site, spanSeconds: number): number {
  return (secondsPerMonth * site.traffic) / Math.max(1, spanSeconds)
}

export function activityOf(
  held: HeldBlocks,
  places: Places,
  outcome: Outcome,
  site: Site,
  blockBytes: number,
  spanSeconds: number,
): Activity {
  const months = runsPerMonth(site, spanSeconds)
  const days = months / 30.4375
  const bytes = tierBytes(held, places, blockBytes)
  const nvmeWritten = writtenBlocks(held, places.host, places.nvme) * blockBytes * days
  const driveWrites = bytes.nvme === 0 ? 0 : nvmeWritten / bytes.nvme
  const s3Written = writtenBlocks(held, places.nvme, places.s3) * blockBytes
  return {
    nvmeWrittenPerDay: nvmeWritten,
    nvmeReadPerDay: outcome.tokens.nvme * site.bytesPerToken * days,
    driveWritesPerDay: driveWrites,
    driveYears: driveWrites === 0 ? null : site.prices.nvmeRewritesMax / driveWrites / 365.25,
    s3PutsPerMonth: Math.ceil(s3Written / packBytes) * months,
    s3GetsPerMonth: outcome.s3Reads * months,
  }
}

export function costOf(
  held: HeldBlocks,
  places: Places,
  outcome: Outcome,
  site: Site,
  blockBytes: number,
  spanSeconds: number,
): Cost {
  const { prices } = site
  const months = runsPerMonth(site, spanSeconds)
  const bytes = tierBytes(held, places, blockBytes)
  const activity = activityOf(held, places, outcome, site, blockBytes, spanSeconds)
  const writtenPerMonth = activity.nvmeWrittenPerDay * 30.4375
  const gpu = (outcome.prefillSeconds * months * prices.gpuHour) / 3_600
  const dram = (bytes.host / bytesPerGb) * prices.dramGbMonth
  const nvme = (bytes.nvme / bytesPerGb) * prices.nvmeGbMonth
  const wear = (writtenPerMonth / bytesPerGb / prices.nvmeRewritesMax) * prices.nvmeGb
  const s3Storage = (bytes.s3 / bytesPerGb) * prices.s3GbMonth
  const puts = (activity.s3PutsPerMonth / 1_000) * prices.s3PutThousand
  const gets = (activity.s3GetsPerMonth / 1_000) * prices.s3GetThousand
  const s3Egress = ((outcome.tokens.s3 * site.bytesPerToken * months) / bytesPerGb) * prices.s3EgressGb
  const total = gpu + dram + nvme + wear + s3Storage + puts + gets + s3Egress
  return { gpu, dram, nvme, wear, s3Storage, s3Requests: puts + gets, s3Egress, total }
}
