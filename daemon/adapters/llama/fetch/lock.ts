import { readFileSync, rmSync } from 'node:fs'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { SetupProblem, type Sleep } from './problem.ts'

/** Longest wait for another setup on the same folder, in milliseconds. Why: a compile on one slow core takes
 *  minutes; a holder that is alive for longer than this is stuck and is named to the person who waits. */
const waitMsMax = 30 * 60_000
/** Pause between two looks at a held lock, in milliseconds. */
const lookMs = 500

/** Runs `work` while this process alone holds the lock file. The file names its holder (process id and start
 *  time), so that the lock of a killed process is taken over at once and a reused id is not mistaken for it.
 *  The lock saves double work; correctness does not hang on it, since results appear by rename. */
export async function withLock<Result>(
  path: string,
  sleep: Sleep,
  onWait: (holderPid: number) => void,
  work: () => Promise<Result>,
): Promise<Result> {
  const mine = identity(process.pid)
  await take(path, mine, sleep, onWait)
  const drop = (): void => rmSync(path, { force: true })
  process.once('exit', drop)
  try {
    return await work()
  } finally {
    process.removeListener('exit', drop)
    drop()
  }
}

async function take(path: string, mine: string, sleep: Sleep, onWait: (pid: number) => void): Promise<void> {
  for (let waitedMs = 0; waitedMs <= waitMsMax; waitedMs += lookMs) {
    try {
      await writeFile(path, mine, { flag: 'wx' })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = await readFile(path, 'utf8').catch(() => '')
    if (holder !== '' && !alive(holder)) {
      await takeOver(path, holder)
      continue
    }
    if (holder !== '') onWait(pidOf(holder))
    await sleep(lookMs)
  }
  throw new SetupProblem(`another setup has held ${path} for too long; end that process or remove the file`)
}

/** Moves a dead holder's lock away; when a new holder came in between, its lock is put back. */
async function takeOver(path: string, deadHolder: string): Promise<void> {
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const moved = await readFile(aside, 'utf8').catch(() => '')
  if (moved !== deadHolder) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

function pidOf(holder: string): number {
  return Number(holder.split(' ')[0])
}

function alive(holder: string): boolean {
  return identity(pidOf(holder)) === holder
}

/** A process by id and start time (field 22 of its stat line), or '' when there is none. */
function identity(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${pid} ${startTicks}`
  } catch {
    return ''
  }
}
