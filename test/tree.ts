import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'

/** The checkout as the tidy tests read it: every file of its rooms, and the text of the sources. */

export const root = new URL('..', import.meta.url).pathname.replace(/\/$/, '')

function walk(folder: string): string[] {
  const found: string[] = []
  for (const entry of readdirSync(`${root}/${folder}`, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || (entry.name === 'build' && folder === 'addon')) continue
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) found.push(...walk(path))
    else found.push(path)
  }
  return found
}

const folders = ['addon', 'bench', 'daemon', 'router', 'test', 'tiers'].filter((name) =>
  existsSync(`${root}/${name}`),
)
export const files = [...folders.flatMap(walk), ...readdirSync(root).filter((name) => name.endsWith('.ts'))]
export const sources = files.filter((file) => file.endsWith('.ts'))
export const textOf = new Map(sources.map((file) => [file, readFileSync(`${root}/${file}`, 'utf8')]))

// Read at the wrong place, every rule would hold for want of files.
if (!sources.includes('terrace.ts') || !sources.includes('tiers/table.ts'))
  throw new Error(`no checkout at ${root}`)
