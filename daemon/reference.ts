import { readFileSync, writeFileSync } from 'node:fs'
import type { Field } from '../tiers/block/codec.ts'
import { failures } from '../tiers/block/failures.ts'
import { markdownTable, withGenerated } from '../tiers/block/generated.ts'
import type { MetricTable } from '../tiers/block/metric.ts'
import { optionReference } from '../tiers/block/option-help.ts'
import { messages } from '../tiers/block/wire.ts'
import { storeMetrics } from '../tiers/metrics.ts'
import { s3Metrics } from '../tiers/s3/metrics.ts'
import { daemonFields } from './config.ts'
import { daemonMetrics } from './metrics.ts'

/** The daemon's README with its tables made anew from the source. */
export function daemonReadme(page: string): string {
  return withGenerated(page, {
    config: optionReference(daemonFields),
    metrics: metricReference({ ...daemonMetrics, ...storeMetrics, ...s3Metrics }),
    failures: failureReference(),
    wire: wireReference(),
  })
}

function metricReference(table: MetricTable): string {
  const rows = Object.entries(table).map(([name, row]) => [
    `\`${name}\``,
    row.kind,
    row.labels.join(', '),
    row.about,
  ])
  return markdownTable(['metric', 'kind', 'labels', 'what it counts'], rows)
}

function failureReference(): string {
  const rows = Object.entries(failures).map(([code, { retry, fault, says }]) => [
    `\`${code}\``,
    fault,
    retry ? 'yes' : 'no',
    says,
  ])
  return markdownTable(['code', 'whose fault', 'retry', 'says'], rows)
}

function wireReference(): string {
  const fields = (record: Readonly<Record<string, Field<never>>>): string =>
    Object.entries(record)
      .map(([name, field]) => `${name}: ${field.form}`)
      .join(', ') || 'nothing'
  const rows = Object.entries(messages).map(([name, { number, ask, answer }]) => [
    String(number),
    name,
    fields(ask as unknown as Readonly<Record<string, Field<never>>>),
    fields(answer as unknown as Readonly<Record<string, Field<never>>>),
  ])
  return markdownTable(['number', 'message', 'ask', 'answer'], rows)
}

/** `terrace docs`: writes the generated tables anew; for whoever changed one of the tables. */
export function docsMain(): number {
  const file = new URL('README.md', import.meta.url)
  writeFileSync(file, daemonReadme(readFileSync(file, 'utf8')))
  process.stdout.write('written: daemon/README.md\n')
  return 0
}
