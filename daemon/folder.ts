import { mkdirSync, rmdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf } from './errno.ts'

/** Makes a folder of ours (mode 700) with those above it, and says which of them were not there, outermost first. Node's own
 *  recursive form never ends where a folder refuses to have entries with "no such file", as those of /proc do. */
export function makeFolder(path: string): readonly string[] {
  const missing: string[] = []
  const made: string[] = []
  for (let at = path; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at))
    missing.push(at)
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode: 0o700 })
      made.push(folder)
    } catch (error) {
      // Another process may make it at the same time.
      if (errnoOf(error) === 'EEXIST') continue
      removeFolders(made)
      throw error
    }
  }
  return made
}

/** Removes folders that `makeFolder` made, as far as nobody has put anything into them. */
export function removeFolders(made: readonly string[]): void {
  for (const folder of made.toReversed()) {
    try {
      rmdirSync(folder)
    } catch {
      // Somebody uses it: then it stays, and so do those above it.
      return
    }
  }
}
