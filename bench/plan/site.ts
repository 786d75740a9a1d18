/** The way from one tier to the engine's memory. */
export type Link = { readonly bytesPerSecond: number; readonly latencySeconds: number }

/** All that the planner must know besides the trace: model, engine, links, prices. Nothing is measured here; every
 *  number comes from the user or is a stated assumption. */
export type Site = {
  readonly bytesPerToken: number
  /** Prefill: `linear` seconds per token and `square` seconds per token². */
  readonly prefill: { readonly linear: number; readonly square: number }
  /** True when a load runs while the rest of the prompt is computed (layer by layer). */
  readonly overlap: boolean
  /** KV memory of the engines together, in bytes: what they hit without any tier below. */
  readonly hbmBytes: number
  readonly links: { readonly host: Link; readonly nvme: Link; readonly s3: Link }
  readonly prices: Prices
  /** Time to first token that the share of the requests must reach; null when only money counts. */
  readonly goal: { readonly ttftSeconds: number | null; readonly share: number }
  /** How often the trace's traffic runs at the same time on the site. */
  readonly traffic: number
}

export type Prices = {
  readonly gpuHour: number
  readonly dramGbMonth: number
  readonly nvmeGbMonth: number
  /** Price of a drive per GB, and how often it may be rewritten, for wear. */
  readonly nvmeGb: number
  readonly nvmeRewritesMax: number
  readonly s3GbMonth: number
  readonly s3PutThousand: number
  readonly s3GetThousand: number
  readonly s3EgressGb: number
  readonly date: string
}

/** Bytes of one S3 object (a pack) and of one ranged read, for counting requests. */
export const packBytes = 64 * 2 ** 20
export const rangeBytes = 8 * 2 ** 20

export const secondsPerMonth = 30.4375 * 86_400
export const bytesPerGb = 1e9

export function prefillSeconds(site: Site, tokens: number, present: number): number {
  const { linear, square } = site.prefill
  return linear * (tokens - present) + square * (tokens * tokens - present * present)
}
