import type { Axis } from './report.ts'

/** A numeric axis on paper: where a value lies, and which values get a tick. */
export type Scale = {
  readonly at: (value: number) => number
  readonly ticks: readonly number[]
}

/** A scale over the values' range, from `start` to `end` in paper units, with about `tickCount` round ticks. */
export function scaleOf(
  values: readonly number[],
  axis: Axis,
  start: number,
  end: number,
  tickCount: number,
): Scale {
  const finite = values.filter((value) => Number.isFinite(value) && (axis.log !== true || value > 0))
  const low = finite.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const high = finite.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  if (finite.length === 0) return { at: () => start, ticks: [] }
  if (axis.log === true)
    return logScale(low, high === low ? low * 2 : high, start, end, axis.unit === 'bytes')
  // Money is compared, not measured from nothing: a narrow range is shown as such.
  const narrow = axis.unit === 'dollars' && low > high * 0.4
  const from = narrow ? low - (high - low) * 0.2 : Math.min(0, low)
  return linearScale(from, high === from ? from + 1 : high, start, end, tickCount)
}

function linearScale(low: number, high: number, start: number, end: number, tickCount: number): Scale {
  const step = roundStep((high - low) / tickCount)
  const top = Math.ceil(high / step - 1e-9) * step
  const bottom = Math.floor(low / step + 1e-9) * step
  const ticks: number[] = []
  for (let index = 0; bottom + index * step <= top + step / 2; index += 1) {
    ticks.push(Number((bottom + index * step).toPrecision(12)))
  }
  return { at: (value) => start + ((value - bottom) / (top - bottom)) * (end - start), ticks }
}

function logScale(low: number, high: number, start: number, end: number, binary: boolean): Scale {
  const from = Math.log10(low)
  const to = Math.log10(high)
  const ticks: number[] = []
  const factors = to - from > 3 ? [1] : to - from > 1.2 ? [1, 3] : [1, 2, 5]
  for (let power = Math.floor(from); power <= to; power += 1) {
    for (const factor of factors) {
      const tick = factor * 10 ** power
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick)
    }
  }
  if (binary) ticks.splice(0, ticks.length, ...binaryTicks(low, high))
  if (ticks.length === 0) ticks.push(low, high)
  const at = (value: number): number =>
    start + ((Math.log10(Math.max(value, low)) - from) / (to - from)) * (end - start)
  return { at, ticks }
}

/** 1, 2 or 5 times a power of ten, not below the given step. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step))
  const rest = step / power
  return (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10) * power
}

/** Powers of two between the bounds, as few as seven. */
function binaryTicks(low: number, high: number): number[] {
  const from = Math.ceil(Math.log2(low))
  const to = Math.floor(Math.log2(high))
  const step = Math.max(1, Math.ceil((to - from + 1) / 7))
  const ticks: number[] = []
  for (let power = from; power <= to; power += step) ticks.push(2 ** power)
  return ticks
}
