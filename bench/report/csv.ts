import type { Cell, Facts, Report, Table } from './report.ts'

/** The report's first table as CSV; a report without a table gives its facts as name and value. Numbers are
 *  written in full, in the units of the JSON. A last column marks rows of a partial report. */
export function csvText(report: Report): string {
  const table = report.sections.find((section): section is Table => section.kind === 'table')
  const lines: string[] = []
  const mark = report.partial ? ['partial'] : []
  if (table !== undefined) {
    lines.push([...table.columns.map(({ key }) => key), ...mark].map(cellText).join(','))
    for (const row of table.rows) {
      const cells = table.columns.map(({ key }) => row[key] ?? null)
      lines.push([...cells, ...mark].map(cellText).join(','))
    }
  } else {
    lines.push(['name', 'value', ...mark].join(','))
    const facts = report.sections.filter((section): section is Facts => section.kind === 'facts')
    for (const { items } of facts) {
      for (const { key, value } of items) lines.push([key, value, ...mark].map(cellText).join(','))
    }
  }
  return `${lines.join('\n')}\n`
}

function cellText(cell: Cell): string {
  if (cell === null) return ''
  const text = String(cell)
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
