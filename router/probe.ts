import type { World } from '../tiers/block/clock.ts'
import type { Worker, Workers } from './workers.ts'

/** Between two looks at a worker, in milliseconds. */
const probeEveryMs = 1_000
/** Longest wait for a probe's answer, in milliseconds. Why more than one interval: a small machine's engine
 *  is slow to answer while it computes, and that is no fault. */
const probeMsMax = 3_000
/** Between two questions for a worker's models, in milliseconds: they change when an operator reloads it. */
const modelsEveryMs = 10_000
/** A list of models is short; more is not one. In bytes. */
const modelsBytesMax = 2 ** 20

/** Looks at every worker each second until stopped, and takes out those whose lease ran out. */
export function startProbes(
  world: World,
  workers: Workers,
  onExpired: (name: string) => void,
): { stop(): void; readonly firstRound: Promise<void> } {
  const busy = new Set<Worker>()
  let cancel: () => void = () => undefined
  let stopped = false
  const look = async (worker: Worker): Promise<void> => {
    if (busy.has(worker)) return
    busy.add(worker)
    await probe(world, workers, worker)
    busy.delete(worker)
  }
  const round = async (): Promise<void> => {
    if (stopped) return
    for (const name of workers.expire()) onExpired(name)
    const looks = workers.all().map(look)
    cancel = world.after(probeEveryMs, () => void round())
    await Promise.all(looks)
  }
  const firstRound = round()
  return {
    firstRound,
    stop: () => {
      stopped = true
      cancel()
    },
  }
}

/** One look: is it alive, and which models has it? A worker serves only once its models are known. */
export async function probe(world: World, workers: Workers, worker: Worker): Promise<void> {
  const late = new AbortController()
  const cancel = world.after(probeMsMax, () => late.abort())
  try {
    const answer = await worker.pool.request({ path: '/health', method: 'GET', signal: late.signal })
    await answer.body.dump()
    // A server without the path is alive all the same.
    const alive = answer.statusCode < 300 || answer.statusCode === 404
    if (alive && modelsAreDue(world, worker)) await askModels(world, worker, late.signal)
    if (alive && worker.models.length > 0) workers.tell(worker, { kind: 'good' })
    else workers.tell(worker, { kind: 'failed' })
  } catch (error) {
    if (late.signal.aborted) workers.tell(worker, { kind: 'late' })
    else workers.tell(worker, { kind: isRefused(error) ? 'refused' : 'failed' })
  } finally {
    cancel()
  }
}

function modelsAreDue(world: World, worker: Worker): boolean {
  if (worker.modelsGiven) return false
  return worker.modelsAtMs === null || world.nowMs() - worker.modelsAtMs >= modelsEveryMs || !worker.serving
}

async function askModels(world: World, worker: Worker, signal: AbortSignal): Promise<void> {
  const answer = await worker.pool.request({ path: '/v1/models', method: 'GET', signal })
  if (answer.statusCode !== 200) {
    await answer.body.dump()
    return
  }
  const models = modelsIn(await textWithin(answer.body, modelsBytesMax))
  if (models === null) return
  worker.models = models
  worker.modelsAtMs = world.nowMs()
}

async function textWithin(body: AsyncIterable<Buffer>, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let byteCount = 0
  for await (const chunk of body) {
    byteCount += chunk.length
    if (byteCount > bytesMax) return ''
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The ids in an OpenAI list of models, or null when it is none. */
export function modelsIn(text: string): readonly string[] | null {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return null
  }
  const data = typeof json === 'object' && json !== null ? (json as { readonly data?: unknown }).data : null
  if (!Array.isArray(data)) return null
  const ids = data.map((entry: unknown) =>
    typeof entry === 'object' && entry !== null ? (entry as { readonly id?: unknown }).id : null,
  )
  return ids.filter((id): id is string => typeof id === 'string' && id !== '' && id.length <= 256)
}

function isRefused(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'ECONNREFUSED' || error.code === 'EHOSTUNREACH' || error.code === 'ENOTFOUND'
}
