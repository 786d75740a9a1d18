import type { TraceTree } from '../trace/trace.ts'
import { type Evaluator, emptyService, type Places } from './evaluate.ts'
import type { Site } from './site.ts'

/** Times to first token of every request, in seconds, when `engineCount` engines share the traffic: a request goes to
 *  the engine that is free first; its loads wait for that engine's links (one request at a time on each), its
 *  prefill for the engine. Decoding is taken to run beside prefill. */
export function queuedTtft(
  tree: TraceTree,
  evaluator: Evaluator,
  places: Places,
  site: Site,
  engineCount: number,
): Float64Array {
  const free = new Float64Array(engineCount)
  const linkFree = {
    host: new Float64Array(engineCount),
    nvme: new Float64Array(engineCount),
    s3: new Float64Array(engineCount),
  }
  const ttft = new Float64Array(tree.requestCount)
  const service = emptyService()
  for (const request of inOrder(tree)) {
    const arrival = (tree.arrivalMs[request] ?? 0) / 1_000 / site.traffic
    evaluator.serve(request, places, service)
    const engine = firstFree(free)
    let loaded = arrival
    for (const tier of ['host', 'nvme', 's3'] as const) {
      if (service[tier] === 0) continue
      const link = site.links[tier]
      const start = Math.max(arrival, linkFree[tier][engine] ?? 0)
      const end = start + (service[tier] * site.bytesPerToken) / link.bytesPerSecond
      linkFree[tier][engine] = end
      loaded = Math.max(loaded, end + link.latencySeconds)
    }
    const ready = site.overlap ? arrival : loaded
    const start = Math.max(ready, free[engine] ?? 0)
    const end = Math.max(loaded, start + service.computeSeconds)
    free[engine] = start + service.computeSeconds
    ttft[request] = end - arrival
  }
  return ttft
}

/** Requests by arrival: a file is usually sorted, and then this costs nothing. */
function inOrder(tree: TraceTree): Iterable<number> {
  let sorted = true
  for (let request = 1; request < tree.requestCount; request += 1) {
    if ((tree.arrivalMs[request] ?? 0) < (tree.arrivalMs[request - 1] ?? 0)) sorted = false
  }
  const order = Array.from({ length: tree.requestCount }, (_, request) => request)
  return sorted ? order : order.sort((a, b) => (tree.arrivalMs[a] ?? 0) - (tree.arrivalMs[b] ?? 0))
}

function firstFree(free: Float64Array): number {
  let first = 0
  for (let engine = 1; engine < free.length; engine += 1) {
    if ((free[engine] ?? 0) < (free[first] ?? 0)) first = engine
  }
  return first
}

/** Most engines looked for. */
const enginesMax = 4_096

/** Fewest engines with which the goal is met, or null when not even very many meet it. */
export function enginesNeeded(
  tree: TraceTree,
  evaluator: Evaluator,
  places: Places,
  site: Site,
): number | null {
  const meets = (engineCount: number): boolean => {
    const sorted = queuedTtft(tree, evaluator, places, site, engineCount).sort()
    const rank = Math.min(sorted.length - 1, Math.floor(site.goal.share * sorted.length))
    return (sorted[rank] ?? 0) <= (site.goal.ttftSeconds ?? 0)
  }
  let high = 1
  while (!meets(high)) {
    if (high >= enginesMax) return null
    high *= 2
  }
  let low = Math.floor(high / 2)
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (meets(middle)) high = middle
    else low = middle
  }
  return high
}
