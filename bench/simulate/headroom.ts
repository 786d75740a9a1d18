import { traceContext } from '../report/context.ts'
import type { Curves, Report, Table } from '../report/report.ts'
import type { Trace } from '../trace/trace.ts'
import { usualHints } from './hint-stream.ts'
import type { Job, JobResult } from './job.ts'

/** What one more piece of knowledge would give: each rung knows more than the one before. */
const rungs = [
  { key: 'lru', policy: 'lru', hints: usualHints, label: 'LRU, leaf-first' },
  { key: 'blind', policy: 'terrace', hints: 'none', label: 'terrace, hearing nothing of requests' },
  { key: 'terrace', policy: 'terrace', hints: usualHints, label: 'terrace, by what can be inferred' },
  { key: 'told20', policy: 'terrace', hints: 'told:20', label: 'terrace, session hints, 20 % wrong' },
  { key: 'told', policy: 'terrace', hints: 'told', label: 'terrace, session hints, exact' },
  { key: 'when', policy: 'hint-when', hints: usualHints, label: 'every block told roughly when' },
  { key: 'limit', policy: 'belady', hints: usualHints, label: 'the limit' },
] as const

export function headroomJobs(capacities: readonly number[], seed: number): readonly Job[] {
  return capacities.flatMap((capacityBlocks) =>
    rungs.map(({ policy, hints }) => ({ kind: 'one' as const, policy, hints, capacityBlocks, seed })),
  )
}

/** Leading blocks that an unlimited cache would hit. */
export function unlimitedHits(trace: Trace): number {
  const seen = new Uint8Array(trace.nodeCount)
  let hits = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const to = trace.starts[request + 1] as number
    let at = trace.starts[request] as number
    while (at < to && seen[trace.refs[at] as number] === 1) at += 1
    hits += at - (trace.starts[request] as number)
    for (; at < to; at += 1) seen[trace.refs[at] as number] = 1
  }
  return hits
}

/** Where the references of one capacity go: what hits, and for the rest the reason why not. The shares sum to 1. */
export type Causes = {
  readonly capacityBlocks: number
  /** Hit by the default policy. */
  readonly hit: number
  /** Within reach of one that is told of each session whether and when it comes back. */
  readonly sessionHints: number
  /** Within reach only of one that knows the future of every block. */
  readonly foresight: number
  /** Not even the limit can hold it: the tier is too small. */
  readonly capacity: number
  /** Never seen before: no cache helps. */
  readonly neverSeen: number
}

type Rates = ReadonlyMap<string, number>

function causesOf(capacityBlocks: number, rates: Rates, unlimited: number): Causes {
  const hit = rates.get('terrace') ?? 0
  const limit = Math.max(hit, rates.get('limit') ?? 0)
  const told = Math.min(limit, Math.max(hit, rates.get('told') ?? 0))
  return {
    capacityBlocks,
    hit,
    sessionHints: told - hit,
    foresight: limit - told,
    capacity: Math.max(0, unlimited - limit),
    neverSeen: 1 - Math.max(unlimited, limit),
  }
}

export function headroomReport(
  trace: Trace,
  capacities: readonly number[],
  results: readonly JobResult[],
  seed: number,
  partial: boolean,
): Report {
  const unlimited = unlimitedHits(trace) / Math.max(1, trace.referenceCount)
  const whole = capacities.map((capacityBlocks) => {
    const rates = new Map<string, number>()
    for (const { key, policy, hints } of rungs) {
      const found = results.find(
        (row) => row.policy === policy && row.hints === hints && row.capacityBlocks === capacityBlocks,
      )
      if (found !== undefined) rates.set(key, found.hits / Math.max(1, found.referencesServed))
    }
    return { capacityBlocks, rates, causes: causesOf(capacityBlocks, rates, unlimited) }
  })
  return {
    command: 'headroom',
    title: `Headroom on ${trace.name}`,
    json: {
      trace: trace.name,
      blocks: trace.nodeCount,
      references: trace.referenceCount,
      unlimited,
      rows: whole.map(({ capacityBlocks, rates }) => ({ capacityBlocks, ...Object.fromEntries(rates) })),
      causes: whole.map(({ causes }) => causes),
    },
    sections: [ladder(trace, whole), causeTable(whole), curvesOf(whole)],
    context: traceContext({
      assumed: trace.assumed ?? [],
      capacity: 'blocks; percent of the distinct blocks, rounded up',
      order: 'leaf-first; hints are per session and come from the future unless they are inferred',
      seed,
    }),
    partial,
  }
}

type Whole = readonly { readonly capacityBlocks: number; readonly rates: Rates; readonly causes: Causes }[]

const columnOf = (trace: Trace, blocks: number): string =>
  `${((100 * blocks) / trace.nodeCount).toFixed(1)} %`

function ladder(trace: Trace, whole: Whole): Table {
  return {
    kind: 'table',
    title: 'Hit rate by what is known, and by capacity',
    columns: [
      { key: 'label', title: 'known', unit: 'text' },
      ...whole.map(({ capacityBlocks }) => ({
        key: String(capacityBlocks),
        title: columnOf(trace, capacityBlocks),
        unit: 'rate' as const,
      })),
    ],
    rows: rungs.map(({ key, label }) => ({
      label,
      ...Object.fromEntries(
        whole.map(({ capacityBlocks, rates }) => [String(capacityBlocks), rates.get(key) ?? null]),
      ),
    })),
  }
}

function causeTable(whole: Whole): Table {
  return {
    kind: 'table',
    title: 'Where the references go',
    columns: [
      { key: 'capacityBlocks', title: 'blocks', unit: 'blocks' },
      { key: 'hit', title: 'hit by terrace', unit: 'share' },
      { key: 'sessionHints', title: 'needs session hints', unit: 'share' },
      { key: 'foresight', title: 'needs foresight', unit: 'share' },
      { key: 'capacity', title: 'needs capacity', unit: 'share' },
      { key: 'neverSeen', title: 'never seen before', unit: 'share' },
    ],
    rows: whole.map(({ causes }) => causes),
  }
}

function curvesOf(whole: Whole): Curves {
  return {
    kind: 'curves',
    title: 'Hit rate against capacity',
    x: { title: 'capacity', unit: 'blocks', log: true },
    y: { title: 'hit rate', unit: 'rate' },
    lines: rungs.map(({ key, label }) => ({
      name: label,
      points: whole.flatMap(({ capacityBlocks, rates }) => {
        const rate = rates.get(key)
        return rate === undefined ? [] : [[capacityBlocks, rate] as const]
      }),
      band: key === 'limit',
    })),
  }
}
