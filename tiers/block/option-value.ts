import type { OptionRow } from './option.ts'

/** One value of an option, read from what a person wrote. Words come as text, the config file's values as JSON. */
export type ValueRead =
  | { readonly as: 'value'; readonly value: OptionAny }
  /** `why` continues the sentence "--host-bytes: ". It repeats the input only where that cannot hold a secret. */
  | { readonly as: 'refused'; readonly why: string }
export type OptionAny = number | string | boolean | readonly string[]

type NumberUnit = 'bytes' | 'ms' | 'ratio' | 'count'

const byteFactors: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ...(['k', 'm', 'g', 't'] as const).flatMap((letter, i): [string, number][] => [
    [letter, 1_024 ** (i + 1)],
    [`${letter}ib`, 1_024 ** (i + 1)],
    [`${letter}b`, 1_000 ** (i + 1)],
  ]),
])
const msFactors: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['ms', 1],
  ['s', 1_000],
  ['min', 60_000],
  ['h', 3_600_000],
])
const factors: Readonly<Record<NumberUnit, ReadonlyMap<string, number>>> = {
  bytes: byteFactors,
  ms: msFactors,
  ratio: new Map([
    ['', 1],
    ['%', 0.01],
  ]),
  count: new Map([['', 1]]),
}
const forms: Readonly<Record<NumberUnit, string>> = {
  bytes: 'a size in bytes (like 512MiB or 2GiB)',
  ms: 'a time (like 250ms or 10s)',
  ratio: 'a share (like 0.5 or 50%)',
  count: 'a whole number',
}

/** Reads a word of the command line or of the environment. */
export function valueOfWord(row: OptionRow, word: string): ValueRead {
  switch (row.unit) {
    case 'bytes':
    case 'ms':
    case 'ratio':
    case 'count':
      return inRange(row, numberOf(row.unit, word), word)
    case 'switch':
      if (/^(1|true|yes|on)$/i.test(word)) return { as: 'value', value: true }
      if (/^(0|false|no|off)$/i.test(word)) return { as: 'value', value: false }
      return { as: 'refused', why: 'takes true or false' }
    case 'texts':
      return { as: 'value', value: [word] }
    default:
      return textValue(row, word)
  }
}

/** Reads a value of the config file: JSON numbers and booleans, or the same words as on the command line. */
export function valueOfJson(row: OptionRow, json: unknown): ValueRead {
  switch (row.unit) {
    case 'bytes':
    case 'ms':
    case 'ratio':
    case 'count':
      if (typeof json === 'number') return inRange(row, json, String(json))
      if (typeof json === 'string') return valueOfWord(row, json)
      return { as: 'refused', why: `must be ${forms[row.unit]}, as a number or as text` }
    case 'switch':
      if (typeof json === 'boolean') return { as: 'value', value: json }
      return { as: 'refused', why: 'must be true or false' }
    case 'texts':
      if (Array.isArray(json) && json.every((entry) => typeof entry === 'string')) {
        return { as: 'value', value: json }
      }
      return { as: 'refused', why: 'must be a list of texts' }
    default:
      if (typeof json === 'string') return textValue(row, json)
      return { as: 'refused', why: 'must be a text' }
  }
}

/** A number with its unit, as help and messages show it. */
export function numberText(unit: NumberUnit, value: number): string {
  if (unit === 'bytes') {
    for (const [name, factor] of [
      ['TiB', 2 ** 40],
      ['GiB', 2 ** 30],
      ['MiB', 2 ** 20],
      ['KiB', 2 ** 10],
    ] as const) {
      if (value >= factor && Number.isInteger(value / factor)) return `${value / factor}${name}`
    }
    return `${value}B`
  }
  if (unit === 'ms') return value >= 1_000 && value % 1_000 === 0 ? `${value / 1_000}s` : `${value}ms`
  return String(value)
}

function numberOf(unit: NumberUnit, word: string): number | null {
  const match = /^\s*(\d[\d_]*(?:\.\d+)?)\s*([a-z%]*)\s*$/i.exec(word)
  const factor = factors[unit].get((match?.[2] ?? '').toLowerCase())
  if (match === null || factor === undefined) return null
  const value = Number((match[1] ?? '').replaceAll('_', '')) * factor
  return unit === 'bytes' ? Math.round(value) : value
}

function inRange(row: OptionRow & { unit: NumberUnit }, value: number | null, word: string): ValueRead {
  const shown = `"${word.slice(0, 40)}"`
  const whole = row.unit === 'count' || row.unit === 'bytes'
  if (value === null || !Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) {
    return { as: 'refused', why: `${shown} is not ${forms[row.unit]}` }
  }
  if (value < row.min || value > row.max) {
    const from = numberText(row.unit, row.min)
    return { as: 'refused', why: `${shown} is out of range: ${from} to ${numberText(row.unit, row.max)}` }
  }
  return { as: 'value', value }
}

function textValue(row: OptionRow & { unit: 'text' | 'path' | 'url' }, word: string): ValueRead {
  if (word === '') return { as: 'refused', why: 'must not be empty' }
  if (word.includes('\0')) return { as: 'refused', why: 'must not hold a zero byte' }
  if (row.unit === 'text' && row.choices !== undefined && !row.choices.includes(word)) {
    return {
      as: 'refused',
      why: `"${word.slice(0, 40)}" is unknown: use one of ${row.choices.join(', ')}`,
    }
  }
  if (row.unit !== 'url') return { as: 'value', value: word }
  if (!URL.canParse(word)) return { as: 'refused', why: `is not a URL: use ${schemesOf(row.schemes)}` }
  const url = new URL(word)
  if (!row.schemes.includes(url.protocol.slice(0, -1))) {
    return { as: 'refused', why: `has a scheme that is not known here: use ${schemesOf(row.schemes)}` }
  }
  if (url.username !== '' || url.password !== '') {
    return { as: 'refused', why: 'must not carry a user or a password: give them by file or environment' }
  }
  return { as: 'value', value: word }
}

function schemesOf(schemes: readonly string[]): string {
  return schemes.map((scheme) => `${scheme}://...`).join(' or ')
}
