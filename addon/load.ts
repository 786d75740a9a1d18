import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { KvFailure } from '../tiers/block/failures.ts'
import { abiVersion, type Native } from './native.ts'

/** Longest trial load, in milliseconds. Why: a broken driver below the addon must not hang the daemon's start. */
const trialMsMax = 20_000

let loaded: Native | null = null

/** Where the built addon lies. `TERRACE_ADDON_FILE` names another one (a sanitizer's build). */
export function addonFile(): string {
  const chosen = process.env.TERRACE_ADDON_FILE
  if (chosen !== undefined && chosen !== '') return chosen
  return fileURLToPath(new URL(`build/${process.platform}-${process.arch}/terrace.node`, import.meta.url))
}

/** The native addon of this process, loaded once. A file that was never loaded before is tried in a child first, so that
 *  a build that does not fit this machine ends the child and not the daemon. Throws KvFailure KVT_ADDON_MISSING. */
export function loadNative(): Native {
  if (loaded !== null) return loaded
  const file = addonFile()
  if (!existsSync(file)) throw missing(`${file} does not exist`)
  tryInChild(file)
  const native = requireNative(file)
  if (native.abiVersion !== abiVersion) {
    throw missing(
      `${file} has version ${native.abiVersion} of the boundary, this release wants ${abiVersion}`,
    )
  }
  loaded = native
  return native
}

/** Loads the file in a child, unless a stamp beside it says that these very bytes were loaded by this Node before. */
function tryInChild(file: string): void {
  const stampFile = `${file}.loaded`
  const stamp = `${createHash('sha256').update(readFileSync(file)).digest('hex')} ${process.version}\n`
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return
  const child = spawnSync(
    process.execPath,
    ['-e', 'process.stdout.write(String(require(process.argv[1]).abiVersion))', file],
    { encoding: 'utf8', timeout: trialMsMax, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  if (child.error !== undefined) throw missing(`its trial load failed: ${child.error.message}`)
  if (child.status !== 0) throw missing(`its trial load ${endOf(child.signal, child.status, child.stderr)}`)
  try {
    writeFileSync(stampFile, stamp)
  } catch {
    // A directory that cannot be written costs a trial at every start, nothing else.
  }
}

function endOf(signal: NodeJS.Signals | null, status: number | null, stderr: string): string {
  if (signal !== null) return `ended with ${signal}`
  const reason = stderr.split('\n').find((line) => /^\w*Error: /.test(line))
  return `ended with status ${status}${reason === undefined ? '' : `: ${reason}`}`
}

function requireNative(file: string): Native {
  try {
    return createRequire(import.meta.url)(file) as Native
  } catch (error) {
    throw missing(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error))
  }
}

function missing(why: string): KvFailure {
  return new KvFailure('KVT_ADDON_MISSING', { why })
}
