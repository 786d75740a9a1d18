import { GapHistogram } from './analyze-gaps.ts'
import { goOn, type OnStep } from './progress.ts'
import { quantileIn } from './report/quantiles.ts'
import { IntColumn } from './trace/column.ts'
import { blockCountOf, type TraceTree } from './trace/trace.ts'

/** Points of the hit-rate-over-time line. */
const timeSteps = 60

/** What one pass over a trace with an unlimited cache shows. */
export type Analysis = {
  /** Requests looked at: less than all when the walk was stopped. */
  readonly requestsDone: number
  readonly spanMs: number
  readonly endMs: number
  readonly unlimitedHitCount: number
  readonly requestsWithHit: number
  readonly partialTailCount: number
  readonly blocksMax: number
  readonly gaps: GapHistogram
  readonly sessionGaps: GapHistogram
  /** Blocks by how often they are referenced: `usedTimes[n]` blocks n times. */
  readonly usedTimes: Int32Array
  readonly crossSessionHits: number
  readonly crossTenantHits: number
  readonly sharedBySessions: number
  readonly sharedByTenants: number
  readonly sessionCount: number
  readonly tenants: readonly TenantShape[]
  /** Requests, references and hits per slice of the span. */
  readonly requestsOverTime: Float64Array
  readonly referencesOverTime: Float64Array
  readonly hitsOverTime: Float64Array
}

type TenantShape = {
  readonly name: string
  readonly requests: number
  readonly references: number
  readonly distinctBlocks: number
  readonly hits: number
}

/** Requests between two looks at whether to go on. */
const requestsPerStep = 256

/** Walks every request once, in file order; ends early when `onStep` says so. */
export async function analyzeTrace(tree: TraceTree, onStep: OnStep = goOn): Promise<Analysis> {
  const pass = new Pass(tree)
  let request = 0
  for (; request < tree.requestCount; request += 1) {
    if (request % requestsPerStep === 0 && !(await onStep(request / tree.requestCount))) break
    pass.visit(request)
  }
  return pass.result(request)
}

class Pass {
  readonly #tree: TraceTree
  readonly #uses: Int32Array
  /** Per node the request that used it last: its time, session and tenant are the block's latest. */
  readonly #lastRequest: Int32Array
  readonly #gaps = new GapHistogram()
  readonly #sessionGaps = new GapHistogram()
  readonly #sessionLastMs = new Map<number, number>()
  readonly #tenants: { requests: number; references: number; distinctBlocks: number; hits: number }[]
  readonly #requestsOverTime = new Float64Array(timeSteps)
  readonly #referencesOverTime = new Float64Array(timeSteps)
  readonly #hitsOverTime = new Float64Array(timeSteps)
  readonly #startMs: number
  readonly #spanMs: number
  #endMs = 0
  #hits = 0
  #requestsWithHit = 0
  #partialTails = 0
  #blocksMax = 0
  #crossSession = 0
  #crossTenant = 0

  constructor(tree: TraceTree) {
    this.#tree = tree
    this.#uses = new Int32Array(tree.nodeCount)
    this.#lastRequest = new Int32Array(tree.nodeCount)
    this.#tenants = tree.tenantNames.map(() => ({ requests: 0, references: 0, distinctBlocks: 0, hits: 0 }))
    let startMs = Number.POSITIVE_INFINITY
    for (const ms of tree.arrivalMs) {
      startMs = Math.min(startMs, ms)
      this.#endMs = Math.max(this.#endMs, ms)
    }
    this.#startMs = startMs
    this.#spanMs = this.#endMs - startMs
  }

  visit(request: number): void {
    const tree = this.#tree
    const nowMs = tree.arrivalMs[request] ?? 0
    const session = tree.session?.[request] ?? -1
    const tenant = tree.tenant?.[request] ?? -1
    const blockCount = blockCountOf(tree, request)
    let hits = 0
    for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
      if (this.#touch(node, request, nowMs, session, tenant)) hits += 1
    }
    this.#count(request, blockCount, hits, nowMs, tenant)
    if (session >= 0) {
      const lastMs = this.#sessionLastMs.get(session)
      if (lastMs !== undefined) this.#sessionGaps.add(nowMs - lastMs)
      this.#sessionLastMs.set(session, nowMs)
    }
  }

  /** True when the block was there. Without eviction a path's known blocks are always its leading ones. */
  #touch(node: number, request: number, nowMs: number, session: number, tenant: number): boolean {
    const tree = this.#tree
    const before = this.#uses[node] ?? 0
    let marks = before & (sessionBit | tenantBit)
    if (before !== 0) {
      const last = this.#lastRequest[node] ?? 0
      this.#gaps.add(nowMs - (tree.arrivalMs[last] ?? 0))
      if (session >= 0 && tree.session?.[last] !== session) {
        this.#crossSession += 1
        marks |= sessionBit
      }
      if (tenant >= 0 && tree.tenant?.[last] !== tenant) {
        this.#crossTenant += 1
        marks |= tenantBit
      }
    }
    this.#uses[node] = ((before & countBits) + 1) | marks
    this.#lastRequest[node] = request
    return before !== 0
  }

  #count(request: number, blockCount: number, hits: number, nowMs: number, tenant: number): void {
    const { inputTokens, blockTokens } = this.#tree
    this.#hits += hits
    if (hits > 0) this.#requestsWithHit += 1
    if (blockCount * blockTokens > (inputTokens[request] ?? 0)) this.#partialTails += 1
    this.#blocksMax = Math.max(this.#blocksMax, blockCount)
    const share = this.#spanMs === 0 ? 0 : (nowMs - this.#startMs) / this.#spanMs
    const step = Math.min(timeSteps - 1, Math.floor(share * timeSteps))
    this.#requestsOverTime[step] = (this.#requestsOverTime[step] ?? 0) + 1
    this.#referencesOverTime[step] = (this.#referencesOverTime[step] ?? 0) + blockCount
    this.#hitsOverTime[step] = (this.#hitsOverTime[step] ?? 0) + hits
    const shape = this.#tenants[tenant]
    if (shape !== undefined) {
      shape.requests += 1
      shape.references += blockCount
      shape.hits += hits
      shape.distinctBlocks += blockCount - hits
    }
  }

  result(requestsDone: number): Analysis {
    const { tenantNames } = this.#tree
    return {
      requestsDone,
      spanMs: this.#spanMs,
      endMs: this.#endMs,
      unlimitedHitCount: this.#hits,
      requestsWithHit: this.#requestsWithHit,
      partialTailCount: this.#partialTails,
      blocksMax: this.#blocksMax,
      gaps: this.#gaps,
      sessionGaps: this.#sessionGaps,
      usedTimes: usedTimesOf(this.#uses),
      crossSessionHits: this.#crossSession,
      crossTenantHits: this.#crossTenant,
      sharedBySessions: markedCount(this.#uses, sessionBit),
      sharedByTenants: markedCount(this.#uses, tenantBit),
      sessionCount: this.#sessionLastMs.size,
      tenants: this.#tenants.map((shape, index) => ({ name: tenantNames[index] ?? '', ...shape })),
      requestsOverTime: this.#requestsOverTime,
      referencesOverTime: this.#referencesOverTime,
      hitsOverTime: this.#hitsOverTime,
    }
  }
}

/** The two high bits of a use count say that the block has had users of two sessions, of two tenants. */
const sessionBit = 2 ** 30
const tenantBit = 2 ** 29
const countBits = tenantBit - 1

function markedCount(uses: Int32Array, bit: number): number {
  let count = 0
  for (const use of uses) if ((use & bit) !== 0) count += 1
  return count
}

function usedTimesOf(uses: Int32Array): Int32Array {
  const times = new IntColumn()
  for (const use of uses) {
    const count = use & countBits
    times.reserve(count + 1)
    times.length = Math.max(times.length, count + 1)
    times.items[count] = (times.items[count] ?? 0) + 1
  }
  return times.items.subarray(0, times.length)
}

/** Share of all re-references that the most-used tenth of the blocks carries. */
export function topTenthShare(usedTimes: Int32Array): number {
  let blocks = 0
  let all = 0
  for (const [times, count] of usedTimes.entries()) {
    blocks += count
    all += count * Math.max(0, times - 1)
  }
  let left = Math.floor(blocks / 10)
  let top = 0
  for (let times = usedTimes.length - 1; times > 0 && left > 0; times -= 1) {
    const taken = Math.min(left, usedTimes[times] ?? 0)
    top += taken * (times - 1)
    left -= taken
  }
  return all === 0 ? 0 : top / all
}

type Spread = { readonly mean: number; readonly p50: number; readonly p99: number }

/** Mean, median and 99th percentile of a column. */
export function spreadOf(column: Int32Array | Float64Array): Spread {
  let sum = 0
  for (const value of column) sum += value
  const sorted = Float64Array.from(column).sort()
  return {
    mean: column.length === 0 ? 0 : sum / column.length,
    p50: quantileIn(sorted, 0.5) ?? 0,
    p99: quantileIn(sorted, 0.99) ?? 0,
  }
}
