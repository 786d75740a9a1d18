import { defineCommand } from '../command.ts'
import { UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import { Progress } from '../progress.ts'
import { capacityBlocks, tableCapacities } from '../simulate/capacity.ts'
import { type Job, type JobResult, runJobs } from '../simulate/pool.ts'
import { simulatedPolicies, simulatedPolicyNamed } from '../simulate/table.ts'
import { inputFields, loadTrace } from '../trace/load.ts'
import type { Trace } from '../trace/trace.ts'

export const command = defineCommand({
  name: 'simulate',
  summary: 'hit rates of eviction policies at given capacities',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    policy: {
      kind: 'list',
      placeholder: 'A,B',
      fallback: ['fifo', 'lru-root-first', 'lru', 'belady'],
      about: 'Policies by name; "terrace bench policies" lists them.',
    },
    capacity: {
      kind: 'list',
      placeholder: '1%,5%,4096',
      fallback: tableCapacities,
      about: 'Capacities: percent of the distinct blocks (rounded up), blocks, or bytes (10GiB).',
    },
    blockBytes: {
      kind: 'number',
      placeholder: 'N',
      unit: 'bytes',
      fallback: null,
      min: 1,
      max: 2 ** 40,
      whole: true,
      about: 'KV bytes of one block, for capacities in bytes.',
    },
    seed: {
      kind: 'number',
      placeholder: 'N',
      unit: '',
      fallback: 7,
      min: 0,
      max: 2 ** 32 - 1,
      whole: true,
      about: 'Seed of the policies that draw at random.',
    },
    workers: {
      kind: 'number',
      placeholder: 'N',
      unit: 'threads',
      fallback: null,
      min: 1,
      max: 256,
      whole: true,
      about: 'Worker threads; the report is the same for any number.',
    },
    json: { kind: 'flag', about: 'JSON on standard output and nothing else there.' },
    ...inputFields,
  },
  examples: [
    {
      line: 'simulate mooncake-conversation.jsonl.gz --policy lru,belady --capacity 1%,5%,4096 --json',
      about: 'Hit rates for a script.',
    },
  ],
  run: async (operands, options, io) => {
    for (const name of options.policy) checkPolicy(name)
    const trace = await loadTrace(operands[0] ?? '-', options, io)
    const jobs: Job[] = options.policy.flatMap((policy) =>
      options.capacity.map((text) => ({
        policy,
        capacityBlocks: capacityBlocks(text, trace, 'up', options.blockBytes),
        seed: options.seed,
      })),
    )
    const progress = new Progress('simulating', io)
    const results = await runJobs(trace, jobs, options.workers, io.stop, (share) => progress.at(share))
    progress.end()
    const partial = io.stop.aborted
    const rows = results.map((result) => rowOf(trace, result))
    if (options.json) {
      const whole = { trace: trace.name, blocks: trace.nodeCount, rows, ...(partial ? { partial } : {}) }
      io.out(`${JSON.stringify(whole, null, 2)}\n`)
    } else {
      for (const row of rows) io.out(`${row.policy}  ${row.capacityBlocks}  ${row.hitRate.toFixed(4)}\n`)
    }
    return partial ? 130 : 0
  },
})

function checkPolicy(name: string): void {
  if (simulatedPolicyNamed(name) !== null) return
  const names = simulatedPolicies.map((entry) => entry.name)
  throw new UsageError(
    `--policy: unknown "${name}".${suggestion(name, names)} "terrace bench policies" lists them`,
  )
}

function rowOf(trace: Trace, result: JobResult) {
  return {
    policy: result.policy,
    capacityBlocks: result.capacityBlocks,
    hitRate: result.hits / trace.referenceCount,
    rawRate: result.rawHits / trace.referenceCount,
    inserts: result.inserts,
    evictions: result.evictions,
    orphans: result.orphans,
  }
}
