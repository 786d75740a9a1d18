import t from 'tap'
import { traceContext } from '../../bench/report/context.ts'
import { csvText } from '../../bench/report/csv.ts'
import { emitReport, jsonText } from '../../bench/report/emit.ts'
import { shown } from '../../bench/report/format.ts'
import { htmlPage } from '../../bench/report/html.ts'
import { curvesSvg } from '../../bench/report/plot.ts'
import type { Report, Section } from '../../bench/report/report.ts'
import { scaleOf } from '../../bench/report/scale.ts'
import { sparkline, terminalText } from '../../bench/report/terminal.ts'
import { capturedIo } from '../traces.ts'

const hostile = '<script>alert("x")</script>, "quoted"'

const sections: readonly Section[] = [
  { kind: 'facts', title: 'Facts', items: [{ key: 'a', label: hostile, value: 0.5, unit: 'rate' }] },
  {
    kind: 'table',
    title: hostile,
    columns: [
      { key: 'name', title: 'name', unit: 'text' },
      { key: 'value', title: 'value', unit: 'number' },
    ],
    rows: [
      { name: hostile, value: 1 },
      { name: 'none', value: null },
    ],
  },
  {
    kind: 'curves',
    title: 'Curves',
    x: { title: hostile, unit: 'bytes', log: true },
    y: { title: 'y', unit: 'rate' },
    lines: [
      {
        name: hostile,
        points: [
          [1, 0],
          [1_024, 1],
        ],
      },
      {
        name: 'limit',
        points: [
          [1, 0.5],
          [1_024, 1],
        ],
        band: true,
      },
    ],
    marks: [{ x: 1_024, y: 1, label: hostile }],
  },
  {
    kind: 'stack',
    title: 'Stack',
    x: { title: 'x', unit: 'seconds' },
    y: { title: 'y', unit: 'blocks' },
    xs: [0, 1, 2],
    layers: [
      { name: hostile, values: [1, 2, 3] },
      { name: 'b', values: [0, 0, 1] },
    ],
  },
  {
    kind: 'heat',
    title: 'Heat',
    unit: 'rate',
    rowNames: [hostile],
    columnNames: ['c', 'd'],
    values: [[0.1, null]],
  },
  { kind: 'words', title: 'Words', lines: [hostile] },
]

function report(changes: Partial<Report> = {}): Report {
  const context = traceContext({ assumed: [hostile], seed: 3 })
  return { command: 'test', title: hostile, json: { a: 1 }, sections, context, partial: false, ...changes }
}

void t.test('a page holds every section, escapes every text, loads nothing', (t) => {
  const page = htmlPage(report())
  t.notMatch(page, /<script/)
  t.notMatch(page, /https?:|src=|@import|url\(/)
  t.equal(page.match(/<svg /g)?.length, 3)
  t.match(page, 'prefers-color-scheme:dark')
  t.notMatch(page, /NaN|undefined|Infinity/)
  for (const tag of ['svg', 'section', 'table', 'text', 'path', 'dl', 'ul']) {
    const opened = page.match(new RegExp(`<${tag}[ >]`, 'g'))?.length ?? 0
    t.equal(page.match(new RegExp(`</${tag}>`, 'g'))?.length ?? 0, opened, `every ${tag} is closed`)
  }
  t.match(htmlPage(report({ partial: true })), 'class="partial"')
  t.end()
})

void t.test('long names that begin alike can be told apart beside their lines', (t) => {
  const names = ['a policy with session hints, exact', 'a policy with session hints, 20 % wrong', 'short']
  const axis = { title: 'x', unit: 'number' } as const
  const lines = names.map((name, i) => ({ name, points: [[1, i / 4] as const, [2, i / 4] as const] }))
  const svg = curvesSvg({ kind: 'curves', title: 'Curves', x: axis, y: axis, lines })
  const shown = [...svg.matchAll(/class="label"[^>]*>([^<]*)</g)].map(([, text]) => text)
  t.same(shown, ['a polic…hints, exact', 'a polic…, 20 % wrong', 'short'])
  t.end()
})

void t.test('the terminal form has every section and no colours without a terminal', (t) => {
  const text = terminalText(report(), { colour: false, columns: 80 })
  t.notMatch(text, '\x1b')
  t.notMatch(text, /NaN|undefined/)
  for (const title of ['Facts', 'Curves', 'Stack', 'Heat', 'Words', 'seed: 3']) t.match(text, title)
  t.match(terminalText(report(), { colour: true, columns: 80 }), '\x1b[1m')
  t.match(terminalText(report({ partial: true }), { colour: false, columns: 80 }), /^PARTIAL/m)
  t.end()
})

void t.test('CSV quotes what must be quoted; a report without a table gives its facts', (t) => {
  t.equal(csvText(report()), `name,value\n"<script>alert(""x"")</script>, ""quoted""",1\nnone,\n`)
  const facts = sections.filter(({ kind }) => kind === 'facts')
  t.equal(csvText(report({ sections: facts, partial: true })), 'name,value,partial\na,0.5,partial\n')
  t.end()
})

void t.test('JSON carries the context; partial reports say so and end with 130', (t) => {
  t.same(Object.keys(JSON.parse(jsonText(report()))), ['a', 'command', 'context'])
  const io = capturedIo()
  t.equal(emitReport(report({ partial: true }), { json: '', csv: null, html: null }, io), 130)
  t.equal(JSON.parse(io.outText()).partial, true)
  t.match(io.noteText(), 'the report is partial')
  const csvIo = capturedIo()
  t.equal(emitReport(report(), { json: null, csv: '', html: null }, csvIo), 0)
  t.match(csvIo.noteText(), 'hit: leading blocks')
  const colourless = { ...capturedIo(), outIsTerminal: true, env: { NO_COLOR: '1' } }
  emitReport(report(), { json: null, csv: null, html: null }, colourless)
  t.notMatch(colourless.outText(), '\x1b')
  t.end()
})

void t.test('numbers as people read them', (t) => {
  const cases: [Parameters<typeof shown>, string][] = [
    [[12_031, 'count'], '12,031'],
    [[0.36641, 'rate'], '0.3664'],
    [[0.759, 'share'], '75.9 %'],
    [[3 * 2 ** 40, 'bytes'], '3.00 TiB'],
    [[0.0123, 'seconds'], '12 ms'],
    [[114, 'seconds'], '114 s'],
    [[28_800, 'seconds'], '8.0 h'],
    [[1_234.5, 'dollars'], '$1,235'],
    [[0.5, 'dollars'], '$0.50'],
    [[null, 'count'], '-'],
    [[true, 'text'], 'yes'],
    [[Number.POSITIVE_INFINITY, 'number'], 'unlimited'],
  ]
  for (const [[value, unit], text] of cases) t.equal(shown(value, unit), text)
  t.equal(sparkline([0, 1, 2, 3], 0, 3), '▁▃▆█')
  t.equal(sparkline([5, 5], 5, 5), '▁▁')
  t.end()
})

void t.test('scales: rising, within the paper, ticks inside the range', (t) => {
  for (const log of [true, false]) {
    for (const unit of ['bytes', 'rate', 'dollars', 'number'] as const) {
      const scale = scaleOf([3, 40, 5_000], { title: '', unit, log }, 0, 100, 6)
      t.ok(scale.at(3) < scale.at(40) && scale.at(40) < scale.at(5_000))
      t.ok(scale.at(3) >= -1e-9 && scale.at(5_000) <= 100 + 1e-9)
      t.ok(scale.ticks.length >= 2)
      t.ok(scale.ticks.every((tick) => scale.at(tick) >= -1e-9 && scale.at(tick) <= 100 + 1e-9))
    }
  }
  t.same(scaleOf([], { title: '', unit: 'rate' }, 0, 1, 5).ticks, [])
  t.end()
})
