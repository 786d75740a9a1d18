import { defineCommand } from '../command.ts'
import { UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import { makeTrace } from '../synthesize/make.ts'
import { type Workload, workloads } from '../synthesize/workload.ts'
import { nativeText, plainNaming, writeText } from '../trace/write.ts'

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
    output: {
      kind: 'text',
      placeholder: 'FILE',
      fallback: '-',
      about: 'File to write, compressed when it ends in .gz or .zst; - is standard output.',
    },
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
    const tree = makeTrace('synthesized', {
      kinds,
      spanMs: options.minutes * 60_000,
      rate: options.rate,
      blockTokens: options.blockTokens,
      inputTokensMax: options.inputTokensMax,
      seed: options.seed,
    })
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

function workloadNamed(name: string): Workload {
  const found = workloads.find((workload) => workload.name === name)
  if (found !== undefined) return found
  throw new UsageError(`--kind: unknown "${name}" (${names.join(', ')}).${suggestion(name, names)}`)
}
