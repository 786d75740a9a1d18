import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoOf } from './errno.ts'

/** Makes a folder of ours (mode 700) with those above it. Node's own recursive form never ends where a folder refuses to have
 *  entries with "no such file", as those of /proc do. */
export function makeFolder(path: string): void {
  const missing: string[] = []
  for (let at = path; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at))
    missing.push(at)
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode: 0o700 })
    } catch (error) {
      // Another process may make it at the same time.
      if (errnoOf(error) !== 'EEXIST') throw error
    }
  }
}
