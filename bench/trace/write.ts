import { once } from 'node:events'
import { createWriteStream, renameSync, rmSync, statSync } from 'node:fs'
import { PassThrough, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import { InputError, Interrupted, reasonOf } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { blockCountOf, type TraceTree } from './trace.ts'

/** Option of the commands that write a trace. */
export const traceOutputField = {
  kind: 'text',
  placeholder: 'FILE',
  fallback: '-',
  about: 'File to write, compressed when it ends in .gz or .zst; - is standard output.',
} as const

/** Characters gathered before they are written. */
const pieceCharacters = 2 ** 18

/** What goes into the written lines besides the columns. */
export type Naming = {
  /** The id written for a node of the tree. */
  readonly blockId: (node: number) => number | bigint
  readonly tenantName: (tenant: number) => string
  readonly shiftMs: number
  readonly speedup: number
}

export const plainNaming = (tree: TraceTree): Naming => ({
  blockId: (node) => node,
  tenantName: (tenant) => tree.tenantNames[tenant] ?? '',
  shiftMs: 0,
  speedup: 1,
})

/** Which requests are written. */
export type Selection = (request: number) => boolean

/** The trace as native lines, in pieces. */
export function* nativeText(tree: TraceTree, naming: Naming, selected: Selection): Generator<string> {
  let piece = ''
  const path: number[] = []
  for (let request = 0; request < tree.requestCount; request += 1) {
    if (!selected(request)) continue
    path.length = blockCountOf(tree, request)
    let at = path.length
    for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
      at -= 1
      path[at] = node
    }
    const ids = path.map((node) => String(naming.blockId(node))).join(',')
    piece += `${headOf(tree, request, naming)},"hash_ids":[${ids}]${tailOf(tree, request, naming)}}\n`
    if (piece.length < pieceCharacters) continue
    yield piece
    piece = ''
  }
  yield piece
}

/** Arrivals and lengths only, as the Azure traces have them. */
export function* arrivalText(tree: TraceTree, naming: Naming, selected: Selection): Generator<string> {
  let piece = 'TIMESTAMP,ContextTokens,GeneratedTokens\n'
  for (let request = 0; request < tree.requestCount; request += 1) {
    if (!selected(request)) continue
    const seconds = timeOf(tree, request, naming) / 1_000
    piece += `${seconds},${tree.inputTokens[request]},${tree.outputTokens[request]}\n`
    if (piece.length < pieceCharacters) continue
    yield piece
    piece = ''
  }
  yield piece
}

function timeOf(tree: TraceTree, request: number, naming: Naming): number {
  return Math.round(((tree.arrivalMs[request] ?? 0) - naming.shiftMs) / naming.speedup)
}

function headOf(tree: TraceTree, request: number, naming: Naming): string {
  const atMs = timeOf(tree, request, naming)
  return `{"timestamp":${atMs},"input_length":${tree.inputTokens[request]},"output_length":${tree.outputTokens[request]}`
}

function tailOf(tree: TraceTree, request: number, naming: Naming): string {
  const session = tree.session?.[request] ?? -1
  const delayMs = tree.delayMs?.[request] ?? -1
  const tenant = tree.tenant?.[request] ?? -1
  const parts = session < 0 ? '' : `,"session_id":${session}`
  const delay = delayMs < 0 ? '' : `,"delay":${Math.round(delayMs / naming.speedup)}`
  return parts + delay + (tenant < 0 ? '' : `,"tenant":${JSON.stringify(naming.tenantName(tenant))}`)
}

/** Writes text to a file (compressed by its ending: .gz, .zst) or, for `-`, to standard output. A file gets its name only when it
 *  is whole; what Ctrl-C cut is thrown away, because nothing in it would say that it is a part. */
export async function writeText(path: string, pieces: Iterable<string>, io: BenchIo): Promise<void> {
  if (path === '-') {
    for (const piece of pieces) {
      if (io.stop.aborted) throw new Interrupted()
      io.out(piece)
      await io.drained()
    }
    return
  }
  // A pipe or a device cannot be renamed.
  const isPlain = statSync(path, { throwIfNoEntry: false })?.isFile() ?? true
  const working = isPlain ? `${path}.part` : path
  try {
    await writeFile(working, compressorFor(path), pieces, io.stop)
    if (isPlain) renameSync(working, path)
  } catch (error) {
    if (isPlain) rmSync(working, { force: true })
    if (error instanceof Interrupted) throw error
    throw new InputError(`cannot write "${path}": ${reasonOf(error)}`)
  }
}

async function writeFile(
  path: string,
  entry: Writable & { pipe: (file: Writable) => Writable },
  pieces: Iterable<string>,
  stop: AbortSignal,
): Promise<void> {
  const file = createWriteStream(path)
  const done = finished(file)
  done.catch(() => undefined)
  entry.pipe(file)
  try {
    for (const piece of pieces) {
      if (stop.aborted) throw new Interrupted()
      if (!entry.write(piece)) await Promise.race([once(entry, 'drain'), done])
    }
    entry.end()
    await done
  } finally {
    entry.destroy()
    file.destroy()
  }
}

function compressorFor(path: string): Writable & { pipe: (file: Writable) => Writable } {
  if (path.endsWith('.gz')) return createGzip()
  if (path.endsWith('.zst')) return createZstdCompress()
  return new PassThrough()
}
