import { defineCommand } from '../command.ts'
import { Interrupted } from '../failure.ts'
import { Progress } from '../progress.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { checkCapacities, risingCapacities } from '../simulate/capacity.ts'
import { usualHints } from '../simulate/hint-stream.ts'
import type { Job, JobResult } from '../simulate/job.ts'
import { checkPolicies, runFields } from '../simulate/options.ts'
import { runJobs } from '../simulate/pool.ts'
import { simulationReport } from '../simulate/report.ts'
import { type HitCurve, lruCurve } from '../simulate/stack-distance.ts'
import { inputFields, loadTrace } from '../trace/load.ts'
import type { Trace } from '../trace/trace.ts'

/** Capacities of a curve, in percent of the distinct blocks: half steps of a doubling. */
const curveCapacities = [
  '0.1%',
  '0.2%',
  '0.5%',
  '1%',
  '2%',
  '3%',
  '5%',
  '7%',
  '10%',
  '15%',
  '25%',
  '35%',
  '50%',
  '75%',
  '100%',
]

/** Policies whose whole curve comes from one pass. */
const onePass = { lru: 'leaf-first', 'lru-root-first': 'root-first' } as const

export const command = defineCommand({
  name: 'sweep',
  summary: 'hit rate against capacity for several policies; LRU in one pass for all capacities',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    policy: {
      ...runFields.policy,
      fallback: ['lru', 'lru-root-first', 'terrace', 'belady'] as readonly string[],
    },
    capacity: { ...runFields.capacity, fallback: curveCapacities as readonly string[] },
    blockBytes: runFields.blockBytes,
    seed: runFields.seed,
    workers: runFields.workers,
    ...inputFields,
    ...outputFields,
  },
  examples: [
    { line: 'sweep trace.jsonl --html curves.html', about: 'The whole curve of four policies as a page.' },
    {
      line: 'sweep big.jsonl.gz --policy lru,terrace --sample 0.1',
      about: 'A big trace by a tenth of its sessions.',
    },
  ],
  run: async (operands, options, io) => {
    checkPolicies(options.policy)
    checkCapacities(options.capacity, options.blockBytes)
    const trace = await loadTrace(operands[0] ?? '-', options, io)
    const sizes = risingCapacities(options.capacity, trace, options.blockBytes)
    const progress = new Progress('sweeping', io)
    const curves = new Map<string, HitCurve>()
    for (const [name, order] of Object.entries(onePass)) {
      if (options.policy.includes(name)) curves.set(name, lruCurve(trace, order))
    }
    const jobs: Job[] = options.policy
      .filter((name) => !curves.has(name))
      .flatMap((policy) =>
        sizes.map((blocks) => ({
          kind: 'one' as const,
          policy,
          hints: usualHints,
          capacityBlocks: blocks,
          seed: options.seed,
        })),
      )
    const results = await runJobs(trace, jobs, options.workers, io.stop, (share) => progress.at(share))
    progress.end()
    const rows = options.policy.flatMap((policy) => {
      const curve = curves.get(policy)
      if (curve === undefined) return results.filter((row) => row.policy === policy)
      return sizes.map((blocks) => fromCurve(trace, policy, blocks, curve))
    })
    if (rows.length === 0) throw new Interrupted()
    const report = simulationReport(trace, rows, {
      command: 'sweep',
      title: `Hit rate against capacity on ${trace.name}`,
      seed: options.seed,
      partial: io.stop.aborted,
      order: 'by policy: leaf-first unless the name says root-first',
    })
    return emitReport(report, options, io)
  },
})

/** A point of a curve as a row; a curve counts hits only. */
function fromCurve(trace: Trace, policy: string, blocks: number, curve: HitCurve): JobResult {
  return {
    policy,
    hints: usualHints,
    capacityBlocks: blocks,
    hits: curve.hits[Math.min(blocks, trace.nodeCount)] ?? 0,
    rawHits: null,
    inserts: null,
    evictions: null,
    orphans: null,
    tiers: null,
    admission: null,
    sharing: null,
    tenants: null,
    hitsOverTime: [],
    referencesServed: trace.referenceCount,
    stopped: false,
  }
}
