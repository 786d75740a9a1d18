import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { World } from '../../tiers/block/clock.ts'

/** One process of `up`, as it is to be started. The words stay the same over restarts, ports included, so that the others
 *  find it again. */
export type PartPlan = {
  readonly name: string
  readonly words: readonly string[]
  /** Longest time from start to ready, in milliseconds. */
  readonly readyMsMax: number
}

/** What a part says of itself on its first line of output, as JSON. */
export type ReadyLine = Readonly<Record<string, unknown>>

export type PartEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null }
export type PartStart =
  | { readonly as: 'ready'; readonly line: ReadyLine }
  /** It ended, or stayed silent; `last` are its last words, for the person at the keyboard. */
  | { readonly as: 'failed'; readonly last: string }

const lastLinesMax = 12

/** A running process of `up`. It ends when its standard input does, so nothing is left when `up` is killed. */
export class Part {
  readonly plan: PartPlan
  readonly #child: ChildProcess
  readonly #world: World
  readonly #last: string[] = []
  readonly ended: Promise<PartEnd>

  constructor(plan: PartPlan, program: readonly string[], log: (line: string) => void, world: World) {
    this.plan = plan
    this.#world = world
    const [command = '', ...lead] = program
    // A group of its own: ctrl-C reaches `up` alone, which then stops the parts in order.
    this.#child = spawn(command, [...lead, ...plan.words], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    this.#child.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }))
      this.#child.once('error', (error) => {
        this.#last.push(error.message)
        resolve({ code: 1, signal: null })
      })
    })
    if (this.#child.stderr !== null) {
      createInterface({ input: this.#child.stderr }).on('line', (line) => {
        this.#last.push(line)
        if (this.#last.length > lastLinesMax) this.#last.shift()
        log(line)
      })
    }
  }

  get processId(): number | undefined {
    return this.#child.pid
  }

  /** Waits for the ready line. */
  async ready(): Promise<PartStart> {
    const line = new Promise<PartStart>((resolve) => {
      if (this.#child.stdout === null) return
      createInterface({ input: this.#child.stdout }).on('line', (text) => {
        const json = jsonOf(text)
        if (json !== null) resolve({ as: 'ready', line: json })
      })
    })
    let cancel: () => void = () => undefined
    const late = new Promise<PartStart>((resolve) => {
      cancel = this.#world.after(this.plan.readyMsMax, () =>
        resolve({
          as: 'failed',
          last: `not ready after ${this.plan.readyMsMax / 1_000} s\n${this.#last.join('\n')}`,
        }),
      )
    })
    // The last lines of a part that ended may still be on their way through the pipe.
    const gone = this.ended.then(async (): Promise<PartStart> => {
      await this.#world.sleep(50)
      return { as: 'failed', last: this.#last.join('\n') }
    })
    try {
      return await Promise.race([line, late, gone])
    } finally {
      cancel()
    }
  }

  /** Asks the part to stop, and ends it by force after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#signal('SIGTERM')
    const cancel = this.#world.after(graceMs, () => this.#signal('SIGKILL'))
    await this.ended
    cancel()
    this.#signal('SIGKILL')
  }

  /** To the whole group: an engine's own child must not outlive its adapter. */
  #signal(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return
    try {
      process.kill(signal === 'SIGKILL' ? -this.#child.pid : this.#child.pid, signal)
    } catch {
      // It is gone already.
    }
  }
}

function jsonOf(text: string): ReadyLine | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as ReadyLine
  } catch {
    return null
  }
}
