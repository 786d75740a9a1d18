import { defineCommand } from '../command.ts'
import { Interrupted, UsageError } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { suggestion } from '../nearest.ts'
import { Progress } from '../progress.ts'
import { makingTrace, type Recipe } from '../synthesize/make.ts'
import { type Workload, workloads } from '../synthesize/workload.ts'
import type { TraceTree } from '../trace/trace.ts'
import { nativeText, plainNaming, traceOutputField, writeText } from '../trace/write.ts'

/** Requests of one made-up trace, at most. Why: all of them are in memory until they are sorted by time. */
const requestsMax = 5_000_000

const names = workloads.map(({ name }) => name)

export const command = defineCommand({
  name: 'synthesize',
  summary: `a made-up trace from a seed: ${names.join(', ')}, or several as tenants`,
  operand: null,
  options: {
    kind: {
      kind: 'list',
      placeholder: 'A,B',
      fallback: ['chat'],
      about: `Kinds of traffic; each is a tenant. ${workloads.map(({ name, about }) => `${name}: ${about}`).join('; ')}.`,
    },
    minutes: {
      kind: 'number',
      placeholder: 'N',
      unit: 'minutes',
      fallback: 60,
      min: 0.01,
      max: 1e6,
      about: 'Length of the trace.',
    },
    rate: {
      kind: 'number',
      placeholder: 'N',
      unit: 'requests/s',
      fallback: 2,
      min: 1e-4,
      max: 1e5,
      about: 'Requests per second, about, shared evenly by the kinds.',
    },
    blockTokens: {
      kind: 'number',
      placeholder: 'N',
      unit: 'tokens',
      fallback: 512,
      min: 1,
      max: 65_536,
      whole: true,
      about: 'Tokens per block.',
    },
    inputTokensMax: {
      kind: 'number',
      placeholder: 'N',
      unit: 'tokens',
      fallback: 200_000,
      min: 1_000,
      max: 1e8,
      whole: true,
      about: 'Longest prompt.',
    },
    seed: {
      kind: 'number',
      placeholder: 'N',
      unit: '',
      fallback: 1,
      min: 0,
      max: 2 ** 31,
      whole: true,
      about: 'The same seed gives the same trace on every machine.',
    },
    output: traceOutputField,
  },
  examples: [
    {
      line: 'synthesize --kind agent --minutes 30 --output agents.jsonl.gz',
      about: 'Half an hour of agents.',
    },
    {
      line: 'synthesize --kind chat,documents,scan --rate 5 | terrace bench analyze -',
      about: 'Three tenants.',
    },
  ],
  run: async (_operands, options, io) => {
    const kinds = [...new Set(options.kind)].map(workloadNamed)
    if (kinds.length === 0) throw new UsageError('--kind names no kind of traffic')
    const { rate, blockTokens, inputTokensMax, seed } = options
    const spanMs = options.minutes * 60_000
    const about = Math.round((rate * spanMs) / 1_000)
    if (about > requestsMax) {
      throw new UsageError(`--minutes, --rate: about ${about} requests; at most ${requestsMax} fit in memory`)
    }
    const tree = await makeWatched({ kinds, spanMs, rate, blockTokens, inputTokensMax, seed }, io)
    await writeText(
      options.output,
      nativeText(tree, plainNaming(tree), () => true),
      io,
    )
    io.note(
      `${tree.requestCount} requests, ${tree.referenceCount} block references, ${tree.nodeCount} distinct blocks\n`,
    )
    return 0
  },
})

async function makeWatched(recipe: Recipe, io: BenchIo): Promise<TraceTree> {
  const progress = new Progress('making requests', io)
  const making = makingTrace('synthesized', recipe)
  for (;;) {
    const next = making.next()
    if (next.done === true) {
      progress.end()
      return next.value
    }
    if (!(await progress.step(next.value))) throw new Interrupted()
  }
}

function workloadNamed(name: string): Workload {
  const found = workloads.find((workload) => workload.name === name)
  if (found !== undefined) return found
  throw new UsageError(`--kind: unknown "${name}" (${names.join(', ')}).${suggestion(name, names)}`)
}
