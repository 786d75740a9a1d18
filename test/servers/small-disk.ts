import { spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'

/** A file system of its own, seen by the processes that are started with `lead` in front of their words. */
export type SmallDisk = {
  readonly lead: readonly string[]
  /** The path under which this process sees a file of it. */
  seen(path: string): string
  /** Takes all space that is left. */
  fill(): void
  /** Gives it back. */
  free(): void
}

type Test = { teardown(run: () => void | Promise<void>): void }

/** Mounts `byteCount` bytes of memory at a folder, in a mount namespace that ends with the test. Null where no user of this
 *  machine may do that. */
export async function smallDisk(t: Test, folder: string, byteCount: number): Promise<SmallDisk | null> {
  // The second way makes an ordinary user root of a namespace of its own.
  for (const how of ['-m', '-rm']) {
    const mount = `mount -t tmpfs -o size=${byteCount},mode=755 terrace "$1" && echo mounted && exec cat`
    const holder = spawn('unshare', [how, 'sh', '-c', mount, 'sh', folder], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const ended = new Promise<'ended'>((resolve) => {
      holder.once('close', () => resolve('ended'))
      holder.once('error', () => resolve('ended'))
    })
    const mounted = new Promise<'mounted'>((resolve) => holder.stdout.once('data', () => resolve('mounted')))
    t.teardown(async () => {
      holder.kill('SIGKILL')
      await ended
    })
    if ((await Promise.race([mounted, ended])) === 'ended') continue
    const user = how === '-rm' ? ['-U', '--preserve-credentials'] : []
    const seen = (path: string): string => `/proc/${holder.pid}/root${path}`
    const filler = seen(`${folder}/filler`)
    return {
      lead: ['nsenter', '-t', String(holder.pid), '-m', ...user, '--'],
      seen,
      fill: () => fill(filler),
      free: () => rmSync(filler, { force: true }),
    }
  }
  return null
}

function fill(path: string): void {
  const file = openSync(path, 'a')
  try {
    for (const step of [2 ** 20, 4_096]) writeUntilFull(file, new Uint8Array(step))
  } finally {
    closeSync(file)
  }
}

function writeUntilFull(file: number, bytes: Uint8Array): void {
  try {
    for (;;) writeSync(file, bytes)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  }
}
