import type { EvictionPolicy } from '../../tiers/policy/eviction.ts'
import { holdsNothing } from '../../tiers/policy/flat.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { TenantEviction } from '../../tiers/policy/tenants.ts'
import type { Trace } from '../trace/trace.ts'
import { seededChance } from './chance.ts'
import { answerOf, type Hints, notesOf } from './hint-stream.ts'
import type { Progress } from './one-tier.ts'

/** `shared`: one cache, nobody counts. `alone`: each tenant has the whole cache for itself, as an upper bound. `quota`: equal
 *  fixed parts. `shares`: parts that follow marginal hits and bind only under pressure. */
export const sharings = ['shared', 'alone', 'quota', 'shares'] as const
export type Sharing = (typeof sharings)[number]

export type TenantHits = { readonly name: string; readonly hits: number; readonly references: number }

export type TenantResult = {
  readonly tenants: readonly TenantHits[]
  readonly hits: number
  readonly inserts: number
  readonly evictions: number
  readonly requestsServed: number
}

/** Part of the tier that `shares` never takes from a tenant. */
const floorShare = 0.02
const progressEvery = 64

type Cache = { readonly policy: EvictionPolicy; readonly capacityBlocks: number; count: number }

/** Replays a trace of several tenants through one tier. */
export function simulateTenants(
  trace: Trace,
  policyName: string,
  sharing: Sharing,
  capacityBlocks: number,
  seed: number,
  hints: Hints,
  progress: Progress,
): TenantResult {
  const tenants = tenantsOf(trace)
  const tenantCount = tenants.names.length
  const entry = policyNamed(policyName)
  if (entry === null) throw new RangeError(`no policy "${policyName}"`)
  const make = (blocks: number, tenant: number): EvictionPolicy =>
    entry.make({
      rowMax: trace.nodeCount,
      capacityBlocks: blocks,
      chance: seededChance(seed + tenant),
      rowsAreNames: true,
    })
  const whole = (tenant: number): Cache => ({
    policy: make(capacityBlocks, tenant),
    capacityBlocks,
    count: 0,
  })
  const shared = sharedCache(trace, sharing, capacityBlocks, tenantCount, make)
  const caches =
    sharing === 'alone'
      ? Array.from({ length: tenantCount }, (_, tenant) => whole(tenant))
      : new Array<Cache>(tenantCount).fill(shared)
  const resident = new Uint8Array(trace.nodeCount)
  const hits = new Array<number>(tenantCount).fill(0)
  const references = new Array<number>(tenantCount).fill(0)
  const moved = { inserts: 0, evictions: 0 }
  let served = 0
  while (served < trace.requestCount) {
    const path = trace.refs.subarray(trace.starts[served], trace.starts[served + 1])
    const tenant = tenants.of(served)
    const cache = caches[tenant] as Cache
    hits[tenant] =
      (hits[tenant] as number) + serve(trace, cache, resident, path, served, tenant, hints, moved)
    references[tenant] = (references[tenant] as number) + path.length
    served += 1
    if (served % progressEvery === 0 && !progress(served)) break
  }
  return {
    tenants: hits.map((count, tenant) => ({
      name: tenants.names[tenant] ?? '',
      hits: count,
      references: references[tenant] as number,
    })),
    hits: hits.reduce((sum, count) => sum + count, 0),
    ...moved,
    requestsServed: served,
  }
}

/** The tenants of a trace by number. Requests without one are a tenant of their own. */
function tenantsOf(trace: Trace): {
  readonly names: readonly string[]
  readonly of: (request: number) => number
} {
  const { tenant, tenantNames } = trace
  if (tenant === null || tenantNames.length === 0) return { names: ['all'], of: () => 0 }
  const names = tenant.includes(-1) ? [...tenantNames, 'no tenant'] : tenantNames
  return {
    names,
    of: (request) => {
      const told = tenant[request] as number
      return told < 0 ? tenantNames.length : told
    },
  }
}

function sharedCache(
  trace: Trace,
  sharing: Sharing,
  capacityBlocks: number,
  tenantCount: number,
  make: (blocks: number, tenant: number) => EvictionPolicy,
): Cache {
  if (sharing !== 'quota' && sharing !== 'shares') {
    return { policy: make(capacityBlocks, 0), capacityBlocks, count: 0 }
  }
  const sizes = {
    rowMax: trace.nodeCount,
    capacityBlocks,
    tenantCount,
    sharing,
    floorShare,
    rowsAreNames: true,
  }
  const each = sharing === 'quota' ? Math.max(1, Math.floor(capacityBlocks / tenantCount)) : capacityBlocks
  return { policy: new TenantEviction(sizes, (tenant) => make(each, tenant)), capacityBlocks, count: 0 }
}

/** One request; answers its leading hits. */
function serve(
  trace: Trace,
  cache: Cache,
  resident: Uint8Array,
  path: Int32Array,
  request: number,
  tenant: number,
  hints: Hints,
  moved: { inserts: number; evictions: number },
): number {
  const { policy, capacityBlocks } = cache
  const nowMs = trace.arrivalMs[request] as number
  let ready = 0
  while (ready < path.length && resident[path[ready] as number] === 1) ready += 1
  policy.onVisit(path, path.length, ready, nowMs, { ...notesOf(hints, request), tenant })
  policy.onAnswer?.(path, path.length, answerOf(hints, trace, request))
  for (let at = ready; at < path.length; at += 1) {
    const row = path[at] as number
    if (resident[row] === 1) continue
    const bound = policy instanceof TenantEviction && !policy.mayGrow(tenant)
    if (cache.count >= capacityBlocks || bound) {
      const victim = policy.victim(holdsNothing, nowMs)
      if (victim < 0) break
      policy.onDrop(victim, true, nowMs)
      resident[victim] = 0
      cache.count -= 1
      moved.evictions += 1
    }
    policy.onAdd(row, trace.parents[row] as number, at, path.length, nowMs, row)
    resident[row] = 1
    cache.count += 1
    moved.inserts += 1
  }
  policy.onVisitEnd()
  return ready
}
