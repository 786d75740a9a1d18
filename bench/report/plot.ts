import { shown } from './format.ts'
import type { Axis, Curves, Heat, Stack, Unit } from './report.ts'
import { type Scale, scaleOf } from './scale.ts'

/** Paper size of a plot, in SVG units; the page scales it. */
const width = 760
const height = 360
const left = 74
const right = 150
const top = 14
const bottom = 46

/** Colours come from the page as series-0 .. series-7; beyond that they repeat with a dashed line. */
const seriesCount = 8

export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** Lines over a shared x axis; a band line is filled from its top, and marks are ringed. */
export function curvesSvg(curves: Curves): string {
  const points = curves.lines.flatMap((line) => line.points)
  const xs = scaleOf(
    points.map(([x]) => x),
    curves.x,
    left,
    width - right,
    7,
  )
  const ys = scaleOf(
    points.map(([, y]) => y),
    curves.y,
    height - bottom,
    top,
    6,
  )
  const parts = [axes(xs, ys, curves.x, curves.y)]
  const ends = spreadLabels(curves.lines.map(({ points: own }) => ys.at(own.at(-1)?.[1] ?? 0)))
  const order = [...curves.lines.entries()].sort(
    ([, a], [, b]) => Number(b.band === true) - Number(a.band === true),
  )
  for (const [index, line] of order) {
    const drawn = line.points.filter(([x]) => curves.x.log !== true || x > 0)
    const path = drawn
      .map(([x, y], step) => `${step === 0 ? 'M' : 'L'}${at(xs.at(x))} ${at(ys.at(y))}`)
      .join('')
    const last = drawn.at(-1)
    if (last === undefined) continue
    const series = line.band === true ? 'band' : `series-${index % seriesCount}`
    if (line.band === true) {
      const first = drawn[0] ?? last
      parts.push(
        `<path class="band-fill" d="${path}L${at(xs.at(last[0]))} ${top}L${at(xs.at(first[0]))} ${top}Z"/>`,
      )
    }
    const dash = index >= seriesCount ? ' stroke-dasharray="5 4"' : ''
    parts.push(`<path class="line ${series}" d="${path}"${dash}><title>${escaped(line.name)}</title></path>`)
    if (drawn.length <= 60) {
      for (const [x, y] of drawn) {
        const tip = `${line.name}: ${shown(x, curves.x.unit)}, ${shown(y, curves.y.unit)}`
        parts.push(
          `<circle class="dot ${series}" cx="${at(xs.at(x))}" cy="${at(ys.at(y))}" r="2.6"><title>${escaped(tip)}</title></circle>`,
        )
      }
    }
    parts.push(endLabel(line.name, series, ends[index] ?? 0))
  }
  for (const mark of curves.marks ?? []) {
    const [x, y] = [xs.at(mark.x), ys.at(mark.y)]
    const anchor = x > width - right - 120 ? 'end' : 'start'
    const shift = anchor === 'end' ? -9 : 9
    parts.push(`<circle class="mark" cx="${at(x)}" cy="${at(y)}" r="6"/>`)
    parts.push(
      `<text class="mark-label" x="${at(x + shift)}" y="${at(y - 9)}" text-anchor="${anchor}">${escaped(mark.label)}</text>`,
    )
  }
  return svg(height, parts, curves.title)
}

/** Layers summed up along x. */
export function stackSvg(stack: Stack): string {
  const sums = stack.xs.map((_, index) =>
    stack.layers.reduce((sum, { values }) => sum + (values[index] ?? 0), 0),
  )
  const xs = scaleOf(stack.xs, stack.x, left, width - right, 7)
  const ys = scaleOf([0, ...sums], stack.y, height - bottom, top, 6)
  const parts = [axes(xs, ys, stack.x, stack.y)]
  const floor = stack.xs.map(() => 0)
  const middles: number[] = []
  for (const [index, { name, values }] of stack.layers.entries()) {
    const upper: string[] = []
    const lower: string[] = []
    for (const [step, x] of stack.xs.entries()) {
      const base = floor[step] ?? 0
      lower.unshift(`L${at(xs.at(x))} ${at(ys.at(base))}`)
      floor[step] = base + (values[step] ?? 0)
      upper.push(`${step === 0 ? 'M' : 'L'}${at(xs.at(x))} ${at(ys.at(floor[step] ?? 0))}`)
      if (step === stack.xs.length - 1) middles.push(ys.at((base + (floor[step] ?? 0)) / 2))
    }
    const shape = `${upper.join('')}${lower.join('')}Z`
    parts.push(
      `<path class="area series-${index % seriesCount}" d="${shape}"><title>${escaped(name)}</title></path>`,
    )
  }
  const ends = spreadLabels(middles)
  for (const [index, { name }] of stack.layers.entries()) {
    parts.push(endLabel(name, `series-${index % seriesCount}`, ends[index] ?? 0))
  }
  return svg(height, parts, stack.title)
}

/** Rows by columns, darker for more; each cell carries its number. */
export function heatSvg(heat: Heat): string {
  const known = heat.values.flat().filter((value): value is number => value !== null)
  const low = Math.min(...known)
  const high = Math.max(...known)
  const nameWidth = Math.min(220, 20 + 7 * Math.max(...heat.rowNames.map((name) => name.length)))
  const cellWidth = Math.min(110, (width - nameWidth - 10) / heat.columnNames.length)
  const cellHeight = 26
  const parts: string[] = []
  for (const [column, name] of heat.columnNames.entries()) {
    const x = nameWidth + (column + 0.5) * cellWidth
    parts.push(`<text class="tick" x="${at(x)}" y="14" text-anchor="middle">${escaped(name)}</text>`)
  }
  for (const [row, name] of heat.rowNames.entries()) {
    const y = 22 + row * cellHeight
    parts.push(
      `<text class="tick" x="${nameWidth - 8}" y="${y + 17}" text-anchor="end">${escaped(name)}</text>`,
    )
    for (const [column, value] of (heat.values[row] ?? []).entries()) {
      if (value === null) continue
      const share = (value - low) / (high - low || 1)
      const x = nameWidth + column * cellWidth
      const ink = share > 0.55 ? 'heat-ink-dark' : 'heat-ink-light'
      parts.push(
        `<rect class="heat" x="${at(x)}" y="${y}" width="${at(cellWidth - 2)}" height="${cellHeight - 2}" rx="3" fill-opacity="${(0.06 + 0.94 * share).toFixed(3)}"><title>${escaped(`${name}, ${heat.columnNames[column]}: ${shown(value, heat.unit)}`)}</title></rect>`,
        `<text class="${ink}" x="${at(x + cellWidth / 2 - 1)}" y="${y + 16}" text-anchor="middle">${shown(value, heat.unit)}</text>`,
      )
    }
  }
  return svg(30 + heat.rowNames.length * cellHeight, parts, heat.title)
}

function svg(tall: number, parts: readonly string[], title: string): string {
  return `<svg viewBox="0 0 ${width} ${tall}" role="img" aria-label="${escaped(title)}">${parts.join('')}</svg>`
}

function axes(xs: Scale, ys: Scale, x: Axis, y: Axis): string {
  const parts: string[] = []
  for (const tick of ys.ticks) {
    const line = at(ys.at(tick))
    parts.push(`<path class="grid" d="M${left} ${line}H${width - right}"/>`)
    parts.push(
      `<text class="tick" x="${left - 8}" y="${Number(line) + 4}" text-anchor="end">${tickText(tick, y.unit)}</text>`,
    )
  }
  for (const tick of xs.ticks) {
    const line = at(xs.at(tick))
    parts.push(`<path class="grid" d="M${line} ${height - bottom}v5"/>`)
    parts.push(
      `<text class="tick" x="${line}" y="${height - bottom + 18}" text-anchor="middle">${tickText(tick, x.unit)}</text>`,
    )
  }
  parts.push(`<path class="axis" d="M${left} ${height - bottom}H${width - right}"/>`)
  const middle = (left + width - right) / 2
  parts.push(
    `<text class="axis-title" x="${middle}" y="${height - 8}" text-anchor="middle">${escaped(x.title)}</text>`,
  )
  parts.push(
    `<text class="axis-title" transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(y.title)}</text>`,
  )
  return parts.join('')
}

function tickText(value: number, unit: Unit): string {
  if (unit === 'rate') return String(Number(value.toFixed(3)))
  if (unit === 'share') return `${Number((value * 100).toFixed(2))} %`
  if (unit === 'bytes' || unit === 'seconds' || unit === 'milliseconds') return shown(value, unit)
  if (Math.abs(value) >= 10_000) return compact(value, unit === 'dollars')
  return shown(value, unit === 'dollars' ? 'dollars' : 'number')
}

function compact(value: number, money: boolean): string {
  const [size, letter] =
    Math.abs(value) >= 1e9 ? [1e9, 'G'] : Math.abs(value) >= 1e6 ? [1e6, 'M'] : [1e3, 'k']
  return `${money ? '$' : ''}${Number((value / size).toPrecision(3))}${letter}`
}

function endLabel(name: string, series: string, y: number): string {
  const short = name.length > 20 ? `${name.slice(0, 19)}…` : name
  const x = width - right + 10
  return `<path class="line ${series}" d="M${x - 6} ${at(y)}h10"/><text class="label" x="${x + 8}" y="${at(y + 4)}">${escaped(short)}</text>`
}

/** Moves labels apart so that none covers another, in the order of their places. */
function spreadLabels(places: readonly number[]): number[] {
  const gap = 14
  const spread = [...places]
  const order = [...places.keys()].sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  let above = Number.NEGATIVE_INFINITY
  for (const index of order) {
    spread[index] = Math.max(spread[index] ?? 0, above + gap)
    above = spread[index] ?? 0
  }
  let below = height - bottom + gap
  for (const index of order.reverse()) {
    spread[index] = Math.min(spread[index] ?? 0, below - gap)
    below = spread[index] ?? 0
  }
  return spread
}

function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}
