import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { KvFailure } from '../../tiers/block/failures.ts'
import { type DataDirectory, prepareDataDirectory, takeDataDirectory } from '../data-directory.ts'
import { errnoOf } from '../errno.ts'
import { makeFolder } from '../folder.ts'

/** The data directory as `up` uses it. A first start that never served leaves it as it was found. */
export type UpDirectory = {
  readonly path: string
  /** Says that the daemon began it anew: what it holds of the daemon is this start's. */
  daemonBegan(): void
  /** Says that requests are served: from here on everything stays. */
  keep(): void
  close(): void
}

/** Makes the directory and its folder of logs, for this user alone. Throws KVT_DATA_UNWRITABLE and leaves nothing. */
export function openUpDirectory(path: string): UpDirectory {
  const prepared = prepareDataDirectory(path)
  const found = new Set(readdirSync(path))
  let isKept = false
  let isDaemonsFirst = false
  const close = (): void => {
    if (isKept) return
    const taken = takeUnlessHeld(path)
    // Another start on the same directory has come further than this one: everything may be its own.
    if (taken === null) return
    for (const name of readdirSync(path)) {
      const isOurs = name === 'logs' || /^engine-\d+$/.test(name)
      if (isOurs && !found.has(name)) rmSync(join(path, name), { recursive: true, force: true })
    }
    if (isDaemonsFirst) taken.erase()
    else taken.abandon()
    prepared.undo()
  }
  try {
    makeFolder(join(path, 'logs'))
  } catch (error) {
    prepared.undo()
    throw new KvFailure('KVT_DATA_UNWRITABLE', { directory: path, why: errnoOf(error) })
  }
  return {
    path,
    daemonBegan: () => {
      isDaemonsFirst = true
    },
    keep: () => {
      isKept = true
    },
    close,
  }
}

function takeUnlessHeld(path: string): DataDirectory | null {
  try {
    return takeDataDirectory(path)
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error
    return null
  }
}
