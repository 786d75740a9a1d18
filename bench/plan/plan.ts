import { Interrupted } from '../failure.ts'
import type { OnStep } from '../progress.ts'
import type { TraceTree } from '../trace/trace.ts'
import { type Activity, activityOf, costOf, type TierBytes, tierBytes } from './cost.ts'
import { type BlockHitRates, blockHitRates } from './default-policy.ts'
import { type HeldBlocks, heldBlocks } from './distance.ts'
import { Evaluator, type Places } from './evaluate.ts'
import { capacityGrid } from './grid.ts'
import { enginesNeeded, queuedTtft } from './queue.ts'
import { type Allowed, neighboursOf, type Option, type Search, searchSizes } from './search.ts'
import type { Site } from './site.ts'

/** Steps of the capacity grid: with three tiers 10,659 sets of sizes. */
const gridSteps = 38

/** Requests that the search looks at; the best sets are then looked at with all. */
const sampledRequests = 1_500

/** Slices of the trace in the picture over time. */
export const timeSlices = 60

/** All that a plan says, in numbers. */
export type Plan = {
  readonly site: Site
  readonly blockBytes: number
  readonly spanSeconds: number
  readonly held: HeldBlocks
  readonly search: Search
  readonly bytes: TierBytes
  readonly activity: Activity
  readonly neighbours: readonly {
    readonly name: string
    readonly option: Option
    readonly bytes: TierBytes
  }[]
  /** Engines for the goal, with the tiers and with HBM alone; null without a goal or when no number is enough. */
  readonly engines: number | null
  readonly enginesAlone: number | null
  /** Engines that prefill or loads keep busy to 70 %, with the tiers and with HBM alone. */
  readonly busy: number
  readonly busyAlone: number
  /** Engines for which the times to first token are given. */
  readonly enginesShown: number
  /** Sorted times to first token, queue included, with that many engines: with the tiers, and with HBM alone. */
  readonly ttft: Float64Array
  readonly ttftAlone: Float64Array
  /** Of the lowest tier; null without tiers. */
  readonly blockHitRates: BlockHitRates | null
  /** Tokens over time by source: HBM, host, NVMe, S3, computed. */
  readonly overTime: readonly Float64Array[]
  readonly partial: boolean
}

/** Finds the tier sizes. When `onStep` stops it, the plan is made of what was tried until then. */
export async function makePlan(
  tree: TraceTree,
  site: Site,
  allowed: Allowed,
  onStep: OnStep,
  steps = gridSteps,
): Promise<Plan> {
  const blockBytes = site.bytesPerToken * tree.blockTokens
  const hbmBlocks = Math.min(tree.nodeCount, Math.floor(site.hbmBytes / blockBytes))
  const held = await heldBlocks(tree, capacityGrid(hbmBlocks, tree.nodeCount, steps), onStep)
  if (held.requestsDone < tree.requestCount) throw new Interrupted()
  const spanSeconds = spanOf(tree) / 1_000
  const sample = new Evaluator(tree, held, site, sampledRequests)
  const whole = new Evaluator(tree, held, site, tree.requestCount)
  const goalSeconds = site.goal.ttftSeconds ?? Number.POSITIVE_INFINITY
  const price = (places: Places, exact: boolean): Option => {
    const outcome = (exact ? whole : sample).outcome(places)
    const cost = costOf(held, places, outcome, site, blockBytes, spanSeconds)
    return { places, outcome, cost, meets: outcome.ttftAtShare <= goalSeconds }
  }
  const last = held.capacities.length - 1
  const search = await searchSizes(price, last, allowed, onStep)
  const { best, alone } = search
  const goalReached = site.goal.ttftSeconds !== null && best.meets
  const engines = goalReached ? enginesNeeded(tree, whole, best.places, site) : null
  const enginesShown = engines ?? busyEngines(best, spanSeconds, site)
  return {
    site,
    blockBytes,
    spanSeconds,
    held,
    search,
    bytes: tierBytes(held, best.places, blockBytes),
    activity: activityOf(held, best.places, best.outcome, site, blockBytes, spanSeconds),
    neighbours: neighboursOf(best.places, last, allowed).map(([name, places]) => ({
      name,
      option: price(places, true),
      bytes: tierBytes(held, places, blockBytes),
    })),
    engines,
    enginesAlone: goalReached && alone.meets ? enginesNeeded(tree, whole, alone.places, site) : null,
    enginesShown,
    busy: busyEngines(best, spanSeconds, site),
    busyAlone: busyEngines(alone, spanSeconds, site),
    ttft: queuedTtft(tree, whole, best.places, site, enginesShown).sort(),
    ttftAlone: queuedTtft(tree, whole, alone.places, site, enginesShown).sort(),
    blockHitRates: blockHitRates(tree, held, best.places.s3),
    overTime: whole.tokensOverTime(best.places, timeSlices),
    partial: search.partial,
  }
}

/** Share of an engine's time that may be planned for. Why: near 1 queues grow without end. */
const busyShareMax = 0.7

/** Engines whose prefill and links are busy for 70 % of the time at most, by whichever is the tighter. */
function busyEngines(option: Option, spanSeconds: number, site: Site): number {
  const { tokens, prefillSeconds } = option.outcome
  const linkSeconds = (tier: 'host' | 'nvme' | 's3'): number =>
    (tokens[tier] * site.bytesPerToken) / site.links[tier].bytesPerSecond
  const busy = Math.max(prefillSeconds, linkSeconds('host'), linkSeconds('nvme'), linkSeconds('s3'))
  return Math.max(1, Math.ceil((busy * site.traffic) / Math.max(1, spanSeconds) / busyShareMax))
}

function spanOf(tree: TraceTree): number {
  let low = Number.POSITIVE_INFINITY
  let high = 0
  for (const ms of tree.arrivalMs) {
    low = Math.min(low, ms)
    high = Math.max(high, ms)
  }
  return high - low
}
