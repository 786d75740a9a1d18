import { GapHistogram, quantileOf } from './analyze-gaps.ts'
import { blockCountOf, type TraceTree } from './trace/trace.ts'

/** Points of the hit-rate-over-time line. */
const timeSteps = 60

/** What one pass over a trace with an unlimited cache shows. */
export type Analysis = {
  readonly spanMs: number
  readonly endMs: number
  readonly unlimitedHitCount: number
  readonly requestsWithHit: number
  readonly partialTailCount: number
  readonly blocksMax: number
  readonly gaps: GapHistogram
  readonly sessionGaps: GapHistogram
  /** References per node. */
  readonly uses: Int32Array
  readonly crossSessionHits: number
  readonly crossTenantHits: number
  readonly sharedBySessions: number
  readonly sharedByTenants: number
  readonly sessionCount: number
  readonly tenants: readonly TenantShape[]
  /** References and hits per slice of the span. */
  readonly referencesOverTime: Float64Array
  readonly hitsOverTime: Float64Array
}

export type TenantShape = {
  readonly name: string
  readonly requests: number
  readonly references: number
  readonly distinctBlocks: number
  readonly hits: number
}

/** Walks every request once, in file order. */
export function analyzeTrace(tree: TraceTree): Analysis {
  const pass = new Pass(tree)
  for (let request = 0; request < tree.requestCount; request += 1) pass.visit(request)
  return pass.result()
}

class Pass {
  readonly #tree: TraceTree
  readonly #uses: Int32Array
  readonly #lastMs: Float64Array
  readonly #lastSession: Int32Array
  readonly #lastTenant: Int32Array
  readonly #gaps = new GapHistogram()
  readonly #sessionGaps = new GapHistogram()
  readonly #sessionLastMs = new Map<number, number>()
  readonly #tenants: { requests: number; references: number; distinctBlocks: number; hits: number }[]
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
    this.#lastMs = new Float64Array(tree.nodeCount)
    this.#lastSession = new Int32Array(tree.session === null ? 0 : tree.nodeCount)
    this.#lastTenant = new Int32Array(tree.tenant === null ? 0 : tree.nodeCount)
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
      if (this.#touch(node, nowMs, session, tenant)) hits += 1
    }
    this.#count(request, blockCount, hits, nowMs, tenant)
    if (session >= 0) {
      const lastMs = this.#sessionLastMs.get(session)
      if (lastMs !== undefined) this.#sessionGaps.add(nowMs - lastMs)
      this.#sessionLastMs.set(session, nowMs)
    }
  }

  /** True when the block was there. Without eviction a path's known blocks are always its leading ones. */
  #touch(node: number, nowMs: number, session: number, tenant: number): boolean {
    const known = (this.#uses[node] ?? 0) > 0
    if (known) {
      this.#gaps.add(nowMs - (this.#lastMs[node] ?? 0))
      this.#crossSession += noteUser(this.#lastSession, node, session)
      this.#crossTenant += noteUser(this.#lastTenant, node, tenant)
    } else {
      if (this.#lastSession.length > 0) this.#lastSession[node] = session
      if (this.#lastTenant.length > 0) this.#lastTenant[node] = tenant
    }
    this.#uses[node] = (this.#uses[node] ?? 0) + 1
    this.#lastMs[node] = nowMs
    return known
  }

  #count(request: number, blockCount: number, hits: number, nowMs: number, tenant: number): void {
    const { inputTokens, blockTokens } = this.#tree
    this.#hits += hits
    if (hits > 0) this.#requestsWithHit += 1
    if (blockCount * blockTokens > (inputTokens[request] ?? 0)) this.#partialTails += 1
    this.#blocksMax = Math.max(this.#blocksMax, blockCount)
    const share = this.#spanMs === 0 ? 0 : (nowMs - this.#startMs) / this.#spanMs
    const step = Math.min(timeSteps - 1, Math.floor(share * timeSteps))
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

  result(): Analysis {
    const { tenantNames } = this.#tree
    return {
      spanMs: this.#spanMs,
      endMs: this.#endMs,
      unlimitedHitCount: this.#hits,
      requestsWithHit: this.#requestsWithHit,
      partialTailCount: this.#partialTails,
      blocksMax: this.#blocksMax,
      gaps: this.#gaps,
      sessionGaps: this.#sessionGaps,
      uses: this.#uses,
      crossSessionHits: this.#crossSession,
      crossTenantHits: this.#crossTenant,
      sharedBySessions: sharedCount(this.#lastSession),
      sharedByTenants: sharedCount(this.#lastTenant),
      sessionCount: this.#sessionLastMs.size,
      tenants: this.#tenants.map((shape, index) => ({ name: tenantNames[index] ?? '', ...shape })),
      referencesOverTime: this.#referencesOverTime,
      hitsOverTime: this.#hitsOverTime,
    }
  }
}

/** The high bit says that a block has had two different users; the rest is the latest one. */
const sharedBit = 2 ** 30

/** Notes a user of a known block; 1 when the one before was another. */
function noteUser(users: Int32Array, node: number, user: number): 0 | 1 {
  if (users.length === 0 || user < 0) return 0
  const before = users[node] ?? 0
  const other = (before & ~sharedBit) !== user
  users[node] = user | (other || (before & sharedBit) !== 0 ? sharedBit : 0)
  return other ? 1 : 0
}

function sharedCount(users: Int32Array): number {
  let count = 0
  for (const user of users) if (user >= 0 && (user & sharedBit) !== 0) count += 1
  return count
}

/** Share of all re-references that the most-used tenth of the blocks carries. */
export function topTenthShare(uses: Int32Array): number {
  const sorted = Int32Array.from(uses).sort()
  let top = 0
  let all = 0
  const from = sorted.length - Math.floor(sorted.length / 10)
  for (const [index, count] of sorted.entries()) {
    all += count - 1
    if (index >= from) top += count - 1
  }
  return all === 0 ? 0 : top / all
}

export type Spread = { readonly mean: number; readonly p50: number; readonly p99: number }

/** Mean, median and 99th percentile of a column. */
export function spreadOf(column: Int32Array | Float64Array): Spread {
  let sum = 0
  for (const value of column) sum += value
  return {
    mean: column.length === 0 ? 0 : sum / column.length,
    p50: quantileOf(column, 0.5) ?? 0,
    p99: quantileOf(column, 0.99) ?? 0,
  }
}
