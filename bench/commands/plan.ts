import { defineCommand } from '../command.ts'
import { UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import { siteFields, siteOf } from '../plan/fields.ts'
import { findModel } from '../plan/find.ts'
import type { KvShape } from '../plan/model.ts'
import { makePlan } from '../plan/plan.ts'
import { planReport } from '../plan/report.ts'
import { Progress } from '../progress.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { inputFields, loadTree, mustNameBlocks, noteAssumed } from '../trace/load.ts'

/** Tiers that a plan can do without. */
const leftOut = ['host', 'nvme', 's3'] as const

export const command = defineCommand({
  name: 'plan',
  summary: 'what to buy: tier sizes for a trace, a model, an engine, prices and a goal, and why',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
    ...inputFields,
    ...siteFields,
    without: {
      kind: 'list',
      placeholder: 'A,B',
      fallback: [],
      about: `Tiers not to use: ${leftOut.join(', ')}.`,
    },
    ...outputFields,
  },
  examples: [
    {
      line: 'plan trace.jsonl.gz --model llama-3-70b --hbm-bytes 320GB',
      about: 'Cheapest tiers for a 70B model.',
    },
    {
      line: 'plan trace.jsonl.gz --model ./config.json --kv-dtype fp8 --ttft 500',
      about: 'With a goal: 95 % of first tokens within 500 ms.',
    },
    {
      line: 'plan trace.jsonl.gz --without s3 --nvme-rate 12 --html plan.html',
      about: 'As a page with plots.',
    },
  ],
  run: async (operands, options, io) => {
    for (const name of options.without) {
      if (leftOut.some((known) => known === name)) continue
      throw new UsageError(
        `--without: unknown "${name}"; one of ${leftOut.join(', ')}.${suggestion(name, leftOut)}`,
      )
    }
    const shape = shapeOf(options)
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    mustNameBlocks(loaded)
    const site = siteOf(options, shape.bytesPerToken)
    const allowed = {
      host: !options.without.includes('host'),
      nvme: !options.without.includes('nvme'),
      s3: !options.without.includes('s3'),
    }
    const progress = new Progress('trying tier sizes', io)
    const plan = await makePlan(loaded.tree, site, allowed, (share) => progress.step(share))
    progress.end()
    return emitReport(planReport(loaded.tree, shape, plan, loaded.assumed), options, io)
  },
})

function shapeOf(options: { model: string; kvDtype: string; kvBytesPerToken: number | null }): KvShape {
  if (options.kvBytesPerToken === null) return findModel(options.model, options.kvDtype)
  const notes = ['KV bytes per token as told']
  const layers = { fullLayers: 0, windowLayers: 0, stateLayers: 0, windowBytes: 0 }
  return { name: 'the model', bytesPerToken: options.kvBytesPerToken, ...layers, notes }
}
