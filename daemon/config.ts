import { isAbsolute, join, resolve } from 'node:path'
import { demotions } from '../tiers/admit.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import { segmentBytes, unixPathBytesMax } from '../tiers/block/limits.ts'
import {
  type OptionTable,
  type OptionValues,
  optionsInEnvironment,
  optionsInFile,
  optionsInWords,
  settleOptions,
  strayVariables,
} from '../tiers/block/option.ts'
import type { HelpPage } from '../tiers/block/option-help.ts'
import { sha256 } from '../tiers/block/sha256.ts'
import { defaultPolicy, policies } from '../tiers/policy/register.ts'
import { ruleNames, ruleProblem } from './admission.ts'

/** Everything that can be set on a daemon: parser, `--help` and the reference in the README are made from these rows. */
export const daemonFields = {
  config: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    about: 'JSON file with a "daemon" section that holds these fields by their names (hostBytes).',
  },
  data: {
    unit: 'path',
    fallback: null,
    placeholder: 'DIR',
    fallbackAbout: '$XDG_DATA_HOME/terrace, else ~/.local/share/terrace',
    about: 'Where blocks and their catalog lie. One daemon at a time; created with mode 700.',
  },
  hostBytes: {
    unit: 'bytes',
    fallback: null,
    min: segmentBytes,
    max: 2 ** 43,
    fallbackAbout: 'a quarter of memory, at most 8GiB',
    about: 'Memory for the host tier. Reserved at start; it never grows.',
  },
  nvmeBytes: {
    unit: 'bytes',
    fallback: null,
    min: 0,
    max: 2 ** 46,
    fallbackAbout: 'half of the free space, at most 8GiB',
    about: 'Disk space for the nvme tier, reserved at start under --data. 0 switches the tier off.',
  },
  s3: {
    unit: 'url',
    fallback: null,
    schemes: ['s3'],
    scope: 'shared',
    about:
      'Bucket of the s3 tier: s3://BUCKET/PREFIX, with ?endpoint=http://HOST:PORT behind it where it is not AWS.',
  },
  s3Bytes: {
    unit: 'bytes',
    fallback: 0,
    min: 0,
    max: 2 ** 52,
    about: 'Most that the packs of this daemon may take in the bucket. 0 sets no limit.',
  },
  s3CreateBucket: {
    unit: 'switch',
    fallback: false,
    about: 'Create the bucket when it is missing.',
  },
  secretFile: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    scope: 'shared',
    fallbackAbout: '$XDG_CONFIG_HOME/terrace/secret, else ~/.config/terrace/secret',
    about:
      'Secret that blocks are named with, 64 hex digits, created at the first start. Copy it to every node that shares a bucket.',
  },
  policy: {
    unit: 'text',
    fallback: defaultPolicy,
    choices: policies.map((entry) => entry.name),
    about: 'Which block leaves a full tier first. "terrace bench policies" explains the names.',
  },
  nvmePolicy: {
    unit: 'text',
    fallback: null,
    choices: policies.map((entry) => entry.name),
    fallbackAbout: 'the one of --policy',
    about: 'Policy of the nvme tier alone. "terrace" learns how soon which blocks come back.',
  },
  nvmeAdmission: {
    unit: 'text',
    fallback: 'all',
    placeholder: 'RULE',
    about:
      `Which blocks are written to the nvme tier: ${ruleNames} ("likely" needs a policy that learns: terrace). ` +
      'For drives that wear out.',
  },
  nvmeDemotion: {
    unit: 'text',
    fallback: 'write-through',
    choices: demotions,
    about:
      'When blocks are offered to the nvme tier: write-through as soon as they are stored or used, so that they survive a crash; ' +
      'demote when host memory gives them up, and at a stop, which writes less.',
  },
  nvmeWriteBytesPerDay: {
    unit: 'bytes',
    fallback: 0,
    min: 0,
    max: 2 ** 52,
    about:
      'Most payload bytes written to the nvme tier per day; likely and pressure become stricter as it is used. 0 sets no limit.',
  },
  s3Admission: {
    unit: 'text',
    fallback: 'all',
    placeholder: 'RULE',
    about: `Which blocks are written to the s3 tier: ${ruleNames}. They are offered when they are stored and at each use.`,
  },
  socket: {
    unit: 'path',
    fallback: null,
    fallbackAbout:
      'daemon.sock under --data; a short path under $XDG_RUNTIME_DIR or /tmp where that is too long',
    about: 'Unix socket for engines; the door for descriptors is beside it, with ".door" behind its name.',
  },
  adminPort: {
    unit: 'count',
    fallback: 0,
    min: 0,
    max: 65_535,
    placeholder: 'PORT',
    about: 'Loopback port for health, metrics, status and events. 0 takes a free one and prints it.',
  },
  node: {
    unit: 'text',
    fallback: null,
    placeholder: 'NAME',
    fallbackAbout: "the machine's name",
    about: 'Name of this node in events and status. Different for every daemon of a cluster.',
  },
  natsUrl: {
    unit: 'url',
    fallback: null,
    schemes: ['nats', 'tls'],
    about: 'NATS server to publish events on, for routers on other machines. The daemon runs without it too.',
  },
  natsToken: {
    unit: 'path',
    fallback: null,
    placeholder: 'FILE',
    about: 'File that holds the token for --nats-url.',
  },
  logJson: { unit: 'switch', fallback: false, about: 'Log lines as JSON.' },
  readyJson: {
    unit: 'switch',
    fallback: false,
    about: 'Print one line of JSON on standard output when ready: socket, door, admin port.',
  },
  parentPipe: {
    unit: 'switch',
    fallback: false,
    about: 'Stop when standard input ends: whoever started the daemon is gone.',
  },
} as const satisfies OptionTable

export const daemonHelp: HelpPage = {
  usage: 'terrace daemon [options]',
  about:
    'Keeps the KV blocks of engines on this node in memory, on NVMe and in S3. Runs until SIGINT or SIGTERM.',
  examples: [
    { line: 'terrace daemon', about: 'With a quarter of the memory and up to 8 GiB of disk.' },
    {
      line: 'terrace daemon --data /nvme/terrace --host-bytes 64GiB --nvme-bytes 1TiB',
      about: 'On a node of its own.',
    },
    {
      line: 'terrace daemon --s3 s3://kv-cache/prod --nats-url nats://broker:4222',
      about: 'With a bucket that several nodes share, and events for routers elsewhere.',
    },
  ],
}

/** What the configuration asks of the machine it runs on; tests give their own. */
export type Machine = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly name: string
  /** Folder for sockets of this user. */
  readonly runtime: string
  readonly memoryBytes: number
  /** The text of a file, or why there is none. */
  readText(path: string): { readonly text: string } | { readonly why: string }
  /** Free bytes where the path is or would be created, counting what lies in our own slab there. */
  roomBytesAt(path: string): number
  /** Size of the slab that an earlier start left in this data directory; 0 for none. */
  slabBytesIn(data: string): number
}

type Raw = OptionValues<typeof daemonFields>
declare const checked: unique symbol
/** Complete and checked: only `readDaemonConfig` makes one, so nobody checks again. */
export type DaemonConfig = Omit<
  Raw,
  'config' | 'data' | 'hostBytes' | 'nvmeBytes' | 'secretFile' | 'socket' | 'node'
> & {
  readonly data: string
  readonly hostBytes: number
  readonly nvmeBytes: number
  readonly secretFile: string
  readonly socket: string
  readonly door: string
  readonly node: string
  /** Sentences for the log: variables that look mistyped. */
  readonly warnings: readonly string[]
  readonly [checked]: true
}

const fallbackBytesMax = 8 * 2 ** 30

/** The configuration from command line, environment and file, in that order; null when `--help` was asked for. */
export function readDaemonConfig(words: readonly string[], machine: Machine): DaemonConfig | null {
  const given = optionsInWords(daemonFields, words)
  if (given.help) return null
  const environment = optionsInEnvironment(daemonFields, machine.environment)
  const sources = [given.values, environment]
  const file = settleOptions(daemonFields, sources).config
  if (file !== null) {
    const read = machine.readText(file)
    if ('why' in read) throw bad(`${file} cannot be read (${read.why}): correct --config`)
    sources.push(optionsInFile(daemonFields, 'daemon', file, read.text))
  }
  return complete(settleOptions(daemonFields, sources), machine)
}

function complete(raw: Raw, machine: Machine): DaemonConfig {
  const data = resolve(raw.data ?? join(folderOf(machine, 'XDG_DATA_HOME', '.local/share'), 'terrace'))
  const secretFile = resolve(
    raw.secretFile ?? join(folderOf(machine, 'XDG_CONFIG_HOME', '.config'), 'terrace/secret'),
  )
  const socket = resolve(raw.socket ?? socketFor(machine, data))
  const door = `${socket}.door`
  const { config: _file, ...rest } = raw
  const config = {
    ...rest,
    data,
    secretFile,
    socket,
    door,
    hostBytes: raw.hostBytes ?? memoryFor(machine.memoryBytes),
    nvmeBytes: raw.nvmeBytes ?? diskFor(machine, data),
    node: raw.node ?? machine.name,
    warnings: strayVariables(daemonFields, machine.environment),
  }
  const problem = problemOf(config, machine)
  if (problem !== null) throw bad(problem)
  return config as DaemonConfig
}

/** What the fields must be to each other. */
function problemOf(config: Omit<DaemonConfig, typeof checked>, machine: Machine): string | null {
  if (config.hostBytes > machine.memoryBytes) {
    const memory = `${Math.floor(machine.memoryBytes / 2 ** 20)}MiB`
    return `--host-bytes: is more than the memory of this machine (${memory}): give less than half of it`
  }
  if (config.nvmeBytes > 0 && config.nvmeBytes < segmentBytes) {
    return `--nvme-bytes: must be 0 (off) or at least ${segmentBytes / 2 ** 20}MiB`
  }
  if (Buffer.byteLength(config.door) > unixPathBytesMax) {
    return `--socket: is too long for a unix socket: at most ${unixPathBytesMax - '.door'.length} bytes`
  }
  if (config.s3 === null && (config.s3Bytes > 0 || config.s3CreateBucket)) {
    return '--s3-bytes, --s3-create-bucket: need --s3'
  }
  const rules = ruleProblem(config)
  if (rules !== null) return rules
  if (config.natsUrl === null && config.natsToken !== null) return '--nats-token: needs --nats-url'
  if (!/^[\w.-]{1,128}$/.test(config.node)) {
    return '--node: must be 1 to 128 letters, digits, dots, hyphens or underscores'
  }
  if (isWithin(config.data, config.secretFile)) {
    return '--secret-file: must lie outside --data: it names the blocks in S3, which outlive the data here'
  }
  return null
}

function memoryFor(memoryBytes: number): number {
  const quarter = Math.min(fallbackBytesMax, memoryBytes / 4)
  return Math.max(1, Math.floor(quarter / segmentBytes)) * segmentBytes
}

/** The size of an earlier slab is kept: a start on a fuller disk must not throw a warm cache away. */
function diskFor(machine: Machine, data: string): number {
  const earlier = machine.slabBytesIn(data)
  if (earlier > 0) return earlier
  const half = Math.min(fallbackBytesMax, machine.roomBytesAt(data) / 2)
  return Math.floor(half / segmentBytes) * segmentBytes
}

/** Beside the data, or, where that path is too long for a socket, in a folder of the user's with a name made from it. */
function socketFor(machine: Machine, data: string): string {
  const beside = join(data, 'daemon.sock')
  if (Buffer.byteLength(`${beside}.door`) <= unixPathBytesMax) return beside
  const name = Buffer.from(sha256(new TextEncoder().encode(data)))
    .toString('hex')
    .slice(0, 16)
  return join(machine.runtime, `${name}.sock`)
}

function folderOf(machine: Machine, variable: string, under: string): string {
  const given = machine.environment[variable]
  // The XDG rules: a relative path is to be ignored.
  if (given !== undefined && isAbsolute(given)) return given
  return join(machine.home, under)
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function bad(why: string): KvFailure {
  return new KvFailure('KVT_CONFIG_BAD', { why })
}
