import type { Line } from './report.ts'

/** The usual quantiles of a list of times; null where there are none. */
type Quantiles = Readonly<Record<'p50' | 'p90' | 'p95' | 'p99', number | null>>

/** sorted[floor(share * length)] of a sorted list; null for an empty one. */
export function quantileIn(sorted: Float64Array, share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null
}

export function quantilesIn(sorted: Float64Array): Quantiles {
  const at = (share: number): number | null => quantileIn(sorted, share)
  return { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
}

/** Points of a curve of shares. */
const sharePoints = 100

/** The share of the times that are at most so long, for a logarithmic axis of seconds from `leastSeconds` on. */
export function shareLine(name: string, sorted: Float64Array, leastSeconds: number): Line {
  const points = Array.from({ length: sharePoints }, (_, step) => {
    const share = (step + 1) / sharePoints
    return [Math.max(leastSeconds, quantileIn(sorted, share - 1e-9) ?? 0), share] as const
  })
  return { name, points }
}
