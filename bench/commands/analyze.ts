import { type Analysis, analyzeTrace, spreadOf, topTenthShare } from '../analyze.ts'
import { chunkRates } from '../analyze-chunks.ts'
import { defineCommand } from '../command.ts'
import { Interrupted } from '../failure.ts'
import { Progress } from '../progress.ts'
import { traceContext } from '../report/context.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import type { Curves, Facts, Report, Section, Stack, Table } from '../report/report.ts'
import { inputFields, type Loaded, loadTree, noteAssumed } from '../trace/load.ts'
import type { TraceTree } from '../trace/trace.ts'

/** Chunk sizes shown: 1, 2, 4 … blocks. */
const chunkSizeCount = 6

/** Idle times for which the hit rate is shown, in seconds. */
const idleSeconds = [30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200]

export const command = defineCommand({
  name: 'analyze',
  summary: 'shape of a trace: lengths, reuse gaps, sharing, hit rate of an unlimited cache',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: { ...inputFields, ...outputFields },
  examples: [
    { line: 'analyze mooncake-conversation.jsonl.gz', about: 'What does this trace look like?' },
    { line: 'analyze trace.jsonl --block-tokens 16 --html report.html', about: 'The same as a page.' },
    { line: 'analyze - --json < trace.jsonl', about: 'For a script, from standard input.' },
  ],
  run: async (operands, options, io) => {
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    const progress = new Progress('analysing', io)
    const analysis = await analyzeTrace(loaded.tree, (share) => progress.step(share))
    progress.end()
    if (analysis.requestsDone === 0) throw new Interrupted()
    return emitReport(analysisReport(loaded, analysis), options, io)
  },
})

/** The report of one loaded trace. */
export function analysisReport(loaded: Loaded, analysis: Analysis): Report {
  const { tree } = loaded
  const chunks = chunkRates(tree, chunkSizeCount)
  const figures = figuresOf(tree, analysis)
  const hashed = tree.referenceCount > 0
  const sections: Section[] = [shapeFacts(tree, analysis, figures), arrivals(analysis)]
  if (hashed) sections.push(reuseFacts(figures), overTime(tree, analysis), idleCurve(tree, analysis))
  if (hashed) sections.push(chunkTable(chunks))
  if (tree.tenant !== null) sections.push(tenantTable(analysis))
  const json = {
    trace: tree.name,
    format: loaded.format,
    blockTokens: tree.blockTokens,
    requests: tree.requestCount,
    blocks: tree.nodeCount,
    references: tree.referenceCount,
    ...figures,
    chunks,
    idle: idlePoints(tree, analysis),
    tenants:
      tree.tenant === null
        ? null
        : analysis.tenants.map((tenant) => ({ ...tenant, hitRate: rateOf(tenant) })),
    skippedLines: loaded.skippedCount,
  }
  const context = traceContext({ assumed: loaded.assumed, order: 'none (nothing is evicted)' })
  return {
    command: 'analyze',
    title: `Shape of ${tree.name}`,
    json,
    sections,
    context,
    partial: analysis.requestsDone < tree.requestCount,
  }
}

type Figures = ReturnType<typeof figuresOf>

function figuresOf(tree: TraceTree, analysis: Analysis) {
  const once = analysis.usedTimes[1] ?? 0
  const often = analysis.usedTimes.reduce((sum, count, times) => sum + (times >= 10 ? count : 0), 0)
  const hashed = tree.referenceCount > 0
  const hits = analysis.unlimitedHitCount
  const quantile = (share: number): number | null => seconds(analysis.gaps.quantileMs(share))
  const sessionQuantile = (share: number): number | null => seconds(analysis.sessionGaps.quantileMs(share))
  return {
    spanSeconds: analysis.spanMs / 1_000,
    requestsPerSecond: {
      mean: tree.requestCount / Math.max(1, analysis.spanMs / 1_000),
      peak: peakOf(analysis),
    },
    endSeconds: analysis.endMs / 1_000,
    inputTokens: spreadOf(tree.inputTokens),
    outputTokens: spreadOf(tree.outputTokens),
    blocksPerRequest: { mean: tree.referenceCount / tree.requestCount, max: analysis.blocksMax },
    unlimitedHitRate: hashed ? hits / tree.referenceCount : null,
    requestsWithHitShare: hashed ? analysis.requestsWithHit / tree.requestCount : null,
    usedOnceShare: hashed ? once / tree.nodeCount : null,
    usedTenTimesShare: hashed ? often / tree.nodeCount : null,
    topTenthReuseShare: hashed ? topTenthShare(analysis.usedTimes) : null,
    partialTailShare: hashed ? analysis.partialTailCount / tree.referenceCount : null,
    partialTails: analysis.partialTailCount,
    reuseGapSeconds: {
      p50: quantile(0.5),
      p75: quantile(0.75),
      p90: quantile(0.9),
      p95: quantile(0.95),
      p99: quantile(0.99),
    },
    sessions: tree.session === null ? null : analysis.sessionCount,
    sessionGapSeconds:
      tree.session === null
        ? null
        : { p50: sessionQuantile(0.5), p90: sessionQuantile(0.9), p99: sessionQuantile(0.99) },
    blocksSharedBySessionsShare: tree.session === null ? null : analysis.sharedBySessions / tree.nodeCount,
    hitsFromOtherSessionsShare: tree.session === null || hits === 0 ? null : analysis.crossSessionHits / hits,
    blocksSharedByTenantsShare: tree.tenant === null ? null : analysis.sharedByTenants / tree.nodeCount,
    hitsFromOtherTenantsShare: tree.tenant === null || hits === 0 ? null : analysis.crossTenantHits / hits,
  }
}

/** Requests per second in the busiest sixtieth of the span. */
function peakOf(analysis: Analysis): number {
  const sliceSeconds = analysis.spanMs / 1_000 / analysis.requestsOverTime.length
  return Math.max(...analysis.requestsOverTime) / Math.max(1, sliceSeconds)
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000
}

function rateOf(tenant: { readonly hits: number; readonly references: number }): number {
  return tenant.references === 0 ? 0 : tenant.hits / tenant.references
}

function shapeFacts(tree: TraceTree, analysis: Analysis, figures: Figures): Facts {
  const { inputTokens, outputTokens, blocksPerRequest } = figures
  const items: Facts['items'] = [
    { key: 'requests', label: 'requests', value: tree.requestCount, unit: 'count' },
    { key: 'spanSeconds', label: 'span', value: figures.spanSeconds, unit: 'seconds' },
    { key: 'rateMean', label: 'requests/s, mean', value: figures.requestsPerSecond.mean, unit: 'number' },
    { key: 'ratePeak', label: 'requests/s, peak', value: figures.requestsPerSecond.peak, unit: 'number' },
    { key: 'blockTokens', label: 'tokens per block', value: tree.blockTokens, unit: 'tokens' },
    { key: 'references', label: 'block references', value: tree.referenceCount, unit: 'blocks' },
    { key: 'blocks', label: 'distinct blocks', value: tree.nodeCount, unit: 'blocks' },
    { key: 'blocksMean', label: 'blocks per request, mean', value: blocksPerRequest.mean, unit: 'number' },
    { key: 'blocksMax', label: 'blocks per request, max', value: analysis.blocksMax, unit: 'blocks' },
    { key: 'inputMean', label: 'input tokens, mean', value: Math.round(inputTokens.mean), unit: 'tokens' },
    { key: 'inputP50', label: 'input tokens, median', value: inputTokens.p50, unit: 'tokens' },
    { key: 'inputP99', label: 'input tokens, p99', value: inputTokens.p99, unit: 'tokens' },
    {
      key: 'outputMean',
      label: 'output tokens, mean',
      value: Math.round(outputTokens.mean),
      unit: 'tokens',
    },
    { key: 'sessions', label: 'sessions', value: figures.sessions, unit: 'count' },
  ]
  // Arrivals alone name no blocks: then nothing is said of them.
  const shown = items.filter(({ key }) => tree.referenceCount > 0 || !/^(block|references)/.test(key))
  return { kind: 'facts', title: 'Shape', items: shown }
}

function arrivals(analysis: Analysis): Curves {
  const slices = analysis.requestsOverTime.length
  const sliceSeconds = Math.max(1e-3, analysis.spanMs / 1_000 / slices)
  const points = Array.from(analysis.requestsOverTime, (count, slice) => {
    return [(slice + 0.5) * sliceSeconds, count / sliceSeconds] as const
  })
  return {
    kind: 'curves',
    title: 'Requests per second',
    x: { title: 'time since the first request', unit: 'seconds' },
    y: { title: 'requests per second', unit: 'number' },
    lines: [{ name: 'requests/s', points }],
  }
}

function reuseFacts(figures: Figures): Facts {
  const gap = figures.reuseGapSeconds
  return {
    kind: 'facts',
    title: 'Reuse, with a cache that never evicts',
    items: [
      { key: 'unlimitedHitRate', label: 'hit rate', value: figures.unlimitedHitRate, unit: 'rate' },
      {
        key: 'requestsWithHit',
        label: 'requests with a hit',
        value: figures.requestsWithHitShare,
        unit: 'share',
      },
      { key: 'usedOnce', label: 'blocks used once', value: figures.usedOnceShare, unit: 'share' },
      {
        key: 'usedTen',
        label: 'blocks used 10 times or more',
        value: figures.usedTenTimesShare,
        unit: 'share',
      },
      { key: 'topTenth', label: 'reuse by the top tenth', value: figures.topTenthReuseShare, unit: 'share' },
      {
        key: 'partialTail',
        label: 'references to partial tails',
        value: figures.partialTailShare,
        unit: 'share',
      },
      { key: 'gapP50', label: 'reuse gap p50', value: gap.p50, unit: 'seconds' },
      { key: 'gapP90', label: 'reuse gap p90', value: gap.p90, unit: 'seconds' },
      { key: 'gapP99', label: 'reuse gap p99', value: gap.p99, unit: 'seconds' },
      {
        key: 'sharedBlocks',
        label: 'blocks of several sessions',
        value: figures.blocksSharedBySessionsShare,
        unit: 'share',
      },
      {
        key: 'foreignHits',
        label: 'hits from other sessions',
        value: figures.hitsFromOtherSessionsShare,
        unit: 'share',
      },
      {
        key: 'foreignTenantHits',
        label: 'hits from other tenants',
        value: figures.hitsFromOtherTenantsShare,
        unit: 'share',
      },
    ],
  }
}

function overTime(tree: TraceTree, analysis: Analysis): Stack {
  const xs = Array.from(analysis.hitsOverTime, (_, step) => {
    return ((step + 0.5) / analysis.hitsOverTime.length) * (analysis.spanMs / 1_000)
  })
  const hits = [...analysis.hitsOverTime]
  const misses = hits.map((count, step) => (analysis.referencesOverTime[step] ?? 0) - count)
  return {
    kind: 'stack',
    title: `Block references over time (${tree.blockTokens} tokens each)`,
    x: { title: 'time since the first request', unit: 'seconds' },
    y: { title: 'references', unit: 'blocks' },
    xs,
    layers: [
      { name: 'hits', values: hits },
      { name: 'first uses', values: misses },
    ],
  }
}

/** A leading block is a hit within idle time T exactly when its own gap is at most T, because its ancestors
 *  were used at least as recently: so the curve is a sum over gaps. */
function idlePoints(tree: TraceTree, analysis: Analysis): { idleSeconds: number; hitRate: number }[] {
  return idleSeconds.map((idle) => ({
    idleSeconds: idle,
    hitRate: tree.referenceCount === 0 ? 0 : analysis.gaps.countUpTo(idle * 1_000) / tree.referenceCount,
  }))
}

function idleCurve(tree: TraceTree, analysis: Analysis): Curves {
  const points = idlePoints(tree, analysis).map(({ idleSeconds: idle, hitRate }) => [idle, hitRate] as const)
  return {
    kind: 'curves',
    title: 'How long must blocks be remembered? Hit rate if a block leaves after that idle time',
    x: { title: 'idle time', unit: 'seconds', log: true },
    y: { title: 'hit rate', unit: 'rate' },
    lines: [{ name: 'hit rate', points }],
  }
}

function chunkTable(chunks: readonly { chunkTokens: number; tokenHitRate: number }[]): Table {
  return {
    kind: 'table',
    title: 'Hit rate by chunk size (full chunks only, in tokens)',
    columns: [
      { key: 'chunkTokens', title: 'tokens per chunk', unit: 'tokens' },
      { key: 'tokenHitRate', title: 'hit rate', unit: 'rate' },
    ],
    rows: chunks.map((chunk) => ({ ...chunk })),
  }
}

function tenantTable(analysis: Analysis): Table {
  return {
    kind: 'table',
    title: 'Tenants',
    columns: [
      { key: 'name', title: 'tenant', unit: 'text' },
      { key: 'requests', title: 'requests', unit: 'count' },
      { key: 'references', title: 'references', unit: 'blocks' },
      { key: 'distinctBlocks', title: 'distinct blocks', unit: 'blocks' },
      { key: 'hitRate', title: 'hit rate', unit: 'rate' },
    ],
    rows: analysis.tenants.map((tenant) => ({ ...tenant, hitRate: rateOf(tenant) })),
  }
}
