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
import { makeFolder, removeFolders } from './folder.ts'
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

/** Everything a daemon makes in its data directory, besides the lock: what a start that was refused takes back. */
const daemonFiles = [
  ...[versionFile, 'nvme.slab', 'catalog', 'namespaces.json'],
  ...['daemon-id', 'daemon.json', 'daemon.sock', 'daemon.sock.door'],
].flatMap((name) => [name, `${name}.new`])

export type DataDirectory = {
  readonly path: string
  /** Whether nothing of a daemon was in it: no start before this one came far enough. */
  readonly isFresh: boolean
  /** Gives the directory back: another daemon may have it. */
  release(): void
  /** Gives it back as it was found, without what a start that came to nothing has put there. */
  abandon(): void
  /** Gives it back without anything of a daemon. */
  erase(): void
}

/** Creates the directory where it is missing, checks that it is ours, writable and of our format, and takes it for this process.
 *  Throws KVT_DATA_*; then nothing of ours is left in it but what was there before. */
export function takeDataDirectory(path: string): DataDirectory {
  const prepared = prepareDataDirectory(path)
  const lock = join(path, lockFile)
  const release = (): void => rmSync(lock, { force: true })
  try {
    takeLock(path, lock)
  } catch (error) {
    prepared.undo()
    throw error
  }
  // Looked at under the lock: what another daemon put here a moment ago is no part of this start.
  const found = new Set(readdirSync(path))
  const leave = (isSpared: (name: string) => boolean): void => {
    for (const name of daemonFiles) if (!isSpared(name)) removeFile(join(path, name))
    release()
    prepared.undo()
  }
  const abandon = (): void => leave((name) => found.has(name))
  try {
    checkVersion(path)
  } catch (error) {
    abandon()
    if (error instanceof KvFailure) throw error
    throw unwritable(path, errnoOf(error))
  }
  const isFresh = !daemonFiles.some((name) => found.has(name))
  return { path, isFresh, release, abandon, erase: () => leave(() => false) }
}

/** Never throws: it runs where something has failed already, and has nobody to tell. */
function removeFile(file: string): void {
  try {
    rmSync(file, { recursive: true, force: true })
  } catch {
    // It stays, as on a drive that became read-only.
  }
}

/** Makes the directory ours alone. `undo` makes that undone, as long as nothing has been put into it. */
export function prepareDataDirectory(path: string): { undo(): void } {
  let made: readonly string[] = []
  let openMode: number | null = null
  const undo = (): void => {
    if (openMode !== null && statSync(path, { throwIfNoEntry: false }) !== undefined) {
      if (readdirSync(path).every(isSystems)) chmodSync(path, openMode)
    }
    removeFolders(made)
  }
  try {
    made = makeFolder(path)
    const stat = statSync(path)
    if (stat.uid !== process.geteuid?.()) throw unwritable(path, `it belongs to user ${stat.uid}`)
    if ((stat.mode & 0o077) !== 0) {
      // Blocks hold what people wrote: nobody else may look. A directory that holds other things is not ours to close.
      const names = readdirSync(path)
      const ours = names.includes(versionFile) || names.every(isSystems)
      if (!ours) throw unwritable(path, 'other users may enter it and it holds files that are not ours')
      chmodSync(path, 0o700)
      openMode = stat.mode & 0o7777
    }
    const probe = join(path, `.writable.${process.pid}`)
    writeFileSync(probe, '', { mode: 0o600 })
    rmSync(probe)
  } catch (error) {
    undo()
    if (error instanceof KvFailure) throw error
    throw unwritable(path, errnoOf(error))
  }
  return { undo }
}

/** What a file system puts into the root of a drive by itself. */
function isSystems(name: string): boolean {
  return name === 'lost+found'
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
  try {
    writeFileSync(mine, identityText(identityOfThisProcess()), { mode: 0o600 })
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
