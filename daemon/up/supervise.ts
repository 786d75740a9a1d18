import type { World } from '../../tiers/block/clock.ts'
import { Part, type PartPlan, type ReadyLine } from './part.ts'

/** Shortest and longest pause before a part that ended is started again, in milliseconds. */
const pauseMsMin = 250
const pauseMsMax = 5_000
/** A part that ran this long had a good start; the pause begins anew. */
const steadyMs = 30_000

export type SupervisorOptions = {
  /** The command before each part's words: this program under this Node. */
  readonly program: readonly string[]
  readonly world: World
  /** One readable line for the terminal. */
  readonly say: (part: string, text: string) => void
  /** A line of a part's own log. */
  readonly log: (part: string, line: string) => void
}

/** Starts parts, starts those again that end, and stops them in order. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #running = new Map<string, Part>()
  /** How often each part became ready. */
  readonly #readyCounts = new Map<string, number>()
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** Starts a part and waits until it serves. Null says that it did not, after the reason was said. */
  async start(plan: PartPlan): Promise<ReadyLine | null> {
    const part = this.#spawn(plan)
    const start = await part.ready()
    if (start.as === 'failed') {
      if (!this.#stopping) this.#options.say(plan.name, `did not start: ${start.last.trim()}`)
      await part.stop(0)
      this.#running.delete(plan.name)
      return null
    }
    this.#countReady(plan.name)
    void this.#keep(part)
    return start.line
  }

  /** Stops a part and waits until it serves again: the others see it go and come. */
  async restart(name: string, graceMs: number): Promise<void> {
    const before = this.#readyCounts.get(name) ?? 0
    await this.#running.get(name)?.stop(graceMs)
    while (!this.#stopping && (this.#readyCounts.get(name) ?? 0) === before)
      await this.#options.world.sleep(50)
  }

  #countReady(name: string): void {
    this.#readyCounts.set(name, (this.#readyCounts.get(name) ?? 0) + 1)
  }

  processIdOf(name: string): number | undefined {
    return this.#running.get(name)?.processId
  }

  /** Stops the parts in groups, one group after the other, all within `totalMs`: each group may take half of what is left,
   *  the last one all of it. */
  async stop(groups: readonly (readonly string[])[], totalMs: number): Promise<void> {
    this.#stopping = true
    const deadlineMs = this.#options.world.nowMs() + totalMs
    for (const [i, names] of groups.entries()) {
      const leftMs = Math.max(0, deadlineMs - this.#options.world.nowMs())
      const graceMs = i === groups.length - 1 ? leftMs : leftMs / 2
      await Promise.all(names.map((name) => this.#running.get(name)?.stop(graceMs)))
    }
  }

  #spawn(plan: PartPlan): Part {
    const { program, world, log } = this.#options
    const part = new Part(plan, program, (line) => log(plan.name, line), world)
    this.#running.set(plan.name, part)
    return part
  }

  /** Waits for the end of a part and starts it again, for as long as nobody stops us. */
  async #keep(first: Part): Promise<void> {
    const { world, say } = this.#options
    let part = first
    let pauseMs = pauseMsMin
    for (;;) {
      const startedMs = world.nowMs()
      const end = await part.ended
      if (this.#stopping) return
      say(part.plan.name, `ended (${end.signal ?? `code ${end.code}`}), starting it again`)
      if (world.nowMs() - startedMs > steadyMs) pauseMs = pauseMsMin
      await world.sleep(pauseMs)
      pauseMs = Math.min(pauseMs * 2, pauseMsMax)
      if (this.#stopping) return
      part = this.#spawn(part.plan)
      const start = await part.ready()
      if (start.as === 'failed') continue
      this.#countReady(part.plan.name)
      say(part.plan.name, 'serves again')
    }
  }
}
