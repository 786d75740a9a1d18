import { traceContext } from '../report/context.ts'
import type { Column, Curves, Heat, Report, Section, Stack, Table } from '../report/report.ts'
import type { Trace } from '../trace/trace.ts'
import { usualHints } from './hint-stream.ts'
import { type JobResult, sliceOf, timeSlices } from './job.ts'

/** One row of the machine's form; the field names are a contract. */
function rowOf(trace: Trace, result: JobResult) {
  const rate = (hits: number): number => (result.referencesServed === 0 ? 0 : hits / result.referencesServed)
  return {
    policy: result.policy,
    ...(result.hints === usualHints ? {} : { hints: result.hints }),
    ...(result.admission === null ? {} : { admission: result.admission }),
    ...(result.sharing === null ? {} : { sharing: result.sharing }),
    capacityBlocks: result.capacityBlocks,
    capacityShare: result.capacityBlocks / trace.nodeCount,
    hitRate: rate(result.hits),
    ...(result.rawHits === null ? {} : { rawRate: rate(result.rawHits) }),
    inserts: result.inserts,
    evictions: result.evictions,
    orphans: result.orphans,
    ...(result.tiers === null
      ? {}
      : {
          tiers: result.tiers.map((tier) => ({
            ...tier,
            hitRate: rate(tier.hits),
            writesPerBlock: tier.writes / trace.nodeCount,
          })),
        }),
    ...(result.tenants === null
      ? {}
      : {
          tenants: result.tenants.map(({ name, hits, references }) => ({
            name,
            hits,
            references,
            hitRate: hits / Math.max(1, references),
          })),
        }),
    ...(result.stopped ? { partial: true } : {}),
  }
}

type Row = ReturnType<typeof rowOf>

/** Rows from which on nobody reads the table before the picture. */
const picturesFirst = 24

export type ReportFrame = {
  readonly command: string
  readonly title: string
  readonly seed: number
  readonly partial: boolean
  readonly order: string
}

/** The report of one-tier or stacked simulations. */
export function simulationReport(trace: Trace, results: readonly JobResult[], frame: ReportFrame): Report {
  const rows = results.map((result) => rowOf(trace, result))
  const stacked = results.some(({ tiers }) => tiers !== null)
  const byTenant = results.some(({ tenants }) => tenants !== null)
  const sections: Section[] = byTenant
    ? [tenantTable(rows)]
    : stacked
      ? [stackTable(trace, results, rows), ...overTime(trace, results)]
      : oneTierSections(trace, rows)
  return {
    command: frame.command,
    title: frame.title,
    json: {
      trace: trace.name,
      blocks: trace.nodeCount,
      requests: trace.requestCount,
      references: trace.referenceCount,
      blockTokens: trace.blockTokens,
      rows,
    },
    sections,
    context: traceContext({
      assumed: trace.assumed ?? [],
      capacity: byTenant
        ? 'blocks of all tenants together; percent of the distinct blocks, rounded down'
        : stacked
          ? 'blocks per tier; percent of the distinct blocks, rounded down'
          : 'blocks; percent of the distinct blocks, rounded up',
      order: frame.order,
      seed: frame.seed,
    }),
    partial: frame.partial,
  }
}

/** A long table comes after its picture. */
function oneTierSections(trace: Trace, rows: readonly Row[]): Section[] {
  const table = oneTierTable(trace, rows)
  const pictures = curves(trace, rows)
  return rows.length > picturesFirst ? [...pictures, table] : [table, ...pictures]
}

function oneTierTable(trace: Trace, rows: readonly Row[]): Table {
  const limits = new Map(
    rows.filter((row) => row.policy === 'belady').map((row) => [row.capacityBlocks, row.hitRate]),
  )
  const columns: Column[] = [
    { key: 'policy', title: 'policy', unit: 'text' },
    { key: 'capacityBlocks', title: 'blocks', unit: 'blocks' },
    { key: 'capacityShare', title: 'of distinct', unit: 'share' },
    { key: 'hitRate', title: 'hit rate', unit: 'rate' },
    ...(limits.size > 0 ? [{ key: 'ofLimit', title: 'of the limit', unit: 'share' as const }] : []),
    { key: 'insertShare', title: 'inserts per distinct', unit: 'number' },
    { key: 'evictions', title: 'evictions', unit: 'count' },
    { key: 'orphans', title: 'orphans', unit: 'count' },
  ]
  return {
    kind: 'table',
    title: 'Hit rates',
    columns,
    rows: rows.map((row) => ({
      policy: nameOf(row),
      capacityBlocks: row.capacityBlocks,
      capacityShare: row.capacityShare,
      hitRate: row.hitRate,
      ofLimit: ofLimit(row, limits),
      insertShare: row.inserts === null ? null : row.inserts / trace.nodeCount,
      evictions: row.evictions,
      orphans: row.orphans,
    })),
  }
}

/** The policy with its hints, as people see it. */
const nameOf = (row: Row): string => (row.hints === undefined ? row.policy : `${row.policy} (${row.hints})`)

function ofLimit(row: Row, limits: ReadonlyMap<number, number>): number | null {
  const limit = limits.get(row.capacityBlocks)
  return limit === undefined || limit === 0 ? null : row.hitRate / limit
}

function curves(trace: Trace, rows: readonly Row[]): Section[] {
  const names = [...new Set(rows.map(nameOf))]
  const capacities = [...new Set(rows.map(({ capacityBlocks }) => capacityBlocks))].sort((a, b) => a - b)
  if (capacities.length < 2) return []
  const rateAt = (policy: string, blocks: number): number | null =>
    rows.find((row) => nameOf(row) === policy && row.capacityBlocks === blocks)?.hitRate ?? null
  const lines: Curves = {
    kind: 'curves',
    title: 'Hit rate against capacity',
    x: { title: 'capacity', unit: 'blocks', log: true },
    y: { title: 'hit rate', unit: 'rate' },
    lines: names.map((name) => ({
      name,
      points: capacities.flatMap((blocks) => {
        const rate = rateAt(name, blocks)
        return rate === null ? [] : [[blocks, rate] as const]
      }),
      band: name === 'belady',
    })),
  }
  const heat: Heat = {
    kind: 'heat',
    title: 'Hit rate by policy and capacity',
    unit: 'rate',
    rowNames: names,
    columnNames: capacities.map((blocks) => `${((100 * blocks) / trace.nodeCount).toFixed(1)} %`),
    values: names.map((name) => capacities.map((blocks) => rateAt(name, blocks))),
  }
  return [lines, heat]
}

function stackTable(trace: Trace, results: readonly JobResult[], rows: readonly Row[]): Table {
  const names = results[0]?.tiers?.map(({ name }) => name) ?? []
  return {
    kind: 'table',
    title: 'Hit rates by tier; writes per distinct block',
    columns: [
      { key: 'policy', title: 'policy', unit: 'text' },
      { key: 'admission', title: 'admission', unit: 'text' },
      { key: 'hitRate', title: 'hit rate', unit: 'rate' },
      ...names.flatMap((name): Column[] => [
        { key: `${name}Hit`, title: name, unit: 'rate' },
        { key: `${name}Writes`, title: `${name} writes`, unit: 'number' },
        { key: `${name}Orphans`, title: `${name} orphans`, unit: 'count' },
      ]),
    ],
    rows: results.map((result, at) => {
      const cells: Record<string, string | number | null> = {
        policy: nameOf(rows[at] as Row),
        admission: result.admission,
        hitRate: rows[at]?.hitRate ?? null,
      }
      for (const tier of result.tiers ?? []) {
        cells[`${tier.name}Hit`] = tier.hits / Math.max(1, result.referencesServed)
        cells[`${tier.name}Writes`] = tier.writes / trace.nodeCount
        cells[`${tier.name}Orphans`] = tier.orphans
      }
      return cells
    }),
  }
}

function tenantTable(rows: readonly Row[]): Table {
  const names = rows[0]?.tenants?.map(({ name }) => name) ?? []
  return {
    kind: 'table',
    title: 'Hit rates by tenant',
    columns: [
      { key: 'policy', title: 'policy', unit: 'text' },
      { key: 'sharing', title: 'sharing', unit: 'text' },
      { key: 'capacityBlocks', title: 'blocks', unit: 'blocks' },
      ...names.map((name): Column => ({ key: `tenant ${name}`, title: name, unit: 'rate' })),
      { key: 'hitRate', title: 'all', unit: 'rate' },
    ],
    rows: rows.map((row) => ({
      policy: row.policy,
      sharing: row.sharing ?? null,
      capacityBlocks: row.capacityBlocks,
      ...Object.fromEntries((row.tenants ?? []).map(({ name, hitRate }) => [`tenant ${name}`, hitRate])),
      hitRate: row.hitRate,
    })),
  }
}

/** Stacked hits by tier over time, of the first row. */
function overTime(trace: Trace, results: readonly JobResult[]): Section[] {
  const result = results[0]
  if (result === undefined || result.tiers === null) return []
  const references = new Array<number>(timeSlices).fill(0)
  for (let request = 0; request < trace.requestCount; request += 1) {
    const slice = sliceOf(trace, request)
    const blocks = (trace.starts[request + 1] as number) - (trace.starts[request] as number)
    references[slice] = (references[slice] ?? 0) + blocks
  }
  const spanSeconds = ((trace.arrivalMs[trace.requestCount - 1] ?? 0) - (trace.arrivalMs[0] ?? 0)) / 1_000
  const layers = result.tiers.map(({ name }, level) => ({
    name,
    values: references.map((count, slice) => (result.hitsOverTime[level]?.[slice] ?? 0) / Math.max(1, count)),
  }))
  const section: Stack = {
    kind: 'stack',
    title: `Hits by tier over time (${result.policy}, ${result.admission})`,
    x: { title: 'time', unit: 'seconds' },
    y: { title: 'hit rate', unit: 'rate' },
    xs: references.map((_, slice) => (slice * spanSeconds) / timeSlices),
    layers,
  }
  return [section]
}
