import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { KvFailure } from '../../tiers/block/failures.ts'
import {
  type OptionTable,
  type OptionValues,
  optionsInEnvironment,
  optionsInFile,
  optionsInWords,
  settleOptions,
} from '../../tiers/block/option.ts'

/** Options of `terrace up`: what a person sets on one machine. Everything else has its own part's options, which the config
 *  file can hold in the part's own section. */
export const upFields = {
  port: {
    unit: 'count',
    fallback: 8080,
    min: 1,
    max: 65_535,
    about: 'Port of the OpenAI-compatible frontend.',
  },
  host: {
    unit: 'text',
    fallback: '127.0.0.1',
    about: 'Address the frontend listens on. Another than loopback needs --keys-file.',
  },
  data: {
    unit: 'path',
    fallback: null,
    fallbackAbout: '.terrace/data in the checkout',
    about: 'Directory for blocks, logs and sockets.',
  },
  engines: { unit: 'count', fallback: 2, min: 1, max: 16, about: 'How many llama-servers to start.' },
  model: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE.gguf',
    fallbackAbout: 'SmolLM2-135M-Instruct, fetched once',
    about: 'Model to serve.',
  },
  llamaServer: {
    unit: 'path',
    fallback: null,
    fallbackAbout: 'the one on PATH, else built once',
    about: 'A llama-server binary of your own.',
  },
  context: {
    unit: 'count',
    fallback: 8_192,
    min: 256,
    max: 1_048_576,
    about: 'Tokens that one slot of an engine holds.',
  },
  parallel: {
    unit: 'count',
    fallback: 2,
    min: 1,
    max: 64,
    about: 'Slots per engine: requests it works on at once.',
  },
  hostBytes: {
    unit: 'bytes',
    fallback: null,
    min: 64 * 2 ** 20,
    max: 2 ** 46,
    fallbackAbout: 'a quarter of the free memory',
    about: 'Size of the host tier.',
  },
  nvmeBytes: {
    unit: 'bytes',
    fallback: null,
    min: 0,
    max: 2 ** 50,
    fallbackAbout: '8GiB, or half of what the disk has free',
    about: 'Size of the NVMe tier; 0 switches it off.',
  },
  s3: {
    unit: 'text',
    fallback: null,
    placeholder: 's3://BUCKET/PREFIX?endpoint=URL',
    about: 'S3 tier. Credentials come from the environment, never from here.',
  },
  keysFile: { unit: 'path', fallback: null, about: 'API keys and their tenants; see router/README.md.' },
  secretFile: {
    unit: 'path',
    fallback: null,
    about: 'Secret that block keys are made with; nodes that share a bucket share it.',
  },
  config: { unit: 'path', fallback: null, about: 'Config file (JSON) with a section per part.' },
} as const satisfies OptionTable

export type UpOptions = OptionValues<typeof upFields>

/** The checkout (or installed package) this program runs from. */
export const homeDirectory = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** Where things are kept that a fresh checkout has to fetch or build. */
export const cacheDirectory = join(homeDirectory, '.terrace')

export function dataDirectoryOf(given: string | null): string {
  const path = given ?? join(cacheDirectory, 'data')
  return isAbsolute(path) ? path : join(process.cwd(), path)
}

export type UpRead = {
  readonly help: boolean
  readonly options: UpOptions
  readonly configFile: string | null
}

/** Options from the command line, the environment and the config file, in this order. */
export function readUpOptions(words: readonly string[]): UpRead {
  const given = optionsInWords(upFields, words)
  const environment = optionsInEnvironment(upFields, process.env)
  const configFile = settleOptions(upFields, [given.values, environment]).config
  const sources = [given.values, environment]
  if (configFile !== null && !given.help)
    sources.push(optionsInFile(upFields, 'up', configFile, textOf(configFile)))
  return { help: given.help, options: settleOptions(upFields, sources), configFile }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new KvFailure('KVT_CONFIG_BAD', {
      why: `${file} cannot be read (${code}): give the path of a JSON file`,
    })
  }
}
