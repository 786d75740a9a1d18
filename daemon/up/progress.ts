import type { World } from '../../tiers/block/clock.ts'

/** One line that says what takes so long. In a terminal it is rewritten in place; elsewhere each new step is a line. */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream
  readonly #world: World
  readonly #shown = new Map<string, string>()
  readonly #startedMs: number
  #dirty = false

  constructor(out: NodeJS.WriteStream, world: World) {
    this.#out = out
    this.#world = world
    this.#startedMs = world.nowMs()
  }

  /** `total` 0 means that the length is not known. */
  show(what: string, step: string, done: number, total: number): void {
    const share = total > 0 ? ` ${Math.floor((100 * done) / total)} %` : ''
    if (!this.#out.isTTY) {
      if (this.#shown.get(what) !== step) this.#out.write(`  ${what}: ${step}\n`)
      this.#shown.set(what, step)
      return
    }
    this.#shown.set(what, `${step}${share}`)
    const parts = [...this.#shown].map(([name, text]) => `${name}: ${text}`).join('   ')
    const seconds = Math.floor((this.#world.nowMs() - this.#startedMs) / 1_000)
    const line = `  ${parts}   (${seconds} s)`.slice(0, (this.#out.columns || 80) - 1)
    this.#out.write(`\r\u001b[2K${line}`)
    this.#dirty = true
  }

  /** Leaves the line free for what comes next. */
  clear(): void {
    if (this.#dirty) this.#out.write('\r\u001b[2K')
    this.#dirty = false
    this.#shown.clear()
  }
}
