import { contextLines } from './context.ts'
import { shown } from './format.ts'
import { heatSvg } from './heat.ts'
import { curvesSvg, stackSvg } from './plot.ts'
import type { Facts, Report, Section, Table } from './report.ts'
import { escaped } from './svg.ts'

/** The report as one page that needs nothing else: style and plots are inside, no script, no address. */
export function htmlPage(report: Report): string {
  const sections = report.sections.map((section) => `<section>${sectionHtml(section)}</section>`).join('\n')
  const partial = report.partial
    ? '<p class="partial">Partial: the run was interrupted before everything was computed.</p>'
    : ''
  const context = contextLines(report.context)
    .map(([label, text]) => `<dt>${escaped(label)}</dt><dd>${escaped(text)}</dd>`)
    .join('')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(report.title)}</title><style>${style}</style></head>
<body><main><p class="brand">terrace bench ${escaped(report.command)}</p><h1>${escaped(report.title)}</h1>${partial}
${sections}
<section class="context"><h2>What these numbers mean</h2><dl>${context}</dl></section></main></body></html>
`
}

function sectionHtml(section: Section): string {
  const title = `<h2>${escaped(section.title)}</h2>`
  switch (section.kind) {
    case 'facts':
      return title + factsHtml(section)
    case 'table':
      return title + tableHtml(section)
    case 'curves':
      return title + curvesSvg(section)
    case 'stack':
      return title + stackSvg(section)
    case 'heat':
      return title + heatSvg(section)
    case 'words':
      return `${title}<ul>${section.lines.map((line) => `<li>${escaped(line)}</li>`).join('')}</ul>`
  }
}

function factsHtml(facts: Facts): string {
  const items = facts.items.map(
    ({ label, value, unit }) =>
      `<div><dt>${escaped(label)}</dt><dd>${escaped(shown(value, unit))}</dd></div>`,
  )
  return `<dl class="facts">${items.join('')}</dl>`
}

function tableHtml(table: Table): string {
  const classOf = (unit: string): string => (unit === 'text' ? ' class="text"' : '')
  const head = table.columns.map(({ title, unit }) => `<th${classOf(unit)}>${escaped(title)}</th>`).join('')
  const rows = table.rows.map((row) => {
    const cells = table.columns.map(
      ({ key, unit }) => `<td${classOf(unit)}>${escaped(shown(row[key] ?? null, unit))}</td>`,
    )
    return `<tr>${cells.join('')}</tr>`
  })
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

const light = [
  '--paper:#fcfcfa;--card:#fff;--ink:#1c2127;--quiet:#5b6570;--rule:#e2e5e8;--heat:#0a5c8f;--warn:#a33b00',
  '--s0:#0072b2;--s1:#d55e00;--s2:#008a63;--s3:#a8508a;--s4:#b97f00;--s5:#2f9bd8;--s6:#5a5f66;--s7:#7a4fc0',
].join(';')
const dark = [
  '--paper:#14171b;--card:#1b1f25;--ink:#e6e9ec;--quiet:#9aa4af;--rule:#313841;--heat:#4aa8e0;--warn:#ff9d66',
  '--s0:#4aa8e0;--s1:#ff8b4a;--s2:#35c796;--s3:#dd93c1;--s4:#e8b64a;--s5:#8fd0f7;--s6:#a9b0b8;--s7:#b597f0',
].join(';')
const series = Array.from(
  { length: 8 },
  (_, index) =>
    `.line.series-${index}{stroke:var(--s${index})}.dot.series-${index},.area.series-${index}{fill:var(--s${index})}`,
).join('')

const style = `:root{color-scheme:light dark;${light}}
@media(prefers-color-scheme:dark){:root{${dark}}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:2px 0 22px;font-weight:650}h2{font-size:15px;margin:0 0 12px;font-weight:600}
.brand{margin:0;color:var(--quiet);font-size:13px}.partial{color:var(--warn);font-weight:600}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(180px,1fr));gap:14px 20px;margin:0}
.facts dt{color:var(--quiet);font-size:12.5px}.facts dd{margin:0;font-size:17px;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--quiet);font-weight:500}.text{text-align:left}
svg{width:100%;height:auto;display:block}svg text{font:11.5px system-ui,sans-serif;fill:var(--ink)}
svg .tick,svg .axis-title{fill:var(--quiet)}.grid{stroke:var(--rule);fill:none}.axis{stroke:var(--quiet);fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.band{stroke:var(--quiet);stroke-dasharray:2 3}
.dot.band{fill:var(--quiet)}.band-fill{fill:var(--quiet);fill-opacity:.09}${series}
.area{fill-opacity:.82}.mark{fill:none;stroke:var(--ink);stroke-width:2}svg .mark-label{font-weight:600}
.heat{fill:var(--heat)}svg .heat-ink-dark{fill:var(--card)}svg .heat-ink-light{fill:var(--ink)}
ul{margin:0;padding-left:18px}li{margin:4px 0}
.context dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;margin:0;font-size:13px}
.context dt{color:var(--quiet)}.context dd{margin:0}`
