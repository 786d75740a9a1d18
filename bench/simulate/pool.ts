import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import type { Trace } from '../trace/trace.ts'
import { type Job, type JobResult, runJob } from './job.ts'
import { lazyNextUses } from './table.ts'

/** What the workers share with the one that started them: word 0 is the stop flag, word 1 counts requests done. */
export type SharedWords = Int32Array

const stopWord = 0
const doneWord = 1

/** What a worker is started with. The trace's columns lie in shared memory, so nothing is copied. */
export type WorkerStart = { readonly trace: Trace; readonly words: SharedWords }

/** Runs jobs on one trace, telling the shared words how far it is. */
export function jobRunner({ trace, words }: WorkerStart): (job: Job) => JobResult {
  const next = lazyNextUses(trace)
  return (job) => {
    let counted = 0
    const progress = (done: number): boolean => {
      Atomics.add(words, doneWord, done - counted)
      counted = done
      return Atomics.load(words, stopWord) === 0
    }
    const result = runJob(trace, next, job, progress)
    progress(trace.requestCount)
    return result
  }
}

/** Block references below which one thread is faster than starting workers. */
const referencesAlone = 20_000_000
/** A stopped job that served less than this share had not really begun, and says nothing. */
const begunShare = 0.01
/** How often the progress is looked at while workers run, in milliseconds. */
const lookEveryMs = 100

/** Runs all jobs and answers in their order; results are the same for any number of workers. After a stop, the
 *  jobs that never began are missing and the running ones are marked as stopped. */
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
  const onTick = (): void => onProgress(Atomics.load(words, doneWord) / total)
  try {
    if (alone || threads <= 1) return await runHere(trace, jobs, words, stop, onTick)
    return await runThreads(trace, jobs, words, threads, onTick)
  } finally {
    stop.removeEventListener('abort', stopAll)
  }
}

async function runHere(
  trace: Trace,
  jobs: readonly Job[],
  words: SharedWords,
  stop: AbortSignal,
  onTick: () => void,
): Promise<readonly JobResult[]> {
  const run = jobRunner({ trace, words })
  const results: JobResult[] = []
  for (const job of jobs) {
    if (stop.aborted) break
    results.push(run(job))
    onTick()
    // Lets Ctrl-C be seen between two jobs.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return results
}

/** The jobs of one policy, and the workers that run no other. Why apart: code that has met one policy only is compiled for it, and
 *  then up to twice as fast as code that serves several. */
type Lane = { readonly waiting: number[]; readonly workers: Piscina<Job, JobResult>; runningCount: number }

async function runThreads(
  trace: Trace,
  jobs: readonly Job[],
  words: SharedWords,
  threads: number,
  onTick: () => void,
): Promise<readonly JobResult[]> {
  const lanes = lanesOf(jobs, threads, { trace, words })
  const results: (JobResult | undefined)[] = jobs.map(() => undefined)
  const isStopped = (): boolean => Atomics.load(words, stopWord) !== 0
  /** Stays with its lane while that has work; a lane gets a second worker when every lane has one. */
  const runLanes = async (): Promise<void> => {
    let lane = nextLane(lanes, null)
    while (lane !== null && !isStopped()) {
      const index = lane.waiting.shift() as number
      lane.runningCount += 1
      results[index] = await lane.workers.run(jobs[index] as Job, { name: 'runOne' })
      lane.runningCount -= 1
      if (lane.waiting.length + lane.runningCount === 0) await lane.workers.destroy()
      lane = nextLane(lanes, lane)
    }
  }
  const watch = setInterval(onTick, lookEveryMs)
  try {
    await Promise.all(Array.from({ length: threads }, runLanes))
  } finally {
    clearInterval(watch)
    await Promise.all(lanes.map(({ workers }) => workers.destroy()))
  }
  const ended = results.filter((result) => result !== undefined)
  if (!isStopped()) return ended
  return ended.filter(({ referencesServed }) => referencesServed > begunShare * trace.referenceCount)
}

function lanesOf(jobs: readonly Job[], threads: number, start: WorkerStart): readonly Lane[] {
  const byPolicy = Map.groupBy(jobs.keys(), (index) => (jobs[index] as Job).policy)
  return Array.from(byPolicy.values(), (waiting) => ({
    waiting,
    workers: new Piscina<Job, JobResult>({
      filename: new URL('./worker.ts', import.meta.url).href,
      minThreads: 0,
      maxThreads: threads,
      // A worker that waits for its lane's next job must not end.
      idleTimeout: Number.POSITIVE_INFINITY,
      workerData: start,
    }),
    runningCount: 0,
  }))
}

/** The lane with work that the fewest are at; of equals, the one that was left last. */
function nextLane(lanes: readonly Lane[], last: Lane | null): Lane | null {
  let best = last !== null && last.waiting.length > 0 ? last : null
  for (const lane of lanes) {
    if (lane.waiting.length > 0 && (best === null || lane.runningCount < best.runningCount)) best = lane
  }
  return best
}
