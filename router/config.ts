import { KvFailure } from '../tiers/block/failures.ts'
import { requestReceiveMsMax, workersMax } from '../tiers/block/limits.ts'
import {
  type OptionTable,
  type OptionValues,
  optionsInEnvironment,
  optionsInFile,
  optionsInWords,
  settleOptions,
} from '../tiers/block/option.ts'
import type { HelpPage } from '../tiers/block/option-help.ts'
import { type ApiKeys, readKeys } from './tenant.ts'
import { type WorkerWanted, workerProblem } from './workers.ts'

/** Daemons one router listens to. */
const daemonsMax = 1_024

/** Why: a short one is guessed. */
const adminTokenLengthMin = 16

/** Everything that can be set on a router: parser, `--help` and the reference in the README are made from
 *  these rows. */
export const routerFields = {
  config: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    about: 'JSON file with a "router" section that holds these fields by their names (firstByteMs).',
  },
  port: {
    unit: 'count',
    fallback: 8080,
    min: 0,
    max: 65_535,
    placeholder: 'PORT',
    about: 'Port for clients. 0 takes a free one and prints it.',
  },
  host: {
    unit: 'text',
    fallback: '127.0.0.1',
    placeholder: 'ADDRESS',
    about: 'Address for clients. Another than loopback needs --keys-file.',
  },
  worker: {
    unit: 'texts',
    fallback: [],
    countMax: workersMax,
    placeholder: 'NAME=URL',
    about:
      'An engine’s HTTP address, like a=http://127.0.0.1:8001. May be repeated; more can register later.',
  },
  daemon: {
    unit: 'texts',
    fallback: [],
    countMax: daemonsMax,
    placeholder: 'URL',
    about: 'Admin address of a node’s daemon: where its events and tier costs come from. May be repeated.',
  },
  keysFile: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    about:
      'JSON file with the SHA-256 of each API key, its tenant and what it may. Without it everybody is one tenant.',
  },
  allowWorkerChoice: {
    unit: 'switch',
    fallback: false,
    about: 'Let clients name the worker with the header x-terrace-worker: for tests.',
  },
  anyModel: {
    unit: 'switch',
    fallback: false,
    about:
      'While there is one model, serve it whatever model a request names, as a lone llama-server does. Answers say which it was.',
  },
  adminPort: {
    unit: 'count',
    fallback: 0,
    min: 0,
    max: 65_535,
    placeholder: 'PORT',
    about: 'Loopback port to register workers and to explain decisions. 0 takes a free one and prints it.',
  },
  adminTokenFile: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    about:
      'File with a token that the admin port then asks for ("Authorization: Bearer"): for machines with other users.',
  },
  receiveMs: {
    unit: 'ms',
    fallback: requestReceiveMsMax,
    min: 100,
    max: 600_000,
    about: 'Longest time to receive one whole request; headers get a third of it, at most 10 s.',
  },
  firstByteMs: {
    unit: 'ms',
    fallback: 300_000,
    min: 10,
    max: 3_600_000,
    about:
      'Longest wait for the first byte of an answer. A whole answer is one byte after another has been computed.',
  },
  stallMs: {
    unit: 'ms',
    fallback: 60_000,
    min: 10,
    max: 3_600_000,
    about: 'Longest silence inside an answer, of the worker or of a client that does not read.',
  },
  totalMs: {
    unit: 'ms',
    fallback: 1_800_000,
    min: 10,
    max: 86_400_000,
    about: 'Longest time of one request from its last byte in to its last byte out.',
  },
  indexBytes: {
    unit: 'bytes',
    fallback: 64 * 2 ** 20,
    min: 2 ** 20,
    max: 2 ** 34,
    about: 'Memory for the index of who holds which prefix. Full, it forgets what was not asked for of late.',
  },
  affinityMs: {
    unit: 'ms',
    fallback: 20,
    min: 0,
    max: 10_000,
    about: 'How much dearer a conversation’s own worker may be and still get it.',
  },
  decodeMsPerStream: {
    unit: 'ms',
    fallback: 10,
    min: 0,
    max: 10_000,
    about: 'What each answer that a worker is writing adds to its price.',
  },
  readyJson: {
    unit: 'switch',
    fallback: false,
    about: 'Print one line of JSON on standard output when ready: url, port, adminPort.',
  },
  parentPipe: {
    unit: 'switch',
    fallback: false,
    about: 'Stop when standard input ends: whoever started the router is gone.',
  },
} as const satisfies OptionTable

export const routerHelp: HelpPage = {
  usage: 'terrace router [options]',
  about:
    'Speaks the OpenAI API; sends each request where its prefix is cheapest to have. Runs until SIGINT or SIGTERM.',
  examples: [
    {
      line: 'terrace router --worker a=http://127.0.0.1:8001 --worker b=http://127.0.0.1:8002',
      about: 'In front of two engines, on http://127.0.0.1:8080.',
    },
    {
      line: 'terrace router --worker a=http://127.0.0.1:8001 --daemon http://127.0.0.1:9001',
      about: 'With the events of the node’s daemon: requests go where their prefix is.',
    },
    {
      line: 'terrace router --host 0.0.0.0 --keys-file keys.json',
      about: 'For other machines; workers register themselves at the admin port.',
    },
  ],
}

type Raw = OptionValues<typeof routerFields>
declare const checked: unique symbol
/** Complete and checked: only `readRouterConfig` makes one. */
export type RouterConfig = Omit<Raw, 'config' | 'worker' | 'daemon' | 'keysFile' | 'adminTokenFile'> & {
  readonly workers: readonly WorkerWanted[]
  readonly daemons: readonly string[]
  readonly keys: ApiKeys | null
  readonly adminToken: string | null
  readonly [checked]: true
}

/** The text of a file, or why there is none. */
export type ReadText = (path: string) => { readonly text: string } | { readonly why: string }

/** The configuration from command line, environment and file, in that order; null when `--help` was asked
 *  for. */
export function readRouterConfig(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  readText: ReadText,
): RouterConfig | null {
  const given = optionsInWords(routerFields, words)
  if (given.help) return null
  const sources = [given.values, optionsInEnvironment(routerFields, environment)]
  const file = settleOptions(routerFields, sources).config
  if (file !== null) {
    sources.push(optionsInFile(routerFields, 'router', file, textOf(readText, file, '--config')))
  }
  return complete(settleOptions(routerFields, sources), readText)
}

function complete(raw: Raw, readText: ReadText): RouterConfig {
  const { config: _file, worker, daemon, keysFile, adminTokenFile, ...rest } = raw
  const keys = keysFile === null ? null : keysIn(textOf(readText, keysFile, '--keys-file'), keysFile)
  if (keys === null && !isLoopback(raw.host)) {
    throw bad(`--host ${raw.host} is reachable from other machines: give --keys-file, or bind 127.0.0.1`)
  }
  const adminToken =
    adminTokenFile === null ? null : textOf(readText, adminTokenFile, '--admin-token-file').trim()
  if (adminToken !== null && adminToken.length < adminTokenLengthMin) {
    throw bad(`${adminTokenFile}: a token has at least ${adminTokenLengthMin} characters`)
  }
  const workers = worker.map(workerIn)
  const names = new Set(workers.map(({ name }) => name))
  if (names.size < workers.length) throw bad('--worker: two workers have the same name')
  const config = { ...rest, workers, daemons: daemon.map(daemonIn), keys, adminToken }
  // The brand has no value at run time.
  return config as unknown as RouterConfig
}

function keysIn(text: string, file: string): ApiKeys {
  const read = readKeys(text)
  if (read.as === 'refused') throw bad(`${file}: ${read.why}`)
  return read.keys
}

function textOf(readText: ReadText, file: string, option: string): string {
  const read = readText(file)
  if ('why' in read) throw bad(`${file} cannot be read (${read.why}): correct ${option}`)
  return read.text
}

function workerIn(word: string): WorkerWanted {
  const cut = word.indexOf('=')
  if (cut < 1) throw bad('--worker: must be NAME=URL, like a=http://127.0.0.1:8001')
  const wanted = { name: word.slice(0, cut), url: word.slice(cut + 1), model: null, leaseMs: null }
  const problem = workerProblem(wanted)
  if (problem !== null) throw bad(`--worker: ${problem}`)
  return wanted
}

function daemonIn(word: string): string {
  const problem = workerProblem({ name: 'daemon', url: word, model: null, leaseMs: null })
  if (problem !== null) throw bad(`--daemon: ${problem}`)
  return new URL(word).origin
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function bad(why: string): KvFailure {
  return new KvFailure('KVT_CONFIG_BAD', { why })
}
