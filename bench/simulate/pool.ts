import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import type { Trace } from '../trace/trace.ts'
import type { TierResult } from './one-tier.ts'
import { lazyNextUses, simulatedPolicyNamed } from './table.ts'

/** One cell of a report: a policy at a capacity. */
export type Job = { readonly policy: string; readonly capacityBlocks: number; readonly seed: number }

export type JobResult = TierResult & { readonly policy: string; readonly stopped: boolean }

/** What the workers share with the one that started them: word 0 is the stop flag, word 1 counts requests done. */
export type SharedWords = Int32Array

export const stopWord = 0
export const doneWord = 1

/** What a worker is started with. The trace's columns lie in shared memory, so nothing is copied. */
export type WorkerStart = { readonly trace: Trace; readonly words: SharedWords }

export type JobRunner = (job: Job) => JobResult

/** Runs jobs on one trace. Every job starts from nothing, so its result does not depend on who ran what before. */
export function jobRunner(trace: Trace, words: SharedWords): JobRunner {
  const next = lazyNextUses(trace)
  return (job) => {
    const policy = simulatedPolicyNamed(job.policy)
    if (policy === null) throw new RangeError(`no policy "${job.policy}"`)
    let counted = 0
    const progress = (done: number): boolean => {
      Atomics.add(words, doneWord, done - counted)
      counted = done
      return Atomics.load(words, stopWord) === 0
    }
    const result = policy.run(trace, { ...job, next, hitLog: null, progress })
    progress(trace.requestCount)
    return { ...result, policy: job.policy, stopped: Atomics.load(words, stopWord) !== 0 }
  }
}

/** Block references below which one thread is faster than starting workers. */
const referencesAlone = 20_000_000

/** Runs all jobs and answers in their order. Results are the same for any number of workers. */
export async function runJobs(
  trace: Trace,
  jobs: readonly Job[],
  workerCount: number | null,
  stop: AbortSignal,
  onProgress: (share: number) => void,
): Promise<readonly JobResult[]> {
  const words = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
  const total = jobs.length * trace.requestCount
  const threads = Math.min(workerCount ?? availableParallelism(), jobs.length)
  const alone = workerCount === null && jobs.length * trace.referenceCount < referencesAlone
  const stopAll = (): void => void Atomics.store(words, stopWord, 1)
  if (stop.aborted) stopAll()
  stop.addEventListener('abort', stopAll)
  try {
    if (alone || threads <= 1) return await runHere(trace, jobs, words, onProgress)
    return await runThreads(trace, jobs, words, threads, () =>
      onProgress((words[doneWord] as number) / total),
    )
  } finally {
    stop.removeEventListener('abort', stopAll)
  }
}

async function runHere(
  trace: Trace,
  jobs: readonly Job[],
  words: SharedWords,
  onProgress: (share: number) => void,
): Promise<readonly JobResult[]> {
  const run = jobRunner(trace, words)
  const results: JobResult[] = []
  for (const job of jobs) {
    results.push(run(job))
    onProgress(results.length / jobs.length)
    // Lets Ctrl-C be seen between two jobs.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return results
}

async function runThreads(
  trace: Trace,
  jobs: readonly Job[],
  words: SharedWords,
  threads: number,
  onTick: () => void,
): Promise<readonly JobResult[]> {
  const pool = new Piscina<Job, JobResult>({
    filename: new URL('./worker.ts', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    workerData: { trace, words } satisfies WorkerStart,
  })
  try {
    return await Promise.all(
      jobs.map(async (job) => {
        const result = await pool.run(job, { name: 'runJob' })
        onTick()
        return result
      }),
    )
  } finally {
    await pool.destroy()
  }
}
