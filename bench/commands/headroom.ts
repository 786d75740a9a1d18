import { defineCommand } from '../command.ts'
import { Interrupted } from '../failure.ts'
import { Progress } from '../progress.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { checkCapacities, risingCapacities } from '../simulate/capacity.ts'
import { headroomJobs, headroomReport } from '../simulate/headroom.ts'
import { runFields } from '../simulate/options.ts'
import { runJobs } from '../simulate/pool.ts'
import { inputFields, loadTrace } from '../trace/load.ts'

export const command = defineCommand({
  name: 'headroom',
  summary: 'how far the default policy is from the limit, what hints are worth, and what is left per cause',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    capacity: { ...runFields.capacity, fallback: ['1%', '5%', '25%'] as readonly string[] },
    blockBytes: runFields.blockBytes,
    seed: runFields.seed,
    workers: runFields.workers,
    ...inputFields,
    ...outputFields,
  },
  examples: [
    { line: 'headroom trace.jsonl', about: 'Would hints, or more memory, help this traffic?' },
    { line: 'headroom trace.jsonl --capacity 2%,10% --json', about: 'For a script.' },
  ],
  run: async (operands, options, io) => {
    checkCapacities(options.capacity, options.blockBytes)
    const trace = await loadTrace(operands[0] ?? '-', options, io)
    const sizes = risingCapacities(options.capacity, trace, options.blockBytes)
    const jobs = headroomJobs(sizes, options.seed)
    const progress = new Progress('looking for headroom', io)
    const results = await runJobs(trace, jobs, options.workers, io.stop, (share) => progress.at(share))
    progress.end()
    if (results.length === 0) throw new Interrupted()
    return emitReport(headroomReport(trace, sizes, results, options.seed, io.stop.aborted), options, io)
  },
})
