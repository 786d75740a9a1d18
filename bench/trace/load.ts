import type { OptionFields, OptionValues } from '../command.ts'
import { InputError, Interrupted } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { Progress } from '../progress.ts'
import { TraceBuilder } from './builder.ts'
import { formats } from './formats.ts'
import { type Input, openInput } from './input.ts'
import { LineCutter } from './lines.ts'
import { BadRecord, type Head, type ReaderContext, type TraceFormat } from './reader.ts'
import { reblocked } from './reblock.ts'
import { expandTrace, type Trace, type TraceTree } from './trace.ts'

/** Options of every command that reads a trace. */
export const inputFields = {
  format: {
    kind: 'text',
    placeholder: 'NAME',
    fallback: null,
    about: 'Format of the input; without it, the first line decides and what was assumed is said.',
  },
  blockTokens: {
    kind: 'number',
    placeholder: 'N',
    unit: 'tokens',
    fallback: null,
    min: 1,
    max: 1_048_576,
    whole: true,
    about: 'Tokens per block of the trace; without it, found from the prompt lengths.',
  },
  reblock: {
    kind: 'number',
    placeholder: 'N',
    unit: 'blocks',
    fallback: 1,
    min: 1,
    max: 65_536,
    whole: true,
    about: 'Join N blocks of the trace to one coarser block.',
  },
  sample: {
    kind: 'number',
    placeholder: 'SHARE',
    unit: '',
    fallback: 1,
    min: 1e-6,
    max: 1,
    about:
      'Keep this share of the conversations, whole: for traces too large for memory. Capacities in percent stay comparable.',
  },
  skipBad: {
    kind: 'flag',
    about: 'Skip lines that cannot be read and count them, instead of stopping at the first.',
  },
  sessionSpread: {
    kind: 'number',
    placeholder: 'HOURS',
    unit: 'hours',
    fallback: 8,
    min: 0,
    max: 8_760,
    about: 'Files of single sessions: they start at random within this time.',
  },
  idleCut: {
    kind: 'number',
    placeholder: 'MINUTES',
    unit: 'minutes',
    fallback: 30,
    min: 0,
    max: 525_600,
    about: 'Files of single sessions: longer pauses are cut to this.',
  },
  isolateSessions: {
    kind: 'flag',
    about: 'Files of single sessions: share nothing between them, not even equal tool definitions.',
  },
} as const satisfies OptionFields

type AllInputOptions = OptionValues<typeof inputFields>
export type InputOptions = Partial<AllInputOptions>

const inputDefaults: AllInputOptions = {
  format: inputFields.format.fallback,
  blockTokens: inputFields.blockTokens.fallback,
  reblock: inputFields.reblock.fallback,
  sample: inputFields.sample.fallback,
  skipBad: false,
  sessionSpread: inputFields.sessionSpread.fallback,
  idleCut: inputFields.idleCut.fallback,
  isolateSessions: false,
}

export type Loaded = {
  readonly tree: TraceTree
  readonly format: string
  /** Sentences about what was assumed; part of every report. */
  readonly assumed: readonly string[]
  readonly skippedCount: number
  /** The id a node had in the input; kept only on request, because it holds the reader's tables in memory. */
  readonly idOf: ((node: number) => bigint) | null
}

/** Bytes that sniffing looks at, at most. Why: the first line of a trace with long prompts. */
const headBytesMax = 2 ** 20

/** Reads a whole trace. Throws InputError with file and line for what cannot be used. */
export async function loadTree(
  path: string,
  options: InputOptions,
  io: BenchIo,
  extra: { readonly keepIds: boolean } = { keepIds: false },
): Promise<Loaded> {
  if (io.stop.aborted) throw new Interrupted()
  const input = await openInput(path, io)
  try {
    return await readInput(input, { ...inputDefaults, ...options }, io, extra.keepIds)
  } catch (error) {
    // A stopped read fails in many ways; the reason is always the same.
    throw io.stop.aborted ? new Interrupted() : error
  } finally {
    input.close()
  }
}

/** As `loadTree`, with every request's references written out. Assumptions are noted on standard error. */
export async function loadTrace(path: string, options: InputOptions, io: BenchIo): Promise<Trace> {
  const loaded = await loadTree(path, options, io)
  noteAssumed(loaded, io)
  mustNameBlocks(loaded)
  return expandTrace(loaded.tree)
}

/** Refuses a trace of arrivals for commands that need blocks. */
export function mustNameBlocks(loaded: Loaded): void {
  if (loaded.tree.referenceCount > 0) return
  const what = `${loaded.tree.name} (${loaded.format}) holds arrivals and lengths but no block ids`
  throw new InputError(`${what}, so no hit rate can be measured; use a trace with hash_ids`)
}

/** Says on standard error what was assumed and what was skipped. */
export function noteAssumed(loaded: Loaded, io: BenchIo): void {
  for (const sentence of loaded.assumed) io.note(`${loaded.tree.name}: ${sentence}\n`)
}

async function readInput(
  input: Input,
  options: AllInputOptions,
  io: BenchIo,
  keepIds: boolean,
): Promise<Loaded> {
  const pieces = input.pieces[Symbol.asyncIterator]()
  const head = await headOf(input.label, pieces)
  const format = formatOf(options.format, head)
  const assumed: string[] = [`read as ${format.name}${options.format === null ? ' (by its first line)' : ''}`]
  const builder = new TraceBuilder(keepIds, options.sample)
  const context: ReaderContext = {
    builder,
    blockTokens: options.blockTokens,
    seed: 1,
    sessions: {
      spreadHours: options.sessionSpread,
      idleCutMinutes: options.idleCut,
      isolated: options.isolateSessions,
    },
    assume: (sentence) => void assumed.push(sentence),
  }
  const progress = new Progress(`reading ${input.label}`, io)
  const all = withHead(head.bytes, pieces, () => {
    if (io.stop.aborted) throw new Interrupted()
    progress.at(input.progress())
  })
  const run = format.kind === 'lines' ? readLines : readDocuments
  const { blockTokens, skippedCount } = await run(format as never, context, input.label, all, options.skipBad)
  progress.end()
  if (skippedCount > 0) assumed.push(`${skippedCount} lines skipped as unreadable`)
  if (builder.leftOutCount > 0) {
    assumed.push(
      `sampled: ${options.sample} of the conversations kept, ${builder.leftOutCount} requests left out`,
    )
  }
  if (builder.requestCount === 0) throw new InputError(`${input.label} holds no request; ${format.about}`)
  const tree = reblocked(builder.build(traceName(input.label), blockTokens), options.reblock)
  if (options.reblock > 1)
    assumed.push(`${options.reblock} blocks joined to one of ${tree.blockTokens} tokens`)
  return {
    tree,
    format: format.name,
    assumed,
    skippedCount,
    idOf: keepIds && options.reblock === 1 ? (node) => builder.trie.idOf(node) : null,
  }
}

/** What some editors put before a UTF-8 text. */
const byteOrderMark = [0xef, 0xbb, 0xbf]

async function headOf(label: string, pieces: AsyncIterator<Buffer>): Promise<Head> {
  let bytes: Buffer = Buffer.alloc(0)
  while (bytes.indexOf(0x0a) < 0 && bytes.length < headBytesMax) {
    const next = await pieces.next()
    if (next.done === true) break
    bytes = Buffer.concat([bytes, next.value])
  }
  if (byteOrderMark.every((byte, at) => bytes[at] === byte)) bytes = bytes.subarray(byteOrderMark.length)
  if (bytes.length === 0) throw new InputError(`${label} is empty; ${expected()}`)
  const lineEnd = bytes.indexOf(0x0a)
  const firstLine = bytes.subarray(0, lineEnd < 0 ? bytes.length : lineEnd).toString('utf8')
  let json: unknown = null
  try {
    json = JSON.parse(firstLine)
  } catch {
    // Not a JSON line: other formats look at the text.
  }
  return { fileName: label, bytes, firstLine, json }
}

async function* withHead(
  head: Uint8Array,
  rest: AsyncIterator<Buffer>,
  onPiece: () => void,
): AsyncGenerator<Buffer> {
  yield Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  for (;;) {
    const next = await rest.next()
    if (next.done === true) return
    onPiece()
    yield next.value
  }
}

function formatOf(told: string | null, head: Head): TraceFormat {
  if (told !== null) {
    const named = formats.find(({ name }) => name === told)
    if (named === undefined) throw new InputError(`--format: unknown "${told}"; ${expected()}`)
    return named
  }
  const fitting = formats.find((format) => format.fits(head))
  if (fitting !== undefined) return fitting
  throw new InputError(`${head.fileName} is in no known format; ${expected()}`)
}

function expected(): string {
  return `expected one of:\n${formats.map(({ name, about }) => `  ${name}: ${about}`).join('\n')}`
}

type Pieces = AsyncIterable<Buffer>
type Outcome = { readonly blockTokens: number; readonly skippedCount: number }

async function readLines(
  format: TraceFormat & { kind: 'lines' },
  context: ReaderContext,
  label: string,
  pieces: Pieces,
  skipBad: boolean,
): Promise<Outcome> {
  const reader = format.open(context)
  let skippedCount = 0
  const cutter = new LineCutter(label, (bytes, start, end, complete) => {
    try {
      reader.read(bytes, start, end)
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      if (skipBad) skippedCount += 1
      else throw badLine(label, cutter.lineNumber, error, complete, format)
    }
  })
  for await (const piece of pieces) cutter.push(piece)
  cutter.finish()
  return { blockTokens: reader.finish(), skippedCount }
}

function badLine(
  label: string,
  line: number,
  error: Error,
  complete: boolean,
  format: TraceFormat,
): InputError {
  const cut = complete ? '' : ' (the last line has no line end: the file may be cut off)'
  return new InputError(
    `${label}:${line}: ${error.message}${cut}; expected ${format.name}: ${format.about}; --skip-bad skips such lines`,
  )
}

async function readDocuments(
  format: TraceFormat & { kind: 'documents' },
  context: ReaderContext,
  label: string,
  pieces: Pieces,
  _skipBad: boolean,
): Promise<Outcome> {
  const reader = format.open(context)
  const parts: Buffer[] = []
  for await (const piece of pieces) parts.push(piece)
  try {
    reader.document(label, Buffer.concat(parts))
    return { blockTokens: reader.finish(), skippedCount: 0 }
  } catch (error) {
    if (error instanceof BadRecord)
      throw new InputError(`${label}: ${error.message}; expected ${format.about}`)
    throw error
  }
}

/** `mooncake-conversation` for `mooncake-conversation.jsonl.gz`. */
function traceName(label: string): string {
  return label.replace(/\.(gz|zst|xz)$/, '').replace(/\.(jsonl|json|csv|tar|tgz|log|txt|msgpack)$/, '')
}
