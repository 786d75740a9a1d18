import { createReadStream, createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'
import { SetupProblem } from '../fetch/problem.ts'

/** Where one member of a zip file lies, and how long it is. */
export type ZipMember = {
  readonly method: number
  readonly packedBytes: number
  readonly headerOffset: number
  readonly bytes: number
}

const endBytes = 22
const endMagic = 0x06054b50
const entryMagic = 0x02014b50
const localMagic = 0x04034b50
/** Largest central directory that is read, in bytes. Why: a wheel has tens of members, not millions. */
const directoryBytesMax = 2 ** 20

/** Finds a member in a central directory; undefined when it is not there or the bytes are no directory. */
function findMember(directory: Buffer, wanted: string): ZipMember | undefined {
  for (let at = 0; at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== entryMagic) return undefined
    const nameBytes = directory.readUInt16LE(at + 28)
    const next = at + 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
    if (directory.toString('utf8', at + 46, at + 46 + nameBytes) === wanted) {
      return {
        method: directory.readUInt16LE(at + 10),
        packedBytes: directory.readUInt32LE(at + 20),
        bytes: directory.readUInt32LE(at + 24),
        headerOffset: directory.readUInt32LE(at + 42),
      }
    }
    at = next
  }
  return undefined
}

/** Copies one member of a zip file to a new file. Reads the directory and that member, nothing else. */
export async function takeMember(
  zip: string,
  member: string,
  target: string,
  onBytes: (byteCount: number) => void,
): Promise<void> {
  const broken = new SetupProblem(
    `${zip} is not a whole zip file with ${member} in it; remove it and start again`,
  )
  const file = await open(zip)
  let found: ZipMember | undefined
  let dataOffset = 0
  try {
    const { size } = await file.stat()
    const tail = Buffer.alloc(Math.min(size, endBytes + 65_535))
    await file.read(tail, 0, tail.length, size - tail.length)
    const end = lastEnd(tail)
    if (end < 0) throw broken
    const directoryBytes = tail.readUInt32LE(end + 12)
    if (directoryBytes > directoryBytesMax) throw broken
    const directory = Buffer.alloc(directoryBytes)
    await file.read(directory, 0, directory.length, tail.readUInt32LE(end + 16))
    found = findMember(directory, member)
    if (found === undefined || (found.method !== 0 && found.method !== 8)) throw broken
    const local = Buffer.alloc(30)
    await file.read(local, 0, local.length, found.headerOffset)
    if (local.readUInt32LE(0) !== localMagic) throw broken
    dataOffset = found.headerOffset + local.length + local.readUInt16LE(26) + local.readUInt16LE(28)
  } finally {
    await file.close()
  }
  let byteCount = 0
  const counter = new Transform({
    transform(piece: Buffer, _encoding, done): void {
      byteCount += piece.length
      onBytes(byteCount)
      done(null, piece)
    },
  })
  const packed = createReadStream(zip, { start: dataOffset, end: dataOffset + found.packedBytes - 1 })
  const out = createWriteStream(target, { flags: 'wx' })
  if (found.method === 0) await pipeline(packed, counter, out)
  else await pipeline(packed, createInflateRaw(), counter, out)
  if (byteCount !== found.bytes) throw broken
}

/** Offset of the end record in the file's tail, or -1. */
function lastEnd(tail: Buffer): number {
  for (let at = tail.length - endBytes; at >= 0; at--) if (tail.readUInt32LE(at) === endMagic) return at
  return -1
}
