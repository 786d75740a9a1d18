import { workerData } from 'piscina'
import type { Job, JobResult } from './job.ts'
import { jobRunner, type WorkerStart } from './pool.ts'

const run = jobRunner(workerData as WorkerStart)

/** Piscina's entry: one job, one result. */
export function runOne(job: Job): JobResult {
  return run(job)
}
