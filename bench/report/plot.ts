import { shown } from './format.ts'
import type { Axis, Curves, Line, Stack, Unit } from './report.ts'
import { type Scale, scaleOf } from './scale.ts'
import { at, element, label, tip } from './svg.ts'

/** Paper size of a plot, in SVG units; the page scales it. */
export const paperWidth = 760
const height = 360
const left = 74
const right = paperWidth - 150
const top = 14
const bottom = height - 46

/** Colours come from the page as series-0 .. series-7; beyond that they repeat with a dashed line. */
const seriesCount = 8

/** Characters of a line's name that fit beside its end. */
const nameLengthMax = 20

/** Lines with more points than this are drawn without dots. */
const dotsMax = 60

/** Lines over a shared x axis; a band line is filled from its top, and marks are ringed. */
export function curvesSvg(curves: Curves): string {
  const points = curves.lines.flatMap((line) => line.points)
  const xs = scaleOf(
    points.map(([x]) => x),
    curves.x,
    left,
    right,
    7,
  )
  const ys = scaleOf(
    points.map(([, y]) => y),
    curves.y,
    bottom,
    top,
    6,
  )
  const parts = [axes(xs, ys, curves.x, curves.y)]
  const ends = spreadLabels(curves.lines.map(({ points: own }) => ys.at(own.at(-1)?.[1] ?? 0)))
  const order = [...curves.lines.entries()].sort(([, a], [, b]) => bandFirst(a) - bandFirst(b))
  for (const [index, line] of order) {
    parts.push(...lineParts(curves, line, index, xs, ys))
    parts.push(endLabel(line.name, seriesOf(line, index), ends[index] ?? 0))
  }
  for (const mark of curves.marks ?? []) {
    const [x, y] = [xs.at(mark.x), ys.at(mark.y)]
    const anchor = x > right - 120 ? 'end' : 'start'
    const shifted = anchor === 'end' ? x - 9 : x + 9
    parts.push(element('circle', { class: 'mark', cx: x, cy: y, r: 6 }))
    parts.push(label(mark.label, { class: 'mark-label', x: shifted, y: y + 20, 'text-anchor': anchor }))
  }
  return drawing(height, parts, curves.title)
}

function bandFirst(line: Line): number {
  return line.band === true ? 0 : 1
}

function seriesOf(line: Line, index: number): string {
  return line.band === true ? 'band' : `series-${index % seriesCount}`
}

function lineParts(curves: Curves, line: Line, index: number, xs: Scale, ys: Scale): string[] {
  const drawn = line.points.filter(([x]) => curves.x.log !== true || x > 0)
  const first = drawn[0]
  const last = drawn.at(-1)
  if (first === undefined || last === undefined) return []
  const series = seriesOf(line, index)
  const parts: string[] = []
  const path = drawn
    .map(([x, y], step) => `${step === 0 ? 'M' : 'L'}${at(xs.at(x))} ${at(ys.at(y))}`)
    .join('')
  if (line.band === true) {
    const above = `${path}L${at(xs.at(last[0]))} ${top}L${at(xs.at(first[0]))} ${top}Z`
    parts.push(element('path', { class: 'band-fill', d: above }))
  }
  const dash = index >= seriesCount ? { 'stroke-dasharray': '5 4' } : {}
  parts.push(element('path', { class: `line ${series}`, d: path, ...dash }, tip(line.name)))
  if (drawn.length > dotsMax) return parts
  for (const [x, y] of drawn) {
    const text = `${line.name}: ${shown(x, curves.x.unit)}, ${shown(y, curves.y.unit)}`
    parts.push(element('circle', { class: `dot ${series}`, cx: xs.at(x), cy: ys.at(y), r: 2.6 }, tip(text)))
  }
  return parts
}

/** Layers summed up along x. */
export function stackSvg(stack: Stack): string {
  const sums = stack.xs.map((_, index) =>
    stack.layers.reduce((sum, { values }) => sum + (values[index] ?? 0), 0),
  )
  const xs = scaleOf(stack.xs, stack.x, left, right, 7)
  const ys = scaleOf([0, ...sums], stack.y, bottom, top, 6)
  const parts = [axes(xs, ys, stack.x, stack.y)]
  const floor = stack.xs.map(() => 0)
  const middles: number[] = []
  for (const [index, { name, values }] of stack.layers.entries()) {
    const upper: string[] = []
    const lower: string[] = []
    for (const [step, x] of stack.xs.entries()) {
      const base = floor[step] ?? 0
      const next = base + (values[step] ?? 0)
      lower.unshift(`L${at(xs.at(x))} ${at(ys.at(base))}`)
      upper.push(`${step === 0 ? 'M' : 'L'}${at(xs.at(x))} ${at(ys.at(next))}`)
      floor[step] = next
      if (step === stack.xs.length - 1) middles.push(ys.at((base + next) / 2))
    }
    const shape = { class: `area series-${index % seriesCount}`, d: `${upper.join('')}${lower.join('')}Z` }
    parts.push(element('path', shape, tip(name)))
  }
  const ends = spreadLabels(middles)
  for (const [index, { name }] of stack.layers.entries()) {
    parts.push(endLabel(name, `series-${index % seriesCount}`, ends[index] ?? 0))
  }
  return drawing(height, parts, stack.title)
}

/** The svg element around a plot. */
export function drawing(tall: number, parts: readonly string[], title: string): string {
  return element(
    'svg',
    { viewBox: `0 0 ${paperWidth} ${tall}`, role: 'img', 'aria-label': title },
    parts.join(''),
  )
}

function axes(xs: Scale, ys: Scale, x: Axis, y: Axis): string {
  const parts: string[] = []
  for (const tick of ys.ticks) {
    const line = ys.at(tick)
    parts.push(element('path', { class: 'grid', d: `M${left} ${at(line)}H${right}` }))
    parts.push(
      label(tickText(tick, y.unit), { class: 'tick', x: left - 8, y: line + 4, 'text-anchor': 'end' }),
    )
  }
  for (const tick of xs.ticks) {
    const line = xs.at(tick)
    parts.push(element('path', { class: 'grid', d: `M${at(line)} ${bottom}v5` }))
    const place = { class: 'tick', x: line, y: bottom + 18, 'text-anchor': 'middle' }
    parts.push(label(tickText(tick, x.unit), place))
  }
  parts.push(element('path', { class: 'axis', d: `M${left} ${bottom}H${right}` }))
  const centred = { class: 'axis-title', 'text-anchor': 'middle' }
  parts.push(label(x.title, { ...centred, x: (left + right) / 2, y: height - 8 }))
  const turned = `translate(14 ${(top + bottom) / 2}) rotate(-90)`
  parts.push(label(y.title, { ...centred, transform: turned }))
  return parts.join('')
}

function tickText(value: number, unit: Unit): string {
  if (unit === 'rate') return String(Number(value.toFixed(3)))
  if (unit === 'share') return `${Number((value * 100).toFixed(2))} %`
  if (unit === 'bytes' || unit === 'seconds' || unit === 'milliseconds') {
    return shown(value, unit)
      .replace(/(\.\d*?)0+ /, '$1 ')
      .replace('. ', ' ')
  }
  if (Math.abs(value) >= 10_000) return compact(value, unit === 'dollars')
  return shown(value, unit === 'dollars' ? 'dollars' : 'number')
}

function compact(value: number, money: boolean): string {
  const [size, letter] =
    Math.abs(value) >= 1e9 ? [1e9, 'G'] : Math.abs(value) >= 1e6 ? [1e6, 'M'] : [1e3, 'k']
  return `${money ? '$' : ''}${Number((value / size).toPrecision(3))}${letter}`
}

/** A name that fits beside its line. Cut in the middle: names of one plot mostly begin alike and end apart. */
function besideLine(name: string): string {
  return name.length > nameLengthMax ? `${name.slice(0, 7)}…${name.slice(8 - nameLengthMax)}` : name
}

function endLabel(name: string, series: string, y: number): string {
  const short = besideLine(name)
  const mark = element('path', { class: `line ${series}`, d: `M${right + 4} ${at(y)}h10` })
  return mark + label(short, { class: 'label', x: right + 18, y: y + 4 })
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
  let below = bottom + gap
  for (const index of order.reverse()) {
    spread[index] = Math.min(spread[index] ?? 0, below - gap)
    below = spread[index] ?? 0
  }
  return spread
}
