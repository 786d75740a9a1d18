import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { KvFailure } from '../../../tiers/block/failures.ts'
import {
  type GivenOptions,
  type OptionTable,
  type OptionValues,
  optionsInEnvironment,
  optionsInWords,
  settleOptions,
} from '../../../tiers/block/option.ts'
import type { HelpPage } from '../../../tiers/block/option-help.ts'
import { threadShare } from './engine/arguments.ts'

const checkout = resolve(import.meta.dirname, '../../..')

/** Options of `terrace engine llama`. */
export const engineFields = {
  listen: {
    unit: 'text',
    fallback: '127.0.0.1:0',
    placeholder: 'HOST:PORT',
    about: 'Where clients and the router reach this engine. Port 0 takes a free one, which is printed.',
  },
  url: {
    unit: 'url',
    schemes: ['http', 'https'],
    fallback: null,
    about: 'A llama-server of your own that runs already. Absent: one is started and kept alive.',
  },
  slots: {
    unit: 'path',
    fallback: null,
    fallbackAbout: 'a folder of its own on /dev/shm',
    about: 'Folder for slot files. With --url: what your llama-server has as --slot-save-path.',
  },
  daemon: {
    unit: 'path',
    fallback: null,
    placeholder: 'SOCKET',
    about: "The daemon's unix socket. Absent: the engine works alone, and nothing is kept outside its slots.",
  },
  model: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE.gguf',
    fallbackAbout: 'a small model, fetched once',
    about:
      'Model to serve. With --url: the file that your llama-server serves, when it cannot be found by itself.',
  },
  modelName: {
    unit: 'text',
    fallback: null,
    fallbackAbout: "the file's name",
    about: 'Name of the model in answers and in the cache. Engines that share blocks must use the same.',
  },
  llamaServer: {
    unit: 'path',
    fallback: null,
    placeholder: 'PATH',
    fallbackAbout: 'llama-server on PATH, else one is built',
    about: 'The llama-server program to start.',
  },
  context: { unit: 'count', fallback: 8_192, min: 128, max: 1_048_576, about: 'Tokens that one slot holds.' },
  parallel: { unit: 'count', fallback: 2, min: 1, max: 64, about: 'Slots: requests computed at once.' },
  threads: {
    unit: 'count',
    fallback: null,
    min: 1,
    max: 1_024,
    fallbackAbout: 'all cores',
    about:
      'Threads of llama-server. Several engines on one machine need a share each: more threads than cores is very slow.',
  },
  name: { unit: 'text', fallback: 'engine', about: 'Name of this engine for the router and in logs.' },
  data: {
    unit: 'path',
    fallback: resolve(checkout, '.terrace/data'),
    fallbackAbout: '.terrace/data in the checkout',
    about: 'Folder for logs and what is remembered of models.',
  },
  tools: {
    unit: 'path',
    fallback: resolve(checkout, '.terrace'),
    fallbackAbout: '.terrace in the checkout',
    about: 'Folder for what is built and fetched once.',
  },
  tokenFile: {
    unit: 'path',
    fallback: null,
    about: 'File with a token that a router on another machine shows to name tenants.',
  },
  readyJson: {
    unit: 'switch',
    fallback: false,
    about: 'Print one line of JSON on standard output when ready.',
  },
  parentPipe: { unit: 'switch', fallback: false, about: 'Stop when standard input ends, for supervisors.' },
} as const satisfies OptionTable

export type EngineValues = OptionValues<typeof engineFields>
export type EngineConfig = EngineValues & {
  readonly host: string
  readonly port: number
  readonly threadCount: number
}

export const engineHelp: HelpPage = {
  usage: 'terrace engine llama [options]',
  about:
    'Serves a model with an unchanged llama-server behind an adapter that keeps its KV cache: prompts whose beginning was ' +
    'computed before, by this engine or another, are loaded instead of computed, and the answers stay the same.',
  examples: [
    {
      line: 'terrace engine llama --listen 127.0.0.1:9001 --daemon .terrace/data/daemon.sock',
      about: 'Starts llama-server with the small model and attaches it to a daemon.',
    },
    {
      line: 'terrace engine llama --model models/qwen.gguf --context 32768 --parallel 4',
      about: 'Serves a model of yours with four slots of 32,768 tokens.',
    },
    {
      line: 'terrace engine llama --url http://127.0.0.1:8080 --slots /dev/shm/slots --daemon SOCKET',
      about:
        'Puts the adapter in front of your own llama-server, started with --slot-save-path /dev/shm/slots --cache-ram 0.',
    },
  ],
}

/** Reads words and environment; null when help was asked for. Throws KVT_CONFIG_BAD with one sentence. */
export function engineConfig(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): EngineConfig | null {
  const given = optionsInWords(engineFields, words)
  return given.help ? null : checked([given.values, optionsInEnvironment(engineFields, environment)])
}

function checked(sources: readonly GivenOptions[]): EngineConfig {
  const values = settleOptions(engineFields, sources)
  const bad = (why: string): KvFailure => new KvFailure('KVT_CONFIG_BAD', { why })
  const at = values.listen.lastIndexOf(':')
  const host = values.listen.slice(0, at).replace(/^\[|\]$/g, '')
  const port = Number(values.listen.slice(at + 1))
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw bad(`--listen: "${values.listen}" is not HOST:PORT, for example 127.0.0.1:9001`)
  }
  if (!/^[\w.@-]{1,64}$/.test(values.name)) throw bad('--name: 1 to 64 letters, digits or . _ @ -')
  if (values.url !== null && values.llamaServer !== null) {
    throw bad('--llama-server starts a server and --url names one that runs: give one of them')
  }
  if (values.url !== null && values.slots === null) {
    throw bad('--url needs --slots: the folder that your llama-server has as --slot-save-path')
  }
  return { ...values, host, port, threadCount: values.threads ?? threadShare(availableParallelism(), 1) }
}
