import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A server process of a test. It never outlives the test: a guard holds the read end of a pipe of ours and
 *  kills the server when the pipe closes, however we died. */
export type Child = {
  readonly pid: number
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>
  isGone(): boolean
  /** Asks it to end; after `graceMs` it is killed. */
  stop(graceMs: number): Promise<void>
  /** SIGKILL, as a power loss would. */
  kill(): Promise<void>
}

export type ChildOptions = {
  readonly program: string
  readonly words: readonly string[]
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  readonly log: string
}

export function startChild(options: ChildOptions): Child {
  const log = openSync(options.log, 'a')
  const server = spawn(options.program, [...options.words], {
    cwd: options.directory,
    env: { PATH: process.env.PATH ?? '', HOME: options.directory, ...options.environment },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const pid = server.pid
  if (pid === undefined) {
    server.once('error', () => undefined)
    throw new Error(`${options.program} could not be started: run "sh .ci/servers" first`)
  }
  const guard = spawn('sh', ['-c', `read _; kill -9 ${pid}`], { stdio: ['pipe', 'ignore', 'ignore'] })
  guard.unref()
  const pipe = guard.stdin as unknown as { unref(): void }
  pipe.unref()
  let over = false
  const gone = new Promise<void>((resolve) => {
    server.once('exit', () => {
      over = true
      guard.kill('SIGKILL')
      resolve()
    })
  })
  return {
    pid,
    gone,
    isGone: () => over,
    stop: async (graceMs) => {
      if (!over) server.kill('SIGTERM')
      await Promise.race([gone, sleep(graceMs, undefined, { ref: false })])
      await endNow(server, gone, over)
    },
    kill: () => endNow(server, gone, over),
  }
}

async function endNow(server: ChildProcess, gone: Promise<void>, over: boolean): Promise<void> {
  if (!over) server.kill('SIGKILL')
  await gone
}

/** Polls `ready` until it says yes. Fails with the end of the server's log when it never does. */
export async function waitReady(child: Child, log: string, ready: () => Promise<boolean>, triesMax = 600) {
  for (let i = 0; i < triesMax; i++) {
    if (await ready().catch(() => false)) return
    if (child.isGone()) break
    await sleep(50)
  }
  await child.kill()
  throw new Error(
    `the server did not become ready; the end of its log:\n${readFileSync(log, 'utf8').slice(-2_000)}`,
  )
}
