import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { homedir, hostname, tmpdir, totalmem } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import type { Machine } from './config.ts'
import { errnoOf } from './errno.ts'

/** Name of the nvme tier's file in the data directory. */
const slabFile = 'nvme.slab'
const configBytesMax = 2 ** 20

/** The machine the daemon runs on, as its configuration asks about it. */
export function thisMachine(): Machine {
  return {
    environment: process.env,
    home: homedir(),
    name: hostname(),
    runtime: runtimeFolder(),
    memoryBytes: memoryBytes(),
    readText: (path) => {
      try {
        if (statSync(path).size > configBytesMax) return { why: 'larger than 1 MiB' }
        return { text: readFileSync(path, 'utf8') }
      } catch (error) {
        return { why: errnoOf(error) }
      }
    },
    roomBytesAt: (path) => freeBytesAt(path) ?? 0,
    slabBytesIn: (data) => {
      const stat = statSync(join(data, slabFile), { throwIfNoEntry: false })
      return stat?.isFile() === true ? stat.size : 0
    },
  }
}

function runtimeFolder(): string {
  const given = process.env.XDG_RUNTIME_DIR
  if (given !== undefined && isAbsolute(given)) return join(given, 'terrace')
  return join(tmpdir(), `terrace-${process.geteuid?.() ?? 0}`)
}

/** Free bytes for us on the file system that holds the path or the nearest folder above it; null when nobody can tell. */
function freeBytesAt(path: string): number | null {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  try {
    const { bavail, bsize } = statfsSync(at)
    return bavail * bsize
  } catch {
    return null
  }
}

/** Memory of the machine, or of the container where one limits us. */
function memoryBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
