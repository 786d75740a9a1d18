import type { ChildProcess } from 'node:child_process'
import { truncate } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { World } from '../../../../tiers/block/clock.ts'
import { type EngineOptions, engineArguments } from './arguments.ts'
import { startTied, tieHere } from './child.ts'
import { Upstream } from './upstream.ts'

/** One llama-server as the adapter sees it: where it is, and whether it serves. `generation` counts its lives: what
 *  was known of its slots is worthless in the next one. */
export type Engine = {
  readonly state: () => EngineState
  /** Resolves when the engine serves, or gives up after `waitMs` with the state as it is then. */
  readonly whenReady: (waitMs: number) => Promise<EngineState>
  readonly onChange: (listener: (state: EngineState) => void) => void
  readonly stop: () => Promise<void>
}

export type EngineState =
  | { readonly as: 'starting'; readonly generation: number }
  | {
      readonly as: 'ready'
      readonly generation: number
      readonly upstream: Upstream
      readonly processId: number | null
    }
  | { readonly as: 'down'; readonly generation: number; readonly why: string }
  | { readonly as: 'stopped' }

/** Pause between looks at an engine that is not ready, and at one that is, in milliseconds. */
const startLookMs = 50
const steadyLookMs = 1_000
/** Looks in a row that may fail before an engine counts as down. Why: one long prompt may hold its HTTP threads. */
const failedLooksMax = 5
/** Pause before a restart: doubled from the first to the longest, in milliseconds; forgotten after a steady life. */
const restartMsMin = 200
const restartMsMax = 5_000
const steadyLifeMs = 30_000
/** Time from the polite signal to the final one, in milliseconds. */
const politeMs = 800

class Holder {
  #state: EngineState = { as: 'starting', generation: 0 }
  readonly #listeners: ((state: EngineState) => void)[] = []
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  get(): EngineState {
    return this.#state
  }

  set(state: EngineState): void {
    if (this.#state.as === 'stopped') return
    if (this.#state.as === 'ready' && state !== this.#state) this.#state.upstream.close()
    this.#state = state
    for (const listener of this.#listeners) listener(state)
  }

  listen(listener: (state: EngineState) => void): void {
    this.#listeners.push(listener)
  }

  async whenReady(waitMs: number): Promise<EngineState> {
    const endMs = this.#world.nowMs() + waitMs
    while (this.#state.as !== 'ready' && this.#state.as !== 'stopped' && this.#world.nowMs() < endMs) {
      await this.#world.sleep(startLookMs)
    }
    return this.#state
  }
}

/** Starts a llama-server and keeps it alive: a dead one is started again, later each time. */
export function startEngine(options: EngineOptions, world: World): Engine {
  const holder = new Holder(world)
  let child: ChildProcess | undefined
  let stopping = false
  const run = async (): Promise<void> => {
    let pauseMs = restartMsMin
    for (let generation = 1; !stopping; generation++) {
      const bornMs = world.nowMs()
      holder.set({ as: 'starting', generation })
      const why = await liveOnce(options, generation, holder, world, (started) => {
        child = started
        if (stopping) started.kill('SIGKILL')
      })
      child = undefined
      if (stopping) break
      holder.set({ as: 'down', generation, why })
      pauseMs = world.nowMs() - bornMs > steadyLifeMs ? restartMsMin : Math.min(restartMsMax, pauseMs * 2)
      await world.sleep(pauseMs)
    }
  }
  const ended = run()
  const stop = async (): Promise<void> => {
    stopping = true
    const cancel = world.after(politeMs, () => child?.kill('SIGKILL'))
    child?.kill('SIGTERM')
    await Promise.race([ended, world.sleep(2 * politeMs)])
    cancel()
    holder.set({ as: 'stopped' })
  }
  return {
    state: () => holder.get(),
    whenReady: (waitMs) => holder.whenReady(waitMs),
    onChange: (listener) => holder.listen(listener),
    stop,
  }
}

/** One life of a child, from start to exit; gives the reason of its end. */
async function liveOnce(
  options: EngineOptions,
  generation: number,
  holder: Holder,
  world: World,
  onChild: (child: ChildProcess) => void,
): Promise<string> {
  const port = await freePort()
  await truncate(options.logFile, 0).catch(() => undefined)
  const args = engineArguments(options, port)
  const child = startTied(options.server.binary, args, options.server.folder, options.logFile, tieHere())
  onChild(child)
  let why: string | undefined
  child.once('error', (error) => {
    why ??= `does not start: ${error.message}`
  })
  child.once('exit', (code, signal) => {
    why ??= signal === null ? `ended with exit code ${code}` : `ended by ${signal}`
  })
  const upstream = new Upstream(`http://127.0.0.1:${port}`)
  while (why === undefined) {
    if (holder.get().as !== 'ready' && (await upstream.healthy())) {
      holder.set({ as: 'ready', generation, upstream, processId: child.pid ?? null })
    }
    await world.sleep(holder.get().as === 'ready' ? startLookMs * 2 : startLookMs)
  }
  upstream.close()
  return why
}

/** Watches a llama-server that somebody else runs. A new life is noticed by its being away for some looks. */
export function watchEngine(url: string, world: World): Engine {
  const holder = new Holder(world)
  let stopping = false
  const run = async (): Promise<void> => {
    let generation = 1
    let failedLooks = 0
    while (!stopping) {
      const state = holder.get()
      const upstream = state.as === 'ready' ? state.upstream : new Upstream(url)
      if (await upstream.healthy()) {
        failedLooks = 0
        if (state.as !== 'ready') holder.set({ as: 'ready', generation, upstream, processId: null })
      } else if (state.as !== 'ready') {
        upstream.close()
        holder.set({ as: 'down', generation, why: `no llama-server answers at ${url}` })
      } else if (++failedLooks >= failedLooksMax) {
        generation += 1
        holder.set({ as: 'down', generation, why: `llama-server at ${url} stopped answering` })
      }
      await world.sleep(holder.get().as === 'ready' ? steadyLookMs : startLookMs * 4)
    }
  }
  void run()
  return {
    state: () => holder.get(),
    whenReady: (waitMs) => holder.whenReady(waitMs),
    onChange: (listener) => holder.listen(listener),
    stop: async () => {
      stopping = true
      holder.set({ as: 'stopped' })
    },
  }
}

/** A port that was free a moment ago. Another program may take it first: then the child ends and is started anew. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}
