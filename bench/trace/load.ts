import { basename, resolve } from 'node:path'
import type { OptionFields, OptionValues } from '../command.ts'
import { InputError, Interrupted } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { Progress } from '../progress.ts'
import { TraceBuilder } from './builder.ts'
import { type Feed, openFeed } from './feed.ts'
import { formats } from './formats.ts'
import { inputFiles, openInput } from './input.ts'
import type { Head, ReaderContext, TraceFormat } from './reader.ts'
import { reblocked, sortedTree } from './reblock.ts'
import { formatOf, headOf } from './sniff.ts'
import { expandTrace, type Trace, type TraceTree } from './trace.ts'

/** Options of every command that reads a trace. */
export const inputFields = {
  format: {
    kind: 'text',
    placeholder: 'NAME',
    fallback: null,
    choices: formats.map(({ name }) => name),
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

/** Reads a whole trace: a file, standard input (`-`), or all files of a folder, by name. Throws InputError with file and line
 *  for what cannot be used. */
export async function loadTree(
  path: string,
  options: InputOptions,
  io: BenchIo,
  extra: { readonly keepIds: boolean } = { keepIds: false },
): Promise<Loaded> {
  const reading = new Reading({ ...inputDefaults, ...options }, io, extra.keepIds)
  try {
    for (const file of inputFiles(path)) await reading.file(file)
  } catch (error) {
    // A stopped read fails in many ways; the reason is always the same.
    throw io.stop.aborted ? new Interrupted() : error
  }
  return reading.loaded(path === '-' ? 'standard input' : basename(resolve(path)))
}

/** As `loadTree`, with every request's references written out. Assumptions are noted on standard error. */
export async function loadTrace(path: string, options: InputOptions, io: BenchIo): Promise<Trace> {
  const loaded = await loadTree(path, options, io)
  noteAssumed(loaded, io)
  mustNameBlocks(loaded)
  return { ...expandTrace(loaded.tree), assumed: loaded.assumed }
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

/** One trace on its way in, from one or several files. The first file decides the format. */
class Reading {
  readonly #options: AllInputOptions
  readonly #io: BenchIo
  readonly #keepIds: boolean
  readonly #builder: TraceBuilder
  readonly #assumed: string[] = []
  #format: TraceFormat | null = null
  #feed: Feed | null = null
  #sorts = false

  constructor(options: AllInputOptions, io: BenchIo, keepIds: boolean) {
    this.#options = options
    this.#io = io
    this.#keepIds = keepIds
    this.#builder = new TraceBuilder(keepIds, options.sample)
  }

  async file(path: string): Promise<void> {
    if (this.#io.stop.aborted) throw new Interrupted()
    const input = await openInput(path, this.#io)
    try {
      const pieces = input.pieces[Symbol.asyncIterator]()
      const head = await headOf(input.label, pieces)
      this.#feed ??= this.#open(head)
      const progress = new Progress(`reading ${input.label}`, this.#io)
      const onPiece = (): void => {
        if (this.#io.stop.aborted) throw new Interrupted()
        progress.at(input.progress())
      }
      await this.#feed.file(input.label, withHead(head.bytes, pieces, onPiece))
      progress.end()
    } finally {
      input.close()
    }
  }

  loaded(label: string): Loaded {
    const { reblock, sample } = this.#options
    const [builder, assumed, format] = [this.#builder, this.#assumed, this.#format]
    if (this.#feed === null || format === null) throw new InputError(`${label} holds no file`)
    const blockTokens = this.#feed.finish()
    const { skippedCount } = this.#feed
    if (skippedCount > 0) assumed.push(`${skippedCount} lines skipped as unreadable`)
    if (builder.leftOutCount > 0) {
      assumed.push(`sampled: ${sample} of the conversations kept, ${builder.leftOutCount} requests left out`)
    }
    if (builder.requestCount === 0) throw new InputError(`${label} holds no request; ${format.about}`)
    if (builder.referenceCount > 0 && builder.referenceCount === builder.trie.nodeCount) {
      assumed.push(
        'no block repeats: single turns of multi-turn data, or ids that differ per request, hide reuse',
      )
    }
    const built = builder.build(traceName(label), blockTokens)
    const tree = reblocked(this.#sorts ? sortedTree(built) : built, reblock)
    if (reblock > 1) assumed.push(`${reblock} blocks joined to one of ${tree.blockTokens} tokens`)
    const idOf =
      this.#keepIds && reblock === 1 && !this.#sorts ? (node: number) => builder.trie.idOf(node) : null
    return { tree, format: format.name, assumed, skippedCount, idOf }
  }

  #open(head: Head): Feed {
    const { format: told, blockTokens, sessionSpread, idleCut, isolateSessions, skipBad } = this.#options
    const format = formatOf(told, head)
    this.#format = format
    this.#assumed.push(`read as ${format.name}${told === null ? ' (by its first line)' : ''}`)
    const context: ReaderContext = {
      builder: this.#builder,
      blockTokens,
      seed: 1,
      sessions: { spreadHours: sessionSpread, idleCutMinutes: idleCut, isolated: isolateSessions },
      sortByArrival: () => {
        this.#sorts = true
      },
      assume: (sentence) => void this.#assumed.push(sentence),
    }
    return openFeed(format, context, skipBad)
  }
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

/** `mooncake-conversation` for `mooncake-conversation.jsonl.gz`. */
function traceName(label: string): string {
  return label.replace(/\.(gz|zst|xz)$/, '').replace(/\.(jsonl|json|csv|tar|tgz|log|txt|msgpack)$/, '')
}
