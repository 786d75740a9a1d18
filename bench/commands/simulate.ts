import { defineCommand } from '../command.ts'
import { Interrupted } from '../failure.ts'
import { Progress } from '../progress.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { checkRun, jobsOf, runFields, tierFields } from '../simulate/options.ts'
import { runJobs } from '../simulate/pool.ts'
import { simulationReport } from '../simulate/report.ts'
import { inputFields, loadTrace } from '../trace/load.ts'

export const command = defineCommand({
  name: 'simulate',
  summary: 'hit rates of eviction policies at given capacities, in one tier or several',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: { ...runFields, ...tierFields, ...inputFields, ...outputFields },
  examples: [
    {
      line: 'simulate mooncake-conversation.jsonl.gz --policy lru,terrace,belady --capacity 1%,5%,4096 --json',
      about: 'Hit rates for a script.',
    },
    {
      line: 'simulate trace.jsonl --tiers host=5%,nvme=25% --policy probation/terrace,lru --admission all,likely',
      about: 'Host memory over NVMe, two policies under two admission rules.',
    },
    {
      line: 'simulate mixed-tenants.jsonl.gz --policy lru,terrace --tenants shared,quota,shares --capacity 2%,10%',
      about: 'Who gets what when tenants share a tier.',
    },
    {
      line: 'simulate trace.jsonl --capacity 64GiB,256GiB --block-bytes 41943040 --html report.html',
      about: 'Capacities in bytes, as a page with curves.',
    },
  ],
  run: async (operands, options, io) => {
    checkRun(options)
    const trace = await loadTrace(operands[0] ?? '-', options, io)
    const jobs = jobsOf(trace, options)
    const progress = new Progress('simulating', io)
    const results = await runJobs(trace, jobs, options.workers, io.stop, (share) => progress.at(share))
    progress.end()
    if (results.length === 0) throw new Interrupted()
    const report = simulationReport(trace, results, {
      command: 'simulate',
      title: `Simulated caches on ${trace.name}`,
      seed: options.seed,
      partial: io.stop.aborted,
      order: 'by policy: leaf-first unless the name says root-first; tree-aware ones protect the path',
    })
    return emitReport(report, options, io)
  },
})
