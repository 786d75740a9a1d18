import type { World } from '../tiers/block/clock.ts'
import type { Meter } from '../tiers/block/metric.ts'
import type { HeldBytes } from './admit.ts'
import type { Log } from './log.ts'
import type { routerMetrics } from './metrics.ts'
import type { PromptNamer } from './prompt-names.ts'
import type { Residency } from './residency.ts'
import type { Weights } from './score.ts'
import type { Identify } from './tenant.ts'
import type { Workers } from './workers.ts'

export type RouterMeter = Meter<typeof routerMetrics>

/** Everything a request meets on its way, wired once in main.ts. */
export type Parts = {
  readonly world: World
  readonly log: Log
  readonly meter: RouterMeter
  readonly identify: Identify
  readonly workers: Workers
  readonly namer: PromptNamer
  readonly overlaps: Residency
  readonly held: HeldBytes
  readonly weights: Weights
  readonly workerChoice: boolean
  readonly anyModel: boolean
  readonly receiveMs: number
  readonly firstByteMs: number
  readonly stallMs: number
  readonly totalMs: number
  /** Aborted when the router stops and its patience is over: whatever still streams is cut. */
  readonly cut: AbortSignal
}
