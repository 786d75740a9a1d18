import { setFlagsFromString } from 'node:v8'
import type { Native } from './addon/native.ts'
import { realWorld, type World } from './tiers/block/clock.ts'
import { KvFailure } from './tiers/block/failures.ts'
import { nearestWord } from './tiers/block/nearest.ts'

/** Node 24's middle compiler can leave compiled code between the fields of an object literal such that the next object made there
 *  overwrites the numbers of this one: right sums under the wrong names, once in some hundred runs of our own tests. The two
 *  other compilers do not, and without it nothing here is slower. */
setFlagsFromString('--no-maglev')

/** `terrace <word>`: parses the first word and hands the rest to the one folder that knows it. */

type Word = {
  readonly about: string
  readonly run: (words: readonly string[], world: World) => Promise<number>
}

const words: Readonly<Record<string, Word>> = {
  up: {
    about: 'everything on this machine: daemon, engines, router, supervised',
    run: async (rest, world) => (await import('./daemon/up/up.ts')).upMain(rest, world),
  },
  daemon: {
    about: 'the per-node daemon that keeps KV blocks in memory, on NVMe and in S3',
    run: async (rest, world) => (await import('./daemon/main.ts')).daemonMain(rest, world),
  },
  router: {
    about: 'the OpenAI-compatible frontend that sends a request where its prefix is',
    run: async (rest, world) => (await import('./router/main.ts')).routerMain(rest, world),
  },
  engine: {
    about: 'an engine with its adapter: "terrace engine llama"',
    run: async (rest, world) => {
      const { engineMain } = await import('./daemon/adapters/llama/main.ts')
      return await engineMain(rest, world, await nativeOrNull())
    },
  },
  bench: {
    about: 'hit rates, capacity plans and live measurements',
    run: async (rest) => (await import('./bench/main.ts')).benchMain(rest),
  },
  status: {
    about: 'a live view: engines, tiers, hits, requests',
    run: async (rest, world) => (await import('./daemon/up/status.ts')).statusMain(rest, world),
  },
  doctor: {
    about: 'what is missing on this machine, what it costs, how to get it',
    run: async (rest, world) => (await import('./daemon/up/doctor.ts')).doctorMain(rest, world),
  },
  demo: {
    about: 'asks a running system about a long document and shows where the tokens came from',
    run: async (rest, world) => (await import('./daemon/up/demo.ts')).demoMain(rest, world),
  },
  docs: {
    about: 'writes the tables in the READMEs that are made from the source (for developers)',
    run: async () => (await import('./daemon/reference.ts')).docsMain(),
  },
}

/** The addon, or null with a line that says what its absence means: an engine serves without it, only without cache. */
async function nativeOrNull(): Promise<Native | null> {
  const { loadNative } = await import('./addon/load.ts')
  try {
    return loadNative()
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error
    process.stderr.write(`terrace engine: no block can be moved: ${error.message}\n`)
    return null
  }
}

function overview(): string {
  const lines = ['Usage: terrace <word> [options]', '']
  for (const [word, { about }] of Object.entries(words)) lines.push(`  ${word.padEnd(8)} ${about}`)
  lines.push('', 'Each word has --help. Start with: terrace up', '')
  return lines.join('\n')
}

async function main(argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv
  if (word === undefined || word === 'help' || word === '--help' || word === '-h') {
    process.stdout.write(overview())
    return 0
  }
  const known = Object.hasOwn(words, word) ? words[word] : undefined
  if (known === undefined) {
    const nearest = nearestWord(word, Object.keys(words))
    const hint = nearest === null ? 'see "terrace --help"' : `did you mean "${nearest}"?`
    process.stderr.write(`terrace: unknown word "${word.slice(0, 40)}": ${hint}\n`)
    return 2
  }
  try {
    return await known.run(rest, realWorld)
  } catch (error) {
    // SetupProblem and KvFailure carry one sentence for the person at the keyboard; anything else is a bug of ours.
    const told = error instanceof KvFailure || (error instanceof Error && error.name === 'SetupProblem')
    if (!told) throw error
    process.stderr.write(`terrace ${word}: ${error.message}\n`)
    return 1
  }
}

process.exitCode = await main(process.argv.slice(2))
