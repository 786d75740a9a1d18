import { assert } from './assert.ts'

/** One row per metric of a process. Exposition, help and the reference page are made from the table; a metric that
 *  is not in it does not exist. Names end in their unit; a rate's denominator is a metric of its own. */
export type MetricRow = {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly about: string
}
export type MetricTable = Readonly<Record<string, MetricRow>>
export type LabelValues = Readonly<Record<string, string>>

/** Upper bounds of histogram buckets, in seconds: from a cache look-up to a long prefill. */
const secondsBuckets = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const
/** Label sets one metric may have. Why: a label made of foreign words must not grow memory without end; past it
 *  everything lands in one set named "other". */
const labelSetsMax = 1_000

type Series = { readonly labels: LabelValues; value: number; buckets: number[] | null; count: number }

/** The numbers behind one table. */
export class Meter<Table extends MetricTable> {
  readonly #table: Table
  readonly #series = new Map<string, Map<string, Series>>()

  constructor(table: Table) {
    this.#table = table
    for (const name of Object.keys(table)) this.#series.set(name, new Map())
  }

  add(name: keyof Table & string, labels: LabelValues, by = 1): void {
    this.#seriesOf(name, labels).value += by
  }

  set(name: keyof Table & string, labels: LabelValues, value: number): void {
    this.#seriesOf(name, labels).value = value
  }

  observe(name: keyof Table & string, labels: LabelValues, seconds: number): void {
    const series = this.#seriesOf(name, labels)
    series.buckets ??= secondsBuckets.map(() => 0)
    series.value += seconds
    series.count += 1
    for (const [i, bound] of secondsBuckets.entries()) {
      if (seconds <= bound) series.buckets[i] = (series.buckets[i] ?? 0) + 1
    }
  }

  /** The value of one series, 0 when nothing was counted; without labels the sum over all of them. */
  valueOf(name: keyof Table & string, labels: LabelValues | null = null): number {
    const all = this.#series.get(name)
    if (all === undefined) return 0
    if (labels !== null) return all.get(this.#keyOf(name, labels))?.value ?? 0
    let sum = 0
    for (const series of all.values()) sum += series.value
    return sum
  }

  /** The values of a metric summed for each value of one of its labels. */
  byLabel(name: keyof Table & string, label: string): ReadonlyMap<string, number> {
    const sums = new Map<string, number>()
    for (const { labels, value } of this.#series.get(name)?.values() ?? []) {
      const at = labels[label] ?? ''
      sums.set(at, (sums.get(at) ?? 0) + value)
    }
    return sums
  }

  /** Prometheus text exposition. */
  text(): string {
    const lines: string[] = []
    for (const [name, row] of Object.entries(this.#table)) {
      lines.push(`# HELP ${name} ${row.about}`, `# TYPE ${name} ${row.kind}`)
      for (const [key, series] of this.#series.get(name) ?? []) {
        if (row.kind !== 'histogram') {
          lines.push(`${name}${key === '' ? '' : `{${key}}`} ${series.value}`)
          continue
        }
        const lead = key === '' ? '' : `${key},`
        for (const [i, bound] of secondsBuckets.entries()) {
          lines.push(`${name}_bucket{${lead}le="${bound}"} ${series.buckets?.[i] ?? 0}`)
        }
        lines.push(`${name}_bucket{${lead}le="+Inf"} ${series.count}`)
        lines.push(`${name}_sum${key === '' ? '' : `{${key}}`} ${series.value}`)
        lines.push(`${name}_count${key === '' ? '' : `{${key}}`} ${series.count}`)
      }
    }
    return `${lines.join('\n')}\n`
  }

  #seriesOf(name: string, labels: LabelValues): Series {
    const all = this.#series.get(name)
    assert(all !== undefined, `metric ${name} is in its table`)
    let kept = labels
    let key = this.#keyOf(name, kept)
    if (!all.has(key) && all.size >= labelSetsMax) {
      const row = this.#table[name]
      kept = Object.fromEntries((row?.labels ?? []).map((label) => [label, 'other']))
      key = this.#keyOf(name, kept)
    }
    let series = all.get(key)
    if (series === undefined) {
      series = { labels: kept, value: 0, buckets: null, count: 0 }
      all.set(key, series)
    }
    return series
  }

  #keyOf(name: string, labels: LabelValues): string {
    const row = this.#table[name]
    assert(
      row !== undefined && Object.keys(labels).length === row.labels.length,
      `labels of ${name} are complete`,
    )
    return row.labels
      .map(
        (label) =>
          `${label}="${(labels[label] ?? '').replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
      )
      .join(',')
  }
}
