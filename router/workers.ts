import { Pool } from 'undici'
import type { World } from '../tiers/block/clock.ts'
import { engineQueueMax, workerConnectMsMax, workersMax } from '../tiers/block/limits.ts'
import { type Health, type HealthNews, nextHealth, unknownHealth } from './health.ts'
import { PrefillRate, WorkerLoad } from './load.ts'

/** Whether a worker's adapter can name prompts for routing. Plain OpenAI servers cannot; they are routed by
 *  load. */
export type Naming = 'unknown' | 'yes' | 'no'

/** An HTTP endpoint that requests can be sent to. */
export class Worker {
  readonly name: string
  readonly url: string
  readonly pool: Pool
  readonly load = new WorkerLoad()
  readonly rate = new PrefillRate()
  /** Given at registration, or asked from the worker. */
  models: readonly string[]
  readonly modelsGiven: boolean
  modelsAtMs: number | null = null
  health: Health = unknownHealth
  naming: Naming = 'unknown'
  /** Until when its adapter is not asked for names, on the monotonic clock: it was late or failed. */
  namingRestUntilMs = 0
  /** Until when the registration holds, or null for ever. */
  leaseUntilMs: number | null

  constructor(wanted: WorkerWanted, leaseUntilMs: number | null) {
    this.name = wanted.name
    this.url = wanted.url
    this.models = wanted.model === null ? [] : [wanted.model]
    this.modelsGiven = wanted.model !== null
    this.leaseUntilMs = leaseUntilMs
    this.pool = new Pool(wanted.url, {
      // One connection per request under way, and some for probes and prompt names.
      connections: engineQueueMax + 8,
      pipelining: 1,
      // The relay has its own clocks, which know what phase a request is in.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: workerConnectMsMax, noDelay: true },
    })
  }

  get serving(): boolean {
    return this.health.at === 'serving'
  }

  get full(): boolean {
    return this.load.streams >= engineQueueMax
  }
}

export type WorkerWanted = {
  readonly name: string
  readonly url: string
  readonly model: string | null
  readonly leaseMs: number | null
}

type WorkerAdded = { readonly as: 'added' | 'renewed' } | { readonly as: 'refused'; readonly why: string }

/** All workers by name. */
export class Workers {
  readonly #world: World
  readonly #byName = new Map<string, Worker>()
  readonly #onHealth: (worker: Worker, before: Health) => void

  /** `onHealth` is told of every change between serving and not. */
  constructor(world: World, onHealth: (worker: Worker, before: Health) => void) {
    this.#world = world
    this.#onHealth = onHealth
  }

  all(): readonly Worker[] {
    return [...this.#byName.values()]
  }

  named(name: string): Worker | null {
    return this.#byName.get(name) ?? null
  }

  servingCount(): number {
    let count = 0
    for (const worker of this.#byName.values()) if (worker.serving) count += 1
    return count
  }

  /** Every model that a serving worker has, in order of names. */
  models(): readonly string[] {
    const models = new Set<string>()
    for (const worker of this.#byName.values()) {
      if (worker.serving) for (const model of worker.models) models.add(model)
    }
    return [...models].sort()
  }

  /** Whether any worker, serving or not, is known to have the model. */
  knowsModel(model: string): boolean {
    return this.all().some((worker) => worker.models.includes(model))
  }

  servingWith(model: string): readonly Worker[] {
    return this.all().filter((worker) => worker.serving && worker.models.includes(model))
  }

  /** Adds a worker, or renews the lease of the same one. */
  add(wanted: WorkerWanted): WorkerAdded {
    const problem = workerProblem(wanted)
    if (problem !== null) return { as: 'refused', why: problem }
    const leaseUntilMs = wanted.leaseMs === null ? null : this.#world.nowMs() + wanted.leaseMs
    const known = this.#byName.get(wanted.name)
    if (known !== undefined && known.url === wanted.url) {
      known.leaseUntilMs = leaseUntilMs
      if (wanted.model !== null) known.models = [wanted.model]
      return { as: 'renewed' }
    }
    if (known === undefined && this.#byName.size >= workersMax) {
      return { as: 'refused', why: `more than ${workersMax} workers` }
    }
    if (known !== undefined) this.remove(known.name)
    this.#byName.set(wanted.name, new Worker(wanted, leaseUntilMs))
    return { as: 'added' }
  }

  /** Takes a worker out; its streams under way go on. */
  remove(name: string): boolean {
    const worker = this.#byName.get(name)
    if (worker === undefined) return false
    this.#byName.delete(name)
    worker.pool.close().catch(() => undefined)
    return true
  }

  /** Takes out those whose lease ran out. */
  expire(): readonly string[] {
    const now = this.#world.nowMs()
    const gone: string[] = []
    for (const worker of this.all()) {
      if (worker.leaseUntilMs === null || worker.leaseUntilMs > now) continue
      this.remove(worker.name)
      gone.push(worker.name)
    }
    return gone
  }

  tell(worker: Worker, news: HealthNews): void {
    const before = worker.health
    worker.health = nextHealth(before, news)
    if (before.at === worker.health.at) return
    // What answers there now may be another server: with an adapter, or without.
    if (worker.serving) worker.naming = 'unknown'
    this.#onHealth(worker, before)
  }

  async close(): Promise<void> {
    const pools = this.all().map((worker) => worker.pool.destroy())
    this.#byName.clear()
    await Promise.all(pools)
  }
}

/** What is wrong with a worker as it was given, or null. */
export function workerProblem(wanted: WorkerWanted): string | null {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(wanted.name)) {
    return 'name: must be 1 to 64 letters, digits, ".", "_" or "-"'
  }
  if (wanted.model !== null && (wanted.model === '' || wanted.model.length > 256)) {
    return 'model: must be 1 to 256 characters'
  }
  if (wanted.leaseMs !== null && !(wanted.leaseMs >= 1_000 && wanted.leaseMs <= 86_400_000)) {
    return 'leaseMs: must be 1000 to 86400000'
  }
  let url: URL
  try {
    url = new URL(wanted.url)
  } catch {
    return 'url: must be like http://127.0.0.1:8001'
  }
  if (url.protocol !== 'http:') return 'url: must start with http://'
  if (url.username !== '' || url.password !== '') return 'url: must not hold a user or password'
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return 'url: must be the root of the server, without path or query'
  }
  return null
}
