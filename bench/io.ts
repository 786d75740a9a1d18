import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { reasonOf } from './failure.ts'

/** Everything a bench command may touch of the process: it makes each command callable from a test.
 *  Results go to `out`, everything else (progress, assumptions, warnings) to `note`. */
export type BenchIo = {
  readonly out: (text: string) => void
  /** Resolves when a slow reader of `out` has caught up; lets Ctrl-C through in any case. */
  readonly drained: () => Promise<void>
  readonly note: (text: string) => void
  readonly stdin: Readable
  readonly outIsTerminal: boolean
  readonly noteIsTerminal: boolean
  /** Columns of the terminal; 100 when there is none. */
  readonly columns: number
  /** Aborted by Ctrl-C. A command stops at its next safe point and reports what it has, marked as partial. */
  readonly stop: AbortSignal
  /** Monotonic milliseconds; only for progress and for live measurements. */
  readonly nowMs: () => number
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The io of the real process. `release` takes the Ctrl-C handler away again. A second Ctrl-C ends at once. */
export function processIo(): { readonly io: BenchIo; readonly release: () => void } {
  const stop = new AbortController()
  const onInterrupt = (): void => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort()
  }
  process.on('SIGINT', onInterrupt)
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    process.stderr.write(`terrace bench: cannot write standard output: ${reasonOf(error)}\n`)
    process.exit(1)
  })
  // Notes that nobody can read must not cost the result.
  process.stderr.on('error', () => undefined)
  const io: BenchIo = {
    out: (text) => void process.stdout.write(text),
    drained: async () => {
      if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
      else await new Promise((resolve) => setImmediate(resolve))
    },
    note: (text) => void process.stderr.write(text),
    stdin: process.stdin,
    outIsTerminal: process.stdout.isTTY === true,
    noteIsTerminal: process.stderr.isTTY === true,
    columns: process.stdout.columns ?? 100,
    stop: stop.signal,
    nowMs: () => performance.now(),
    env: process.env,
  }
  return { io, release: () => void process.off('SIGINT', onInterrupt) }
}
