import { spawn } from 'node:child_process'
import { createReadStream, readdirSync, type Stats, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { PassThrough, type Readable, Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { InputError, reasonOf } from '../failure.ts'
import type { BenchIo } from '../io.ts'

/** Bytes per read and per decompressed piece. Why 1 MiB: line scanning then runs in few large steps. */
const pieceBytes = 2 ** 20

const gzipMagic = [0x1f, 0x8b]
const zstdMagic = [0x28, 0xb5, 0x2f, 0xfd]
const xzMagic = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]

/** An opened input: decompressed bytes, and how much of the file has been read. */
type Input = {
  readonly label: string
  readonly pieces: AsyncIterable<Buffer>
  /** Share of the file read so far, or null when its size is not known. */
  readonly progress: () => number | null
  readonly close: () => void
}

/** The files behind a path: itself, or of a folder its plain files by name, hidden ones left out. */
export function inputFiles(path: string): readonly string[] {
  if (path === '-' || !statOf(path).isDirectory()) return [path]
  const names = readdirSync(path, { withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.name.startsWith('.'),
  )
  const files = names.map(({ name }) => join(path, name)).sort()
  if (files.length === 0) throw new InputError(`the folder "${path}" holds no file`)
  return files
}

/** Opens a file, or standard input for `-`; gzip, zstd and xz are recognised by their first bytes. */
export async function openInput(path: string, io: BenchIo): Promise<Input> {
  const label = path === '-' ? 'standard input' : basename(path)
  const size = path === '-' ? null : statOf(path).size
  const raw: Readable =
    path === '-' ? io.stdin : createReadStream(path, { highWaterMark: pieceBytes, signal: io.stop })
  const count = { read: 0 }
  const source = raw[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const first = await firstBytes(source, label)
  const counted = Transform.from(countedPieces(first, source, count)) as Readable
  const { stream, tool } = decompressed(first, counted, label)
  const close = (): void => {
    raw.destroy()
    counted.destroy()
    stream.destroy()
  }
  return {
    label,
    pieces: guarded(stream, label, tool),
    progress: () => (size === null || size === 0 ? null : count.read / size),
    close,
  }
}

function statOf(path: string): Stats {
  try {
    return statSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new InputError(
      code === 'ENOENT' ? `no file "${path}"` : `cannot open "${path}": ${reasonOf(error)}`,
    )
  }
}

/** Enough pieces to hold every magic number (standard input may come byte by byte). */
async function firstBytes(source: AsyncIterator<Buffer>, label: string): Promise<Buffer> {
  let first: Buffer = Buffer.alloc(0)
  try {
    while (first.length < xzMagic.length) {
      const next = await source.next()
      if (next.done === true) break
      first = Buffer.concat([first, next.value])
    }
  } catch (error) {
    throw new InputError(`cannot read ${label}: ${reasonOf(error)}`)
  }
  return first
}

async function* countedPieces(
  first: Buffer,
  rest: AsyncIterator<Buffer>,
  count: { read: number },
): AsyncGenerator<Buffer> {
  count.read += first.length
  if (first.length > 0) yield first
  for (;;) {
    const next = await rest.next()
    if (next.done === true) return
    count.read += next.value.length
    yield next.value
  }
}

function decompressed(
  first: Buffer,
  raw: Readable,
  label: string,
): { readonly stream: Readable; readonly tool: string | null } {
  const starts = (magic: readonly number[]): boolean => magic.every((byte, index) => first[index] === byte)
  if (starts(gzipMagic)) return { stream: piped(raw, createGunzip({ chunkSize: pieceBytes })), tool: 'gzip' }
  if (starts(zstdMagic)) {
    return { stream: piped(raw, createZstdDecompress({ chunkSize: pieceBytes })), tool: 'zstd' }
  }
  if (starts(xzMagic)) return { stream: throughXz(raw, label), tool: 'xz' }
  return { stream: raw, tool: null }
}

function piped(raw: Readable, through: Transform): Readable {
  raw.on('error', (error) => through.destroy(error))
  return raw.pipe(through)
}

/** Node has no xz; the xz program does it. The stream ends only after the program said that all was well. */
function throughXz(raw: Readable, label: string): Readable {
  const child = spawn('xz', ['--decompress', '--stdout', '--quiet'], { stdio: ['pipe', 'pipe', 'pipe'] })
  const out = new PassThrough({ highWaterMark: pieceBytes })
  let complaint = ''
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString('utf8')).slice(0, 300)
  })
  child.on('error', (error: NodeJS.ErrnoException) => {
    const missing = `${label} is xz-compressed and the program "xz" is not installed (Debian: apt-get install xz-utils)`
    out.destroy(error.code === 'ENOENT' ? new InputError(missing) : error)
  })
  child.on('close', (code) => {
    if (code === 0) out.end()
    else out.destroy(new Error(complaint.trim() || `xz ended with ${code}`))
  })
  child.stdin.on('error', () => undefined)
  raw.on('error', (error) => out.destroy(error))
  raw.pipe(child.stdin)
  child.stdout.pipe(out, { end: false })
  out.once('close', () => child.kill())
  return out
}

async function* guarded(stream: Readable, label: string, tool: string | null): AsyncGenerator<Buffer> {
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (error) {
    if (error instanceof InputError) throw error
    const reason = reasonOf(error)
    if (tool === null) throw new InputError(`cannot read ${label}: ${reason}`)
    const cut = /unexpected end|truncat|end of (file|input)/i.test(reason)
    throw new InputError(`${label} is ${cut ? 'cut off' : 'damaged'}: ${tool} says "${reason}"`)
  }
}
