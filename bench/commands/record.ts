import { randomBytes } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { realWorld } from '../../tiers/block/clock.ts'
import { defineCommand } from '../command.ts'
import { InputError, reasonOf, UsageError } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { RecordBook } from '../record/book.ts'
import { followDaemon } from '../record/events.ts'
import { openRecordingProxy } from '../record/proxy.ts'

export const command = defineCommand({
  name: 'record',
  summary: 'a trace of your own traffic, without text: in front of an OpenAI endpoint, or from a daemon',
  operand: null,
  options: {
    upstream: {
      kind: 'text',
      placeholder: 'URL',
      fallback: null,
      about: 'OpenAI endpoint to stand in front of: clients then call the port of the recorder.',
    },
    port: {
      kind: 'number',
      placeholder: 'N',
      unit: '',
      fallback: 0,
      min: 0,
      max: 65_535,
      whole: true,
      about: 'Port of the recorder, on loopback; 0 takes a free one and says which.',
    },
    daemon: {
      kind: 'text',
      placeholder: 'URL',
      fallback: null,
      about:
        'Admin address of a daemon: records what it stores. That shows no hits: for what-if questions use --upstream.',
    },
    output: {
      kind: 'text',
      placeholder: 'FILE',
      fallback: '-',
      about: 'File to write native lines to; - is standard output.',
    },
    seconds: {
      kind: 'number',
      placeholder: 'N',
      unit: 'seconds',
      fallback: null,
      min: 0.1,
      max: 1e9,
      about: 'Stop after this time; without it, on Ctrl-C.',
    },
    salt: {
      kind: 'text',
      placeholder: 'TEXT',
      fallback: null,
      about: 'Secret for the block ids; two recordings can be joined only with the same. Without it: random.',
    },
  },
  examples: [
    {
      line: 'record --upstream http://127.0.0.1:8080/v1 --port 9000 --output mine.jsonl',
      about: 'Then point clients at port 9000.',
    },
    {
      line: 'record --daemon http://127.0.0.1:7070 --seconds 600 --output stored.jsonl',
      about: 'What a daemon stores in ten minutes.',
    },
  ],
  run: async (_operands, options, io) => {
    if ((options.upstream === null) === (options.daemon === null)) {
      throw new UsageError('record needs one of --upstream URL and --daemon URL')
    }
    const broken = new AbortController()
    const sink = openSink(options.output, io, () => broken.abort())
    const startMs = io.nowMs()
    const elapsedMs = (): number => io.nowMs() - startMs
    const stop = AbortSignal.any([stopAfter(options.seconds, io), broken.signal])
    try {
      if (options.daemon !== null) {
        const why = await followDaemon(
          addressOf('--daemon', options.daemon).origin,
          elapsedMs,
          sink.write,
          stop,
        )
        sink.check()
        if (sink.count() === 0 && why !== 'stopped') throw new InputError(why)
        io.note(`${sink.count()} chains recorded; ${why}\n`)
        return 0
      }
      const salt = options.salt === null ? randomBytes(32) : Buffer.from(options.salt, 'utf8')
      const book = new RecordBook(salt, sink.write)
      const upstream = addressOf('--upstream', options.upstream ?? '')
      const proxy = await openRecordingProxy(upstream, options.port, book, elapsedMs).catch(
        (error: unknown) => {
          throw new InputError(`--port ${options.port}: ${reasonOf(error)}`)
        },
      )
      io.note(`recording: http://127.0.0.1:${proxy.port}/v1 in front of ${upstream.origin}\n`)
      await aborted(stop)
      await proxy.stop()
      book.end()
      sink.check()
      io.note(`${book.written} requests recorded\n`)
      return 0
    } finally {
      sink.close()
    }
  },
})

function addressOf(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`${option}: "${text}" is no http address, such as http://127.0.0.1:8080/v1`)
  }
  return url
}

/** A signal that ends with Ctrl-C or after the given time. */
function stopAfter(seconds: number | null, io: BenchIo): AbortSignal {
  if (seconds === null) return io.stop
  const timed = new AbortController()
  realWorld.after(seconds * 1_000, () => timed.abort())
  return AbortSignal.any([io.stop, timed.signal])
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}

/** Where lines go. Each is written at once, so that an end of any kind loses none. A line that cannot be written ends the
 *  recording: `check` says why. */
function openSink(path: string, io: BenchIo, broke: () => void) {
  let count = 0
  let problem: InputError | null = null
  const check = (): void => {
    if (problem !== null) throw problem
  }
  if (path === '-') {
    const write = (line: string): void => {
      count += 1
      io.out(line)
    }
    return { write, check, count: () => count, close: () => undefined }
  }
  let file: number
  try {
    file = openSync(path, 'w')
  } catch (error) {
    throw new InputError(`cannot write "${path}": ${reasonOf(error)}`)
  }
  const write = (line: string): void => {
    if (problem !== null) return
    try {
      writeSync(file, line)
      count += 1
    } catch (error) {
      problem = new InputError(`cannot write "${path}": ${reasonOf(error)}; ${count} requests are in it`)
      broke()
    }
  }
  return { write, check, count: () => count, close: () => closeSync(file) }
}
