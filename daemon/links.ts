import { type TierName, tierNames } from '../tiers/block/id.ts'
import type { TierCounts } from '../tiers/store.ts'

/** What a link to a tier gives: a load of `n` bytes takes `latencySeconds + n / bytesPerSecond`. */
type LinkRate = { readonly bytesPerSecond: number; readonly latencySeconds: number }
export type StoredTier = Exclude<TierName, 'hbm'>

/** Moments of (bytes, seconds), each weighted less the older it is. */
type Moments = { weight: number; bytes: number; seconds: number; bytesBytes: number; bytesSeconds: number }

/** How much an older load counts against the next one: about the last twenty speak. */
const decay = 0.95

/** Rates of the links to the tiers as engines feel them, from whole loads: copy, check and queue included. Only loads that came
 *  from one tier count, so that no tier pays for another. */
export class LinkRates {
  readonly #moments = new Map<StoredTier, Moments>()

  observe(byTier: TierCounts, blockBytes: number, seconds: number): void {
    const from = tierNames.filter((tier) => byTier[tier] > 0)
    const [tier] = from
    if (from.length !== 1 || tier === undefined || tier === 'hbm' || seconds <= 0) return
    const bytes = byTier[tier] * blockBytes
    const old = this.#moments.get(tier) ?? { weight: 0, bytes: 0, seconds: 0, bytesBytes: 0, bytesSeconds: 0 }
    this.#moments.set(tier, {
      weight: old.weight * decay + 1,
      bytes: old.bytes * decay + bytes,
      seconds: old.seconds * decay + seconds,
      bytesBytes: old.bytesBytes * decay + bytes * bytes,
      bytesSeconds: old.bytesSeconds * decay + bytes * seconds,
    })
  }

  /** The straight line through what was seen; null before anything was. */
  rateOf(tier: StoredTier): LinkRate | null {
    const sums = this.#moments.get(tier)
    if (sums === undefined) return null
    const bytes = sums.bytes / sums.weight
    const seconds = sums.seconds / sums.weight
    const spread = sums.bytesBytes / sums.weight - bytes * bytes
    const together = sums.bytesSeconds / sums.weight - bytes * seconds
    const slope = together / spread
    const latencySeconds = seconds - slope * bytes
    // Loads of nearly one size, or noise larger than the line, tell a rate but no latency.
    const known = spread > bytes * bytes * 0.01 && slope > 0 && latencySeconds >= 0
    return known
      ? { bytesPerSecond: 1 / slope, latencySeconds }
      : { bytesPerSecond: bytes / seconds, latencySeconds: 0 }
  }
}
