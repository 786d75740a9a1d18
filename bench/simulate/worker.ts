import { workerData } from 'piscina'
import { type Job, type JobResult, jobRunner, type WorkerStart } from './pool.ts'

const { trace, words } = workerData as WorkerStart
const run = jobRunner(trace, words)

/** Piscina's entry: one job, one result. */
export function runJob(job: Job): JobResult {
  return run(job)
}
