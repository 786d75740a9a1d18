import type { Cell, Unit } from './report.ts'

/** A cell as people read it. */
export function shown(value: Cell, unit: Unit): string {
  if (value === null) return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'string') return value
  if (!Number.isFinite(value)) return value > 0 ? 'unlimited' : '-'
  return writers[unit](value)
}

const writers: Readonly<Record<Unit, (value: number) => string>> = {
  text: String,
  count: grouped,
  blocks: grouped,
  tokens: grouped,
  bytes: byteText,
  seconds: secondText,
  milliseconds: (value) => secondText(value / 1_000),
  rate: (value) => value.toFixed(4),
  share: (value) => `${(value * 100).toFixed(1)} %`,
  dollars: (value) => `$${Math.abs(value) < 10 ? value.toFixed(2) : grouped(Math.round(value))}`,
  number: (value) =>
    Math.abs(value) >= 1_000 ? grouped(Math.round(value)) : String(Number(value.toPrecision(4))),
}

/** 12,031: a comma every three digits, at most two decimals. */
function grouped(value: number): string {
  const [whole = '', decimals] = (Number.isInteger(value) ? String(value) : value.toFixed(2)).split('.')
  const parted = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  return decimals === undefined ? parted : `${parted}.${decimals}`
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

function byteText(value: number): string {
  let unit = 0
  let size = value
  while (Math.abs(size) >= 1_024 && unit < byteUnits.length - 1) {
    size /= 1_024
    unit += 1
  }
  const digits = unit === 0 ? 0 : Math.abs(size) < 10 ? 2 : Math.abs(size) < 100 ? 1 : 0
  return `${size.toFixed(digits)} ${byteUnits[unit]}`
}

function secondText(value: number): string {
  if (value === 0) return '0 s'
  const size = Math.abs(value)
  if (size < 0.001) return `${(value * 1e6).toFixed(0)} µs`
  if (size < 1) return `${(value * 1e3).toFixed(size < 0.01 ? 1 : 0)} ms`
  if (size < 100) return `${value.toFixed(size < 10 ? 2 : 1)} s`
  if (size < 10_000) return `${grouped(Math.round(value))} s`
  return `${(value / 3_600).toFixed(1)} h`
}
