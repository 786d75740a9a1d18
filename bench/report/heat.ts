import { shown } from './format.ts'
import { drawing, paperWidth } from './plot.ts'
import type { Heat } from './report.ts'
import { element, label, tip } from './svg.ts'

const cellHeight = 26
/** Narrower cells have no room for their numbers: those are shown by the pointer and in the table. */
const inkWidthMin = 44

/** Rows by columns, darker for more; each cell carries its number. */
export function heatSvg(heat: Heat): string {
  const known = heat.values.flat().filter((value): value is number => value !== null)
  const low = Math.min(...known)
  const span = Math.max(...known) - low || 1
  const nameWidth = Math.min(220, 20 + 7 * Math.max(...heat.rowNames.map((name) => name.length)))
  const cellWidth = Math.min(110, (paperWidth - nameWidth - 10) / heat.columnNames.length)
  const parts: string[] = []
  const everyName = Math.ceil((Math.max(...heat.columnNames.map((name) => name.length)) * 7) / cellWidth)
  for (const [column, name] of heat.columnNames.entries()) {
    if (column % everyName !== 0) continue
    const x = nameWidth + (column + 0.5) * cellWidth
    parts.push(label(name, { class: 'tick', x, y: 14, 'text-anchor': 'middle' }))
  }
  for (const [row, name] of heat.rowNames.entries()) {
    const y = 22 + row * cellHeight
    parts.push(label(name, { class: 'tick', x: nameWidth - 8, y: y + 17, 'text-anchor': 'end' }))
    for (const [column, value] of (heat.values[row] ?? []).entries()) {
      if (value === null) continue
      const share = (value - low) / span
      const x = nameWidth + column * cellWidth
      const text = shown(value, heat.unit)
      const box = { class: 'heat', x, y, width: cellWidth - 2, height: cellHeight - 2, rx: 3 }
      const opacity = (0.06 + 0.94 * share).toFixed(3)
      const told = tip(`${name}, ${heat.columnNames[column]}: ${text}`)
      parts.push(element('rect', { ...box, 'fill-opacity': opacity }, told))
      if (cellWidth < inkWidthMin) continue
      const ink = share > 0.55 ? 'heat-ink-dark' : 'heat-ink-light'
      const middle = { class: ink, x: x + cellWidth / 2 - 1, y: y + 16, 'text-anchor': 'middle' }
      parts.push(label(text, middle))
    }
  }
  return drawing(30 + heat.rowNames.length * cellHeight, parts, heat.title)
}
