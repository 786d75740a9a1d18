import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { KvFailure } from '../tiers/block/failures.ts'
import { keyByteCount } from '../tiers/block/id.ts'
import { errnoOf } from './errno.ts'
import { makeFolder } from './folder.ts'

/** The cluster's secret: 32 bytes that block keys and route hashes are made with. It lies outside the data directory because the
 *  blocks in S3 can be named only with it: local data may be deleted at any time, the secret may not.
 *
 *  Created once and complete, even when two daemons start at the same time: the file gets its name only when it is whole. */
export function readOrCreateSecret(file: string): Uint8Array {
  const known = readSecret(file)
  if (known !== null) return known
  const fresh = `${file}.${process.pid}`
  try {
    makeFolder(dirname(file))
    rmSync(fresh, { force: true })
    writeWhole(fresh, `${randomBytes(keyByteCount).toString('hex')}\n`)
    linkSync(fresh, file)
  } catch (error) {
    const why = errnoOf(error)
    if (why !== 'EEXIST') throw bad(file, `it cannot be created (${why}): give another with --secret-file`)
  } finally {
    rmSync(fresh, { force: true })
  }
  const created = readSecret(file)
  if (created === null) throw bad(file, 'it vanished while it was created: start again')
  return created
}

/** The secret in the file, or null when there is none. Never repeats what it read. */
function readSecret(file: string): Uint8Array | null {
  let descriptor: number
  try {
    // Without O_NONBLOCK the opening of a named pipe would wait for ever.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const why = errnoOf(error)
    if (why === 'ENOENT') return null
    throw bad(file, `it cannot be read (${why}): correct its owner, or give another with --secret-file`)
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) throw bad(file, 'it is not a file: give another with --secret-file')
    if (stat.uid !== process.geteuid?.()) {
      throw bad(
        file,
        `it belongs to user ${stat.uid}: run the daemon as that user, or give another with --secret-file`,
      )
    }
    if ((stat.mode & 0o077) !== 0) {
      throw bad(file, `other users can read or write it: run "chmod 600" on it`)
    }
    const room = Buffer.alloc(keyByteCount * 2 + 2)
    const text = room.toString('latin1', 0, readSync(descriptor, room, 0, room.length, 0))
    const match = /^([0-9a-f]{64})\n?$/i.exec(text)
    if (match?.[1] === undefined) {
      throw bad(
        file,
        `it does not hold ${keyByteCount * 2} hexadecimal digits: restore it, or move it away to begin with a new one`,
      )
    }
    return new Uint8Array(Buffer.from(match[1], 'hex'))
  } finally {
    closeSync(descriptor)
  }
}

function writeWhole(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function bad(file: string, why: string): KvFailure {
  return new KvFailure('KVT_SECRET_BAD', { file, why })
}
