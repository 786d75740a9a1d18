import type { BenchIo } from './io.ts'

/** How long a piece of work runs before it shows itself, and how often it is redrawn, in milliseconds. */
const quietMs = 1_000
const redrawMs = 200

/** Told by long work how far it is; the answer says whether to go on. Awaiting it lets Ctrl-C through. */
export type OnStep = (share: number | null) => Promise<boolean>

/** For work that nobody watches. */
export const goOn: OnStep = async () => true

/** How long work runs without letting the event loop turn, in milliseconds. */
const turnMs = 50

/** A progress bar with the time left, on standard error of a terminal; elsewhere silent. */
export class Progress {
  readonly #what: string
  readonly #io: BenchIo
  readonly #startMs: number
  #drawnMs = 0
  #turnedMs = 0
  #shown = false

  constructor(what: string, io: BenchIo) {
    this.#what = what
    this.#io = io
    this.#startMs = io.nowMs()
  }

  /** Tells the share done, or null when it is not known. */
  at(share: number | null): void {
    if (!this.#io.noteIsTerminal) return
    const nowMs = this.#io.nowMs()
    if (nowMs - this.#startMs < quietMs || nowMs - this.#drawnMs < redrawMs) return
    this.#drawnMs = nowMs
    this.#shown = true
    this.#io.note(`\r\x1b[K${this.#line(share, (nowMs - this.#startMs) / 1_000)}`)
  }

  /** As `at`, for loops: lets the event loop turn now and then; false when Ctrl-C was pressed. */
  async step(share: number | null): Promise<boolean> {
    this.at(share)
    const nowMs = this.#io.nowMs()
    if (nowMs - this.#turnedMs >= turnMs) {
      this.#turnedMs = nowMs
      await new Promise((resolve) => setImmediate(resolve))
    }
    return !this.#io.stop.aborted
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#shown) this.#io.note('\r\x1b[K')
    this.#shown = false
  }

  #line(share: number | null, seconds: number): string {
    if (share === null || share <= 0) return `${this.#what} … ${seconds.toFixed(0)} s`
    const width = 24
    const full = Math.min(width, Math.round(share * width))
    const bar = '█'.repeat(full) + '░'.repeat(width - full)
    const leftSeconds = Math.max(0, (seconds / share) * (1 - share))
    return `${this.#what} ${bar} ${(share * 100).toFixed(0)} %, ${leftSeconds.toFixed(0)} s left`
  }
}
