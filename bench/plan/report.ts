import { traceContext } from '../report/context.ts'
import { shown } from '../report/format.ts'
import { quantilesIn, shareLine } from '../report/quantiles.ts'
import type { Cell, Column, Curves, Facts, Report, Section, Table } from '../report/report.ts'
import type { TraceTree } from '../trace/trace.ts'
import { type Cost, runsPerMonth, type TierBytes } from './cost.ts'
import type { KvShape } from './model.ts'
import { sizeHeat, sourceStack } from './pictures.ts'
import type { Plan } from './plan.ts'
import { breakEvens, reasons } from './reasons.ts'
import type { Option } from './search.ts'

export function planReport(tree: TraceTree, shape: KvShape, plan: Plan, assumed: readonly string[]): Report {
  const { best, alone } = plan.search
  const sections: Section[] = [
    recommendation(tree, plan),
    { kind: 'words', title: 'Why', lines: reasons(plan, shape) },
    neighbourTable(tree, plan),
    costTable(plan),
    breakEvenTable(plan),
    costCurve(plan),
    sizeHeat(plan),
    hitCurve(tree, plan),
    sourceStack(plan),
    ttftCurve(plan),
  ]
  const json = {
    trace: tree.name,
    model: shape,
    site: plan.site,
    triedCount: plan.search.triedCount,
    prefillSecondsSaved: alone.outcome.prefillSeconds - best.outcome.prefillSeconds,
    best: { ...optionJson(tree, plan, best, plan.bytes), blockHitRates: plan.blockHitRates },
    alone: optionJson(tree, plan, alone, { host: 0, nvme: 0, s3: 0 }),
    neighbours: plan.neighbours.map(({ name, option, bytes }) => ({
      name,
      ...optionJson(tree, plan, option, bytes),
    })),
    activity: plan.activity,
    breakEven: breakEvens(plan.site),
    engines: { goal: plan.engines, goalAlone: plan.enginesAlone, busy: plan.busy, busyAlone: plan.busyAlone },
    ttftSeconds: { engines: plan.enginesShown, ...quantilesIn(plan.ttft) },
    ttftAloneSeconds: { engines: plan.enginesShown, ...quantilesIn(plan.ttftAlone) },
    frontier: plan.search.frontier.map((option) => frontierJson(plan, option)),
    why: reasons(plan, shape),
  }
  return {
    command: 'plan',
    title: `Tiers for ${tree.name} on ${shape.name}`,
    json,
    sections,
    context: planContext(plan, shape, assumed),
    partial: plan.partial,
  }
}

function planContext(plan: Plan, shape: KvShape, assumed: readonly string[]) {
  const { site } = plan
  return traceContext({
    definition:
      'tokens of the longest ready prefix that are loaded because loading beats computing, over input tokens',
    weighting: 'tokens',
    tailBlock: 'a partial tail hits only as a whole',
    concurrency: 'lookups one request at a time; times to first token with queues for links and engines',
    capacity:
      'as planned; blocks are written through: every tier is an LRU of its own size, which also holds what those above it hold',
    assumed: [
      ...assumed,
      ...shape.notes,
      `prices: ${site.prices.date}`,
      'the trace repeats for a month; nothing is known of reuse over a longer time than the trace',
      'the router always finds the engine or tier that holds the prefix; decoding runs beside prefill',
      `S3 objects of 64 MiB, read in ranges of 8 MiB; one month is 30.4375 days`,
    ],
  })
}

function hitShare(tree: TraceTree, option: Option): number {
  const { hbm, host, nvme, s3 } = option.outcome.tokens
  return (hbm + host + nvme + s3) / inputTokensOf(tree)
}

function inputTokensOf(tree: TraceTree): number {
  let sum = 0
  for (const tokens of tree.inputTokens) sum += tokens
  return Math.max(1, sum)
}

function recommendation(tree: TraceTree, plan: Plan): Facts {
  const { best, alone } = plan.search
  const { bytes, activity } = plan
  const months = runsPerMonth(plan.site, plan.spanSeconds)
  const savedHours = ((alone.outcome.prefillSeconds - best.outcome.prefillSeconds) * months) / 3_600
  const engines = plan.engines ?? plan.busy
  const ttft = quantilesIn(plan.ttft)
  const fact = (key: string, label: string, value: Cell, unit: Column['unit']) => ({
    key,
    label,
    value,
    unit,
  })
  return {
    kind: 'facts',
    title: plan.search.best === alone ? 'No tier pays' : 'Recommended',
    items: [
      fact('hostBytes', 'host memory', bytes.host, 'bytes'),
      fact('nvmeBytes', 'NVMe', bytes.nvme, 'bytes'),
      fact('s3Bytes', 'S3', bytes.s3, 'bytes'),
      fact('hitRate', 'tokens not computed', hitShare(tree, best), 'rate'),
      ...(plan.blockHitRates === null
        ? []
        : [
            fact('blocksLru', 'blocks hit in the lowest tier, LRU', plan.blockHitRates.lru, 'rate'),
            fact('blocksTerrace', 'with the default policy', plan.blockHitRates.terrace, 'rate'),
          ]),
      fact('hitRateAlone', 'with HBM alone', hitShare(tree, alone), 'rate'),
      fact('cost', 'cost per month', best.cost.total, 'dollars'),
      fact('costAlone', 'with HBM alone', alone.cost.total, 'dollars'),
      fact('engineHoursSaved', 'engine hours saved per month', Math.round(savedHours), 'count'),
      fact(
        'engines',
        plan.engines === null ? 'engines at 70 % load' : 'engines for the goal',
        engines,
        'count',
      ),
      fact('ttftP50', `TTFT p50, ${plan.enginesShown} engines`, ttft.p50, 'seconds'),
      fact('ttftP95', 'TTFT p95', ttft.p95, 'seconds'),
      fact('ttftP99', 'TTFT p99', ttft.p99, 'seconds'),
      fact('ssdWrites', 'NVMe writes per day', activity.nvmeWrittenPerDay, 'bytes'),
      fact('driveWrites', 'drive writes per day', activity.driveWritesPerDay, 'number'),
      fact('driveYears', 'years to rated wear', activity.driveYears, 'number'),
      fact('s3Puts', 'S3 writes per month', Math.round(activity.s3PutsPerMonth), 'count'),
      fact('s3Gets', 'S3 reads per month', Math.round(activity.s3GetsPerMonth), 'count'),
      fact('tried', 'tier sizes tried', plan.search.triedCount, 'count'),
    ],
  }
}

function optionJson(tree: TraceTree, plan: Plan, option: Option, bytes: TierBytes) {
  return {
    hostBytes: bytes.host,
    nvmeBytes: bytes.nvme,
    s3Bytes: bytes.s3,
    hostBlocks: bytes.host / plan.blockBytes,
    nvmeBlocks: bytes.nvme / plan.blockBytes,
    s3Blocks: bytes.s3 / plan.blockBytes,
    hitRate: hitShare(tree, option),
    tokens: option.outcome.tokens,
    tokensRefused: option.outcome.tokensRefused,
    prefillSeconds: option.outcome.prefillSeconds,
    ttftAtShareSeconds: option.outcome.ttftAtShare,
    meetsGoal: option.meets,
    costPerMonth: option.cost,
  }
}

function neighbourTable(tree: TraceTree, plan: Plan): Table {
  const row = (name: string, option: Option, bytes: TierBytes) => ({
    name,
    host: bytes.host,
    nvme: bytes.nvme,
    s3: bytes.s3,
    hitRate: hitShare(tree, option),
    ttft: option.outcome.ttftAtShare,
    gpu: option.cost.gpu,
    total: option.cost.total,
  })
  return {
    kind: 'table',
    title: 'The optimum and its neighbours',
    columns: [
      { key: 'name', title: '', unit: 'text' },
      { key: 'host', title: 'host', unit: 'bytes' },
      { key: 'nvme', title: 'NVMe', unit: 'bytes' },
      { key: 's3', title: 'S3', unit: 'bytes' },
      { key: 'hitRate', title: 'hit rate', unit: 'rate' },
      { key: 'ttft', title: `TTFT p${Math.round(plan.site.goal.share * 100)}, no queue`, unit: 'seconds' },
      { key: 'gpu', title: 'engines $/month', unit: 'dollars' },
      { key: 'total', title: 'all $/month', unit: 'dollars' },
    ],
    rows: [
      row('optimum', plan.search.best, plan.bytes),
      ...plan.neighbours.map(({ name, option, bytes }) => row(name, option, bytes)),
      row('HBM alone', plan.search.alone, { host: 0, nvme: 0, s3: 0 }),
    ],
  }
}

const costNames: readonly (readonly [keyof Cost, string])[] = [
  ['gpu', 'engine time for prefill'],
  ['dram', 'host memory'],
  ['nvme', 'NVMe'],
  ['wear', 'NVMe wear'],
  ['s3Storage', 'S3 storage'],
  ['s3Requests', 'S3 requests'],
  ['s3Egress', 'S3 egress'],
  ['total', 'all'],
]

function costTable(plan: Plan): Table {
  const { best, alone } = plan.search
  return {
    kind: 'table',
    title: 'Dollars per month',
    columns: [
      { key: 'name', title: '', unit: 'text' },
      { key: 'best', title: 'optimum', unit: 'dollars' },
      { key: 'alone', title: 'HBM alone', unit: 'dollars' },
    ],
    rows: costNames.map(([key, name]) => ({ name, best: best.cost[key], alone: alone.cost[key] })),
  }
}

function breakEvenTable(plan: Plan): Table {
  return {
    kind: 'table',
    title: 'Break-even: when a load beats prefill, and for how long keeping a block pays',
    columns: [
      { key: 'tier', title: 'tier', unit: 'text' },
      { key: 'tokensPerSecond', title: 'load tokens/s', unit: 'number' },
      { key: 'timesPrefill', title: 'times prefill', unit: 'number' },
      { key: 'tokensMin', title: 'prefix tokens from', unit: 'tokens' },
      { key: 'keepSeconds', title: 'pays if reused within', unit: 'seconds' },
    ],
    rows: breakEvens(plan.site).map((row) => ({ ...row })),
  }
}

/** What the lowest tier holds, in bytes; 0 without tiers. */
function lowestBytes(plan: Plan, { places }: Option): number {
  return places.s3 === places.hbm ? 0 : (plan.held.capacities[places.s3] ?? 0) * plan.blockBytes
}

function frontierJson(plan: Plan, option: Option) {
  return {
    lowestTierBytes: lowestBytes(plan, option),
    costPerMonth: option.cost.total,
    meetsGoal: option.meets,
  }
}

function costCurve(plan: Plan): Curves {
  const points = plan.search.frontier.map((option) => [lowestBytes(plan, option), option.cost.total] as const)
  const { best } = plan.search
  const mark = { x: lowestBytes(plan, best), y: best.cost.total, label: 'optimum' }
  return {
    kind: 'curves',
    title: 'Cheapest cost per month for each size of the lowest tier',
    x: { title: 'lowest tier', unit: 'bytes', log: true },
    y: { title: 'dollars per month', unit: 'dollars' },
    lines: [{ name: 'cost', points: points.filter(([x]) => x > 0) }],
    marks: mark.x > 0 ? [mark] : [],
  }
}

function hitCurve(tree: TraceTree, plan: Plan): Curves {
  const { capacities, hits } = plan.held
  const points = Array.from(capacities, (blocks, at) => {
    return [blocks * plan.blockBytes, (hits[at] ?? 0) / Math.max(1, tree.referenceCount)] as const
  }).filter(([bytes]) => bytes > 0)
  return {
    kind: 'curves',
    title: 'Block hit rate for each capacity of the lowest tier',
    x: { title: 'capacity', unit: 'bytes', log: true },
    y: { title: 'hit rate', unit: 'rate' },
    lines: [{ name: 'LRU', points }],
  }
}

function ttftCurve(plan: Plan): Curves {
  const traffic = shown(plan.site.traffic, 'number')
  return {
    kind: 'curves',
    title: `Share of requests by time to first token, ${plan.enginesShown} engines, ${traffic} x the traffic`,
    x: { title: 'time to first token', unit: 'seconds', log: true },
    y: { title: 'share of requests', unit: 'share' },
    lines: [shareLine('with the tiers', plan.ttft, 1e-3), shareLine('HBM alone', plan.ttftAlone, 1e-3)],
  }
}
