import { admissionNamed } from '../../tiers/policy/admission.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { WriteBudget } from '../../tiers/policy/write-budget.ts'
import type { Trace } from '../trace/trace.ts'
import { seededChance } from './chance.ts'
import { answerOf, type Hints, hintSourceNamed, hintStream, notesOf, usualHints } from './hint-stream.ts'
import type { Progress } from './one-tier.ts'
import { simulatedPolicyNamed } from './table.ts'
import { type Sharing, simulateTenants, type TenantHits } from './tenants.ts'
import { type Demotion, type TierReport, TierStack } from './tier-stack.ts'

/** One policy at one capacity. */
export type OneTierJob = {
  readonly kind: 'one'
  readonly policy: string
  readonly capacityBlocks: number
  /** As written on the command line: `none`, `inferred`, `told`, `told:20`. */
  readonly hints: string
  readonly seed: number
}

/** Several tiers at once: a policy and a capacity for each, top first. */
export type StackJob = {
  readonly kind: 'stack'
  /** As written on the command line. */
  readonly policy: string
  readonly tiers: readonly {
    readonly name: string
    readonly policy: string
    readonly capacityBlocks: number
  }[]
  readonly admission: string
  /** Blocks that the NVMe tier may be written per day; null without a limit. */
  readonly nvmeWritesPerDay: number | null
  readonly demotion: Demotion
  readonly hints: string
  readonly seed: number
}

/** Several tenants in one tier. */
export type TenantJob = {
  readonly kind: 'tenants'
  readonly policy: string
  readonly sharing: Sharing
  readonly capacityBlocks: number
  readonly hints: string
  readonly seed: number
}

/** One cell of a report. Every job starts from nothing, so its result does not depend on who ran what before. */
export type Job = OneTierJob | StackJob | TenantJob

export type JobResult = {
  readonly policy: string
  readonly hints: string
  /** Of all tiers together. */
  readonly capacityBlocks: number
  readonly hits: number
  /** Resident blocks anywhere in a request; null with several tiers. */
  readonly rawHits: number | null
  /** Null when only hits were counted, as for a curve from one pass. */
  readonly inserts: number | null
  readonly evictions: number | null
  readonly orphans: number | null
  readonly tiers: readonly TierReport[] | null
  readonly admission: string | null
  readonly sharing: Sharing | null
  readonly tenants: readonly TenantHits[] | null
  /** Leading hits by slice of the trace's time, per tier (one without tiers). */
  readonly hitsOverTime: readonly (readonly number[])[]
  /** References of the requests served: all of them unless it was stopped. */
  readonly referencesServed: number
  readonly stopped: boolean
}

/** Slices of time in `hitsOverTime`. */
export const timeSlices = 48

/** Names of the tiers that survive a restart, so that they must be servable without the ones above. */
const surviving: readonly string[] = ['nvme', 's3']

export function runJob(trace: Trace, next: () => Int32Array, job: Job, progress: Progress): JobResult {
  switch (job.kind) {
    case 'one':
      return runOneTier(trace, next, job, progress)
    case 'stack':
      return runStack(trace, job, progress)
    case 'tenants':
      return runTenants(trace, job, progress)
  }
}

/** What the kinds of jobs leave out. */
const nothingElse = {
  hints: usualHints,
  rawHits: null,
  orphans: null,
  tiers: null,
  admission: null,
  sharing: null,
  tenants: null,
  hitsOverTime: [],
}

function hintsOf(trace: Trace, { hints }: Job): Hints {
  const source = hintSourceNamed(hints)
  if (source === null) throw new RangeError(`no hint source "${hints}"`)
  return hintStream(trace, source)
}

function runTenants(trace: Trace, job: TenantJob, progress: Progress): JobResult {
  const { policy, sharing, capacityBlocks, seed } = job
  const hints = hintsOf(trace, job)
  const result = simulateTenants(trace, policy, sharing, capacityBlocks, seed, hints, progress)
  return {
    ...nothingElse,
    policy,
    hints: job.hints,
    sharing,
    capacityBlocks,
    hits: result.hits,
    inserts: result.inserts,
    evictions: result.evictions,
    tenants: result.tenants,
    referencesServed: trace.starts[result.requestsServed] as number,
    stopped: result.requestsServed < trace.requestCount,
  }
}

/** Which slice of the trace's time a request falls in. */
export function sliceOf(trace: Trace, request: number): number {
  const first = trace.arrivalMs[0] ?? 0
  const span = (trace.arrivalMs[trace.requestCount - 1] ?? 0) - first
  if (span <= 0) return 0
  const share = ((trace.arrivalMs[request] as number) - first) / span
  return Math.max(0, Math.min(timeSlices - 1, Math.floor(share * timeSlices)))
}

function runOneTier(trace: Trace, next: () => Int32Array, job: OneTierJob, progress: Progress): JobResult {
  const policy = simulatedPolicyNamed(job.policy)
  if (policy === null) throw new RangeError(`no policy "${job.policy}"`)
  const hitLog = new Int32Array(trace.requestCount).fill(-1)
  const { capacityBlocks, seed } = job
  const hints = hintsOf(trace, job)
  const result = policy.run(trace, { capacityBlocks, seed, next, hitLog, hints, progress })
  const slices = new Array<number>(timeSlices).fill(0)
  let served = 0
  while (served < trace.requestCount && hitLog[served] !== -1) {
    const slice = sliceOf(trace, served)
    slices[slice] = (slices[slice] ?? 0) + (hitLog[served] as number)
    served += 1
  }
  return {
    ...nothingElse,
    policy: job.policy,
    hints: job.hints,
    capacityBlocks,
    hits: result.hits,
    rawHits: result.rawHits,
    inserts: result.inserts,
    evictions: result.evictions,
    orphans: result.orphans,
    hitsOverTime: [slices],
    referencesServed: trace.starts[served] as number,
    stopped: served < trace.requestCount,
  }
}

/** Requests between two looks at the stop flag. */
const progressEvery = 64

function runStack(trace: Trace, job: StackJob, progress: Progress): JobResult {
  const stack = new TierStack(
    trace,
    job.tiers.map(({ name, policy, capacityBlocks }, level) => {
      const entry = policyNamed(policy)
      const admission = admissionNamed(job.admission)
      if (entry === null || admission === null)
        throw new RangeError(`no policy "${policy}" or rule "${job.admission}"`)
      // A seed per tier: two tiers must not draw alike.
      const chance = seededChance(job.seed + level)
      const sizes = { rowMax: trace.nodeCount, capacityBlocks, chance, rowsAreNames: true }
      return {
        name,
        capacityBlocks,
        policy: entry.make(sizes),
        admission: level === 0 ? null : admission.make(),
        budget:
          name === 'nvme' && job.nvmeWritesPerDay !== null
            ? new WriteBudget(job.nvmeWritesPerDay, trace.arrivalMs[0] ?? 0)
            : null,
        survives: surviving.includes(name),
      }
    }),
    job.demotion,
  )
  const hints = hintsOf(trace, job)
  const slices = job.tiers.map(() => new Array<number>(timeSlices).fill(0))
  let served = 0
  let hits = 0
  while (served < trace.requestCount) {
    const before = stack.hitsByTier()
    const path = trace.refs.subarray(trace.starts[served] as number, trace.starts[served + 1] as number)
    const nowMs = trace.arrivalMs[served] as number
    hits += stack.serve(path, nowMs, answerOf(hints, trace, served), notesOf(hints, served))
    const slice = sliceOf(trace, served)
    stack.hitsByTier().forEach((count, level) => {
      const row = slices[level] ?? []
      row[slice] = (row[slice] ?? 0) + count - (before[level] ?? 0)
    })
    served += 1
    if (served % progressEvery === 0 && !progress(served)) break
  }
  const tiers = stack.report()
  const sum = (of: (tier: TierReport) => number): number => tiers.reduce((total, tier) => total + of(tier), 0)
  return {
    ...nothingElse,
    policy: job.policy,
    hints: job.hints,
    capacityBlocks: sum((tier) => tier.capacityBlocks),
    hits,
    inserts: sum((tier) => tier.writes),
    evictions: sum((tier) => tier.evictions),
    orphans: sum((tier) => tier.orphans),
    tiers,
    admission: job.admission,
    hitsOverTime: slices,
    referencesServed: trace.starts[served] as number,
    stopped: served < trace.requestCount,
  }
}
