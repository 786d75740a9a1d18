import type { TierName } from '../block/id.ts'

/** Milliseconds that bringing so many bytes from a tier takes, or null when nobody has measured it yet. */
export type MsOf = (tier: TierName, byteCount: number) => number | null

export type Cut = {
  /** How many leading blocks are worth loading. */
  readonly blocks: number
  readonly loadMs: number
  /** What kept more of the prefix from being loaded. */
  readonly ends: 'nothing' | 'deadline' | 'cost'
}

/** The cut of a ready prefix that saves the most time: blocks before it are loaded, the rest is computed. Bytes of
 *  the tiers move one
 *  after the other through the last copy, so their times add up. An unknown rate, or an unknown price of computing
 *  (0), counts in
 *  favour of loading: otherwise nothing would ever be measured. */
export function bestCut(
  sources: readonly TierName[],
  blockBytes: number,
  prefillMsPerBlock: number,
  leftMs: number,
  msOf: MsOf,
): Cut {
  const counts: Record<TierName, number> = { hbm: 0, host: 0, nvme: 0, s3: 0 }
  let best = { blocks: 0, loadMs: 0 }
  let bestSavedMs = 0
  let tried = 0
  for (const [i, tier] of sources.entries()) {
    counts[tier] += 1
    const loadMs = loadMsOf(counts, blockBytes, msOf)
    if (loadMs > leftMs || leftMs <= 0) break
    tried += 1
    const savedMs = prefillMsPerBlock > 0 ? (i + 1) * prefillMsPerBlock - loadMs : i + 1
    if (savedMs > bestSavedMs) {
      best = { blocks: i + 1, loadMs }
      bestSavedMs = savedMs
    }
  }
  const ends = best.blocks === sources.length ? 'nothing' : best.blocks === tried ? 'deadline' : 'cost'
  return { ...best, ends }
}

/** What loading so many blocks of each tier takes, unknown rates counted as nothing. */
export function loadMsOf(counts: Readonly<Record<TierName, number>>, blockBytes: number, msOf: MsOf): number {
  const all = counts.host + counts.nvme + counts.s3
  let loadMs = all === 0 ? 0 : (msOf('host', all * blockBytes) ?? 0)
  for (const tier of ['nvme', 's3'] as const) {
    if (counts[tier] > 0) loadMs += msOf(tier, counts[tier] * blockBytes) ?? 0
  }
  return loadMs
}
