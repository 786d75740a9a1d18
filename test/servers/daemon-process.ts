import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A daemon that should have ended by itself by now, in milliseconds. */
const endMsMax = 20_000

const launcher = `
import { realWorld } from ${JSON.stringify(new URL('../../tiers/block/clock.ts', import.meta.url).href)}
import { daemonMain } from ${JSON.stringify(new URL('../../daemon/main.ts', import.meta.url).href)}
process.exitCode = await daemonMain(process.argv.slice(1), realWorld)
`

/** A daemon in a process of its own, as users run it. */
export type DaemonProcess = {
  readonly child: ChildProcess
  readonly pid: number
  readonly adminUrl: string
  readonly adminPort: number
  readonly socket: string
  readonly door: string
  /** Everything it printed so far. */
  output(): string
  /** Signals it and waits for its end: its exit code, or null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

type Test = { teardown(run: () => void | Promise<void>): void }

/** A directory with a short path: sockets lie in it. */
export function shortFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'terrace-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The words that make a small daemon in `folder`. */
export function smallDaemon(folder: string): string[] {
  const data = ['--data', join(folder, 'data'), '--secret-file', join(folder, 'secret')]
  return [...data, '--host-bytes', '64MiB', '--nvme-bytes', '0']
}

/** Starts the process and does not wait. `lead` are words before the command. */
export function spawnDaemon(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  lead: readonly string[] = [],
): ChildProcess {
  const node = [process.execPath, '--input-type=module', '-e', launcher, '--', ...words]
  const [command = '', ...rest] = [...lead, ...node]
  return spawn(command, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...environment },
  })
}

/** Runs a daemon that is expected to end by itself. */
export async function endedDaemon(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawnDaemon(words, environment)
  const output = outputOf(child)
  const guard = setTimeout(() => child.kill('SIGKILL'), endMsMax)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(guard)
  return { code, output: output() }
}

/** Starts a daemon and waits until it is ready. It ends with the test. */
export async function startDaemonProcess(
  t: Test,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  lead: readonly string[] = [],
): Promise<DaemonProcess> {
  const child = spawnDaemon(['--ready-json', '--parent-pipe', ...words], environment, lead)
  const output = outputOf(child)
  let code: number | null = null
  const ended = new Promise<void>((resolve) => {
    child.once('close', (status) => {
      code = status
      resolve()
    })
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += String(chunk)
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    void ended.then(() => reject(new Error(`the daemon ended: ${output()}`)))
  })
  const ready = JSON.parse(line) as {
    readonly pid: number
    readonly adminPort: number
    readonly socket: string
    readonly door: string
  }
  return {
    ...ready,
    child,
    adminUrl: `http://127.0.0.1:${ready.adminPort}`,
    output,
    stop: async (signal = 'SIGINT') => {
      child.kill(signal)
      await ended
      return code
    },
  }
}

function outputOf(child: ChildProcess): () => string {
  let printed = ''
  child.stdout?.on('data', (chunk) => {
    printed += String(chunk)
  })
  child.stderr?.on('data', (chunk) => {
    printed += String(chunk)
  })
  return () => printed
}
