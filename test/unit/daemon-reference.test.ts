import { readFileSync } from 'node:fs'
import t from 'tap'
import { daemonMetrics } from '../../daemon/metrics.ts'
import { daemonReadme } from '../../daemon/reference.ts'
import { withGenerated } from '../../tiers/block/generated.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { s3Metrics } from '../../tiers/s3/metrics.ts'

const file = new URL('../../daemon/README.md', import.meta.url)

void t.test('the tables of the README are those of the source', (t) => {
  const page = readFileSync(file, 'utf8')
  t.equal(daemonReadme(page) === page, true, 'stale: run "node terrace.ts docs"')
  t.end()
})

void t.test('a generated part needs its place', (t) => {
  t.equal(
    withGenerated('a\n<!-- generated: x -->\nold\n<!-- end: x -->\nb', { x: 'new\n' }),
    'a\n<!-- generated: x -->\nnew\n<!-- end: x -->\nb',
  )
  t.throws(() => withGenerated('a', { x: 'new' }), /place for the generated part "x"/)
  t.end()
})

void t.test('no metric is in two tables, and names end in their unit', (t) => {
  const names = [daemonMetrics, storeMetrics, s3Metrics].flatMap((table) => Object.keys(table))
  t.strictSame(
    names.filter((name, i) => names.indexOf(name) !== i),
    [],
  )
  for (const [name, row] of Object.entries(daemonMetrics)) {
    t.equal(row.kind === 'counter', name.endsWith('_total'), name)
    if (row.kind === 'histogram') t.match(name, /_seconds$/)
  }
  t.end()
})
