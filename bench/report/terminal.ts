import { contextLines } from './context.ts'
import { shown } from './format.ts'
import type { Curves, Facts, Heat, Report, Section, Stack, Table } from './report.ts'

type Style = { readonly colour: boolean; readonly columns: number }

/** The report as text for a terminal (or a pipe: then without colours). */
export function terminalText(report: Report, style: Style): string {
  const parts: string[] = [bold(plain(report.title), style)]
  if (report.partial) parts.push(bold('PARTIAL: interrupted before everything was computed', style))
  for (const section of report.sections) {
    parts.push('', bold(plain(section.title), style), ...sectionLines(section, style).map(plain))
  }
  parts.push('', ...contextText(report, style))
  return `${parts.join('\n')}\n`
}

/** Names come from traces: a control character in one must not reach the terminal as an order. */
function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '\ufffd')
}

function sectionLines(section: Section, style: Style): string[] {
  switch (section.kind) {
    case 'facts':
      return factLines(section)
    case 'table':
      return tableLines(section)
    case 'curves':
      return curveLines(section)
    case 'stack':
      return stackLines(section)
    case 'heat':
      return heatLines(section)
    case 'words':
      return section.lines.flatMap((line) => folded(`- ${line}`, style))
  }
}

function factLines(facts: Facts): string[] {
  const width = Math.max(...facts.items.map(({ label }) => label.length))
  return facts.items.map(({ label, value, unit }) => `  ${label.padEnd(width)}  ${shown(value, unit)}`)
}

function tableLines(table: Table): string[] {
  const text = table.rows.map((row) => table.columns.map(({ key, unit }) => shown(row[key] ?? null, unit)))
  const widths = table.columns.map(({ title }, index) =>
    Math.max(title.length, ...text.map((row) => row[index]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, index) => {
      const width = widths[index] ?? 0
      return table.columns[index]?.unit === 'text' ? cell.padEnd(width) : cell.padStart(width)
    })
    return `  ${padded.join('  ')}`.trimEnd()
  }
  const rule = `  ${widths.map((width) => '─'.repeat(width)).join('  ')}`
  return [line(table.columns.map(({ title }) => title)), rule, ...text.map(line)]
}

const bars = '▁▂▃▄▅▆▇█'

/** One character per value, between the given bounds. */
export function sparkline(values: readonly number[], low: number, high: number): string {
  const span = high - low || 1
  return values
    .map((value) => {
      if (!Number.isFinite(value)) return ' '
      const step = Math.round(((value - low) / span) * (bars.length - 1))
      return bars[Math.min(bars.length - 1, Math.max(0, step))]
    })
    .join('')
}

function curveLines(curves: Curves): string[] {
  const all = curves.lines.flatMap(({ points }) => points.map(([, y]) => y)).filter(Number.isFinite)
  const low = Math.min(...all)
  const high = Math.max(...all)
  const width = Math.max(...curves.lines.map(({ name }) => name.length))
  const lines = curves.lines.map(({ name, points }) => {
    const values = resampled(points.map(([, y]) => y))
    const last = points.at(-1)?.[1] ?? null
    return `  ${name.padEnd(width)}  ${sparkline(values, low, high)}  ${shown(last, curves.y.unit)}`
  })
  for (const { x, y, label } of curves.marks ?? []) {
    lines.push(`  * ${label}: ${shown(x, curves.x.unit)}, ${shown(y, curves.y.unit)}`)
  }
  const xs = curves.lines.flatMap(({ points }) => points.map(([x]) => x))
  const from = shown(Math.min(...xs), curves.x.unit)
  const to = shown(Math.max(...xs), curves.x.unit)
  lines.push(`  ${' '.repeat(width)}  ${curves.x.title}: ${from} to ${to}; ${curves.y.title}`)
  return lines
}

function stackLines(stack: Stack): string[] {
  if (stack.layers.length === 0) return ['  nothing to show']
  const high = Math.max(...stack.layers.flatMap(({ values }) => values), 0)
  const width = Math.max(...stack.layers.map(({ name }) => name.length))
  const from = shown(stack.xs[0] ?? 0, stack.x.unit)
  const to = shown(stack.xs.at(-1) ?? 0, stack.x.unit)
  return [
    ...stack.layers.map(({ name, values }) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
      return `  ${name.padEnd(width)}  ${sparkline(resampled(values), 0, high)}  mean ${shown(mean, 'number')}`
    }),
    `  ${' '.repeat(width)}  ${stack.x.title}: ${from} to ${to}; ${stack.y.title}, top ${shown(high, stack.y.unit)}`,
  ]
}

/** At most 60 values, by means of neighbours. */
function resampled(values: readonly number[]): number[] {
  const max = 60
  if (values.length <= max) return [...values]
  return Array.from({ length: max }, (_, index) => {
    const from = Math.floor((index * values.length) / max)
    const to = Math.max(from + 1, Math.floor(((index + 1) * values.length) / max))
    const part = values.slice(from, to)
    return part.reduce((sum, value) => sum + value, 0) / part.length
  })
}

const shades = ' ░▒▓█'

function heatLines(heat: Heat): string[] {
  const known = heat.values.flat().filter((value): value is number => value !== null)
  const low = Math.min(...known)
  const high = Math.max(...known)
  const width = Math.max(...heat.rowNames.map((name) => name.length))
  const cellWidth = Math.max(7, ...heat.columnNames.map((name) => name.length))
  const head = `  ${' '.repeat(width)}  ${heat.columnNames.map((name) => name.padStart(cellWidth)).join(' ')}`
  return [
    head,
    ...heat.rowNames.map((name, row) => {
      const cells = (heat.values[row] ?? []).map((value) => {
        if (value === null) return '-'.padStart(cellWidth)
        const step = Math.round(((value - low) / (high - low || 1)) * (shades.length - 1))
        return `${shades[step]}${shown(value, heat.unit)}`.padStart(cellWidth)
      })
      return `  ${name.padEnd(width)}  ${cells.join(' ')}`
    }),
  ]
}

function contextText(report: Report, style: Style): string[] {
  const lines = contextLines(report.context).flatMap(([label, text]) => folded(`${label}: ${text}`, style))
  return lines.map((line) => dim(plain(line), style))
}

/** Breaks a text at the width of the terminal; what follows the first line is indented. */
function folded(text: string, style: Style): string[] {
  const room = Math.max(40, style.columns - 2)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line)
      line = `  ${word}`
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

function bold(text: string, style: Style): string {
  return style.colour ? `\x1b[1m${text}\x1b[22m` : text
}

function dim(text: string, style: Style): string {
  return style.colour ? `\x1b[2m${text}\x1b[22m` : text
}
