import {
  chmodSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { KvFailure } from '../tiers/block/failures.ts'
import { errnoOf } from './errno.ts'
import { makeFolder } from './folder.ts'
import {
  identityFrom,
  identityOfThisProcess,
  identityText,
  isAlive,
  type ProcessIdentity,
} from './process-identity.ts'

/** Format of the directory as a whole; the files in it carry their own. */
const version = 'terrace-data-1'
const versionFile = 'version'
const lockFile = 'daemon.lock'

type DataDirectory = {
  readonly path: string
  /** Gives the directory back: another daemon may have it. */
  release(): void
}

/** Creates the directory where it is missing, checks that it is ours, writable and of our format, and takes it for this process.
 *  Throws KVT_DATA_*; then nothing of ours is left in it but what was there before. */
export function takeDataDirectory(path: string): DataDirectory {
  prepare(path)
  const lock = join(path, lockFile)
  takeLock(path, lock)
  try {
    checkVersion(path)
  } catch (error) {
    rmSync(lock, { force: true })
    throw error
  }
  return { path, release: () => rmSync(lock, { force: true }) }
}

function prepare(path: string): void {
  try {
    makeFolder(path)
    const stat = statSync(path)
    if (stat.uid !== process.geteuid?.()) throw unwritable(path, `it belongs to user ${stat.uid}`)
    if ((stat.mode & 0o077) !== 0) {
      // Blocks hold what people wrote: nobody else may look. A directory that holds other things is not ours to close.
      const names = readdirSync(path)
      const ours = names.length === 0 || names.includes(versionFile) || names.join() === 'lost+found'
      if (!ours) throw unwritable(path, 'other users may enter it and it holds files that are not ours')
      chmodSync(path, 0o700)
    }
    const probe = join(path, `.writable.${process.pid}`)
    writeFileSync(probe, '', { mode: 0o600 })
    rmSync(probe)
  } catch (error) {
    if (error instanceof KvFailure) throw error
    throw unwritable(path, errnoOf(error))
  }
}

function checkVersion(path: string): void {
  const file = join(path, versionFile)
  const found = textOf(file)
  if (found === null) {
    writeFileSync(`${file}.new`, `${version}\n`, { mode: 0o600 })
    renameSync(`${file}.new`, file)
    return
  }
  if (found.trim() === version) return
  throw new KvFailure('KVT_DATA_VERSION', { file, found: found.trim().slice(0, 40), ours: version })
}

/** Takes the lock for this process. The lock of a dead process is taken over: first the right to do so, under a name that holds
 *  that process's identity, then the lock, if it still is the dead one's. So two starters never both win. */
function takeLock(directory: string, lock: string): void {
  const mine = `${lock}.${process.pid}`
  writeFileSync(mine, identityText(identityOfThisProcess()), { mode: 0o600 })
  try {
    const winner = takeName(lock, mine, 8)
    if (winner !== null) throw new KvFailure('KVT_DATA_IN_USE', { directory, pid: winner.pid })
  } catch (error) {
    if (error instanceof KvFailure) throw error
    throw unwritable(directory, errnoOf(error))
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Makes `name` the same file as `mine`. Null when it is ours, else the living process that has it. */
function takeName(name: string, mine: string, triesLeft: number): ProcessIdentity | null {
  for (let tries = triesLeft; tries > 0; tries--) {
    try {
      linkSync(mine, name)
      return null
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error
    }
    const text = textOf(name)
    if (text === null) continue
    const holder = identityFrom(text)
    if (holder !== null && isAlive(holder)) return holder
    const takeover = `${name}.of-${holder === null ? 'unreadable' : `${holder.pid}-${holder.startTicks}`}`
    const rival = takeName(takeover, mine, tries - 1)
    if (rival !== null) return rival
    try {
      if (textOf(name) === text) {
        // A second name for our identity, moved over the dead lock in one step.
        linkSync(mine, `${mine}.over`)
        renameSync(`${mine}.over`, name)
        return null
      }
    } finally {
      rmSync(takeover, { force: true })
    }
  }
  return identityFrom(textOf(name) ?? '') ?? { pid: 0, startTicks: '', boot: '' }
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').slice(0, 200)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

function unwritable(directory: string, why: string): KvFailure {
  return new KvFailure('KVT_DATA_UNWRITABLE', { directory, why })
}
