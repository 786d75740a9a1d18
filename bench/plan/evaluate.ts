import type { TraceTree } from '../trace/trace.ts'
import type { HeldBlocks } from './distance.ts'
import { prefillSeconds, rangeBytes, type Site } from './site.ts'

/** A set of tier sizes as places in the rising list of capacities. A tier at the place of the one above it is not there. */
export type Places = {
  readonly hbm: number
  readonly host: number
  readonly nvme: number
  readonly s3: number
}

/** Sums over the whole trace for one set of tier sizes. */
export type Outcome = {
  /** Seconds of prefill that the engines do. */
  readonly prefillSeconds: number
  /** Tokens by where they came from. */
  readonly tokens: { readonly hbm: number; readonly host: number; readonly nvme: number; readonly s3: number }
  /** Tokens that were held but cheaper to compute again. */
  readonly tokensRefused: number
  readonly s3Reads: number
  /** Seconds from arrival to first token without any queue, at the goal's share. */
  readonly ttftAtShare: number
}

/** How one request is served best: how many tokens are taken from each tier, and how long that takes. */
type Service = {
  hbm: number
  host: number
  nvme: number
  s3: number
  loadSeconds: number
  computeSeconds: number
  totalSeconds: number
}

/** Steps of the TTFT histogram: 16 to each doubling, even within it, from 2^-12 s (0.2 ms) to 2^14 s. A step is the upper
 *  half of a float: taking a logarithm of every time of every option would be half of a plan's time. */
const stepShift = 16
const floatBits = new Float64Array(1)
/** The half of the float with sign, exponent and the first of the fraction. */
const floatHigh = new Int32Array(floatBits.buffer).subarray(1)
const lowestStep = halfOf(2 ** -12) >> stepShift
const stepCount = (halfOf(2 ** 14) >> stepShift) - lowestStep

/** Reusable memory for evaluating many sets of sizes. */
export class Evaluator {
  readonly #tree: TraceTree
  readonly #held: HeldBlocks
  readonly #site: Site
  readonly #histogram = new Float64Array(stepCount)
  readonly #service: Service = emptyService()
  /** Every n-th request is looked at. */
  readonly #stride: number

  constructor(tree: TraceTree, held: HeldBlocks, site: Site, requestsMax: number) {
    this.#tree = tree
    this.#held = held
    this.#site = site
    this.#stride = Math.max(1, Math.ceil(tree.requestCount / requestsMax))
  }

  /** Sums over the requests (over a sample of them, scaled up, when there are more than asked for). */
  outcome(places: Places): Outcome {
    const histogram = this.#histogram.fill(0)
    const service = this.#service
    const tokens = { hbm: 0, host: 0, nvme: 0, s3: 0 }
    let [seconds, refused, reads, seen] = [0, 0, 0, 0]
    for (let request = 0; request < this.#tree.requestCount; request += this.#stride) {
      const available = this.serve(request, places, service)
      seen += 1
      seconds += service.computeSeconds
      tokens.hbm += service.hbm
      tokens.host += service.host
      tokens.nvme += service.nvme
      tokens.s3 += service.s3
      refused += available - service.hbm - service.host - service.nvme - service.s3
      if (service.s3 > 0) reads += Math.ceil((service.s3 * this.#site.bytesPerToken) / rangeBytes)
      const step = (halfOf(service.totalSeconds) >> stepShift) - lowestStep
      const place = Math.min(stepCount - 1, Math.max(0, step))
      histogram[place] = (histogram[place] ?? 0) + 1
    }
    const scale = seen === 0 ? 0 : this.#tree.requestCount / seen
    return {
      prefillSeconds: seconds * scale,
      tokens: {
        hbm: tokens.hbm * scale,
        host: tokens.host * scale,
        nvme: tokens.nvme * scale,
        s3: tokens.s3 * scale,
      },
      tokensRefused: refused * scale,
      s3Reads: reads * scale,
      ttftAtShare: quantileOf(histogram, seen, this.#site.goal.share),
    }
  }

  /** Tokens by where they come from, in slices of the trace's time: HBM, host, NVMe, S3, computed. */
  tokensOverTime(places: Places, slices: number): readonly Float64Array[] {
    const layers = Array.from({ length: 5 }, () => new Float64Array(slices))
    const { arrivalMs, inputTokens, requestCount } = this.#tree
    const startMs = arrivalMs.reduce((least, ms) => Math.min(least, ms), Number.POSITIVE_INFINITY)
    const spanMs = arrivalMs.reduce((most, ms) => Math.max(most, ms), 0) - startMs
    for (let request = 0; request < requestCount; request += 1) {
      this.serve(request, places, this.#service)
      const share = spanMs === 0 ? 0 : ((arrivalMs[request] ?? 0) - startMs) / spanMs
      const slice = Math.min(slices - 1, Math.floor(share * slices))
      const { hbm, host, nvme, s3 } = this.#service
      const computed = (inputTokens[request] ?? 0) - hbm - host - nvme - s3
      for (const [index, tokens] of [hbm, host, nvme, s3, computed].entries()) {
        const layer = layers[index]
        if (layer !== undefined) layer[slice] = (layer[slice] ?? 0) + tokens
      }
    }
    return layers
  }

  /** Fills in the best service of one request; answers how many tokens were there at all. The last token of a
   *  prompt is always computed: its result is the first output token. */
  serve(request: number, places: Places, service: Service): number {
    const { leading, capacities } = this.#held
    const row = request * capacities.length
    const total = this.#tree.inputTokens[request] ?? 0
    const limit = Math.max(0, total - 1)
    const perBlock = this.#tree.blockTokens
    const tokensAt = (place: number): number => Math.min(limit, (leading[row + place] ?? 0) * perBlock)
    const hbm = tokensAt(places.hbm)
    const host = tokensAt(places.host)
    const nvme = tokensAt(places.nvme)
    const s3 = tokensAt(places.s3)
    const { links, bytesPerToken } = this.#site
    setService(service, hbm, 0, 0, 0, 0, prefillSeconds(this.#site, total, hbm), this.#site.overlap)
    let load = 0
    if (host > hbm) {
      load = links.host.latencySeconds + ((host - hbm) * bytesPerToken) / links.host.bytesPerSecond
      this.#better(service, hbm, host - hbm, 0, 0, load, total)
    }
    if (nvme > host) {
      const own = links.nvme.latencySeconds + ((nvme - host) * bytesPerToken) / links.nvme.bytesPerSecond
      load = Math.max(load, own)
      this.#better(service, hbm, host - hbm, nvme - host, 0, load, total)
    }
    if (s3 > nvme) {
      const own = links.s3.latencySeconds + ((s3 - nvme) * bytesPerToken) / links.s3.bytesPerSecond
      load = Math.max(load, own)
      this.#better(service, hbm, host - hbm, nvme - host, s3 - nvme, load, total)
    }
    return s3
  }

  /** Takes another way when it is quicker; loading nothing wins ties. */
  #better(
    service: Service,
    hbm: number,
    host: number,
    nvme: number,
    s3: number,
    load: number,
    total: number,
  ): void {
    const compute = prefillSeconds(this.#site, total, hbm + host + nvme + s3)
    const seconds = this.#site.overlap ? Math.max(load, compute) : load + compute
    if (seconds >= service.totalSeconds) return
    setService(service, hbm, host, nvme, s3, load, compute, this.#site.overlap)
  }
}

export function emptyService(): Service {
  return { hbm: 0, host: 0, nvme: 0, s3: 0, loadSeconds: 0, computeSeconds: 0, totalSeconds: 0 }
}

function setService(
  service: Service,
  hbm: number,
  host: number,
  nvme: number,
  s3: number,
  load: number,
  compute: number,
  overlap: boolean,
): void {
  service.hbm = hbm
  service.host = host
  service.nvme = nvme
  service.s3 = s3
  service.loadSeconds = load
  service.computeSeconds = compute
  service.totalSeconds = overlap ? Math.max(load, compute) : load + compute
}

/** Upper edge of the histogram step in which the share is reached, in seconds. */
function quantileOf(histogram: Float64Array, count: number, share: number): number {
  const rank = Math.min(count - 1, Math.floor(share * count))
  let below = 0
  for (let step = 0; step < stepCount; step += 1) {
    below += histogram[step] ?? 0
    if (below > rank) return edgeOf(step + 1)
  }
  return 0
}

function halfOf(seconds: number): number {
  floatBits[0] = seconds
  return floatHigh[0] as number
}

/** Lower edge of a step in seconds. */
function edgeOf(step: number): number {
  floatBits[0] = 0
  floatHigh[0] = (step + lowestStep) << stepShift
  return floatBits[0]
}
