import { flagOf } from '../tiers/block/option.ts'
import { valueOfWord } from '../tiers/block/option-value.ts'
import type { BenchCommand, OptionField, OptionFields } from './command.ts'
import { UsageError } from './failure.ts'
import { suggestion } from './nearest.ts'

type Parsed = {
  readonly operands: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
  readonly help: boolean
}

/** Reads the words after the command name by the command's own option rows; throws a UsageError that names the
 *  option and what to do. */
export function parseArguments(command: BenchCommand, words: readonly string[]): Parsed {
  const byFlag = new Map(Object.keys(command.options).map((name) => [flagOf(name), name] as const))
  const values = new Map<string, unknown>()
  const operands: string[] = []
  let help = false
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? ''
    if (word === '--help' || word === '-h') {
      help = true
      continue
    }
    if (word === '--') {
      operands.push(...words.slice(at + 1))
      break
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word)
      continue
    }
    const cut = word.indexOf('=')
    const flag = (cut < 0 ? word : word.slice(0, cut)).replace(/^--?/, '')
    const name = byFlag.get(flag)
    const field = name === undefined ? undefined : command.options[name]
    if (name === undefined || field === undefined || !word.startsWith('--')) {
      const hint = suggestion(flag, [...byFlag.keys()], '--')
      throw new UsageError(`unknown option "${word}" of "${command.name}".${hint}`)
    }
    const joined = cut < 0 ? null : word.slice(cut + 1)
    at += store(values, name, field, joined, words[at + 1] ?? null)
  }
  if (!help) checkOperands(command, operands)
  return { operands, options: filled(command.options, values), help }
}

/** Stores one option; answers how many following words it took (0 or 1). */
function store(
  values: Map<string, unknown>,
  name: string,
  field: OptionField,
  joined: string | null,
  next: string | null,
): number {
  const flag = `--${flagOf(name)}`
  if (field.kind === 'flag') {
    if (joined !== null) throw new UsageError(`${flag} takes no value`)
    values.set(name, true)
    return 0
  }
  if (field.kind === 'target') {
    values.set(name, joined ?? '')
    return 0
  }
  const text = joined ?? next
  const isFlag = joined === null && text?.startsWith('--') === true
  if (text === null || isFlag) throw new UsageError(`${flag} needs a value: ${flag} ${field.placeholder}`)
  if (field.kind === 'number') values.set(name, numberOf(flag, field, text))
  if (field.kind === 'bytes') values.set(name, bytesOf(flag, field, text))
  if (field.kind === 'list') {
    const known = (values.get(name) ?? []) as readonly string[]
    const parts = text.split(',').map((part) => part.trim())
    values.set(name, [...known, ...parts.filter((part) => part !== '')])
  }
  if (field.kind === 'text') {
    if (field.choices !== undefined && !field.choices.includes(text)) {
      const hint = suggestion(text, field.choices)
      throw new UsageError(`${flag}: unknown "${text}"; one of ${field.choices.join(', ')}.${hint}`)
    }
    values.set(name, text)
  }
  return joined === null ? 1 : 0
}

function numberOf(flag: string, field: OptionField & { kind: 'number' }, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  const wrongKind = field.whole === true && !Number.isInteger(value)
  if (!Number.isFinite(value) || wrongKind || value < field.min || value > field.max) {
    const kind = field.whole === true ? 'a whole number' : 'a number'
    const range = `from ${field.min} to ${field.max}${field.unit === '' ? '' : ` (${field.unit})`}`
    throw new UsageError(`${flag}: "${text}" is not ${kind} ${range}`)
  }
  return value
}

function bytesOf(flag: string, field: OptionField & { kind: 'bytes' }, text: string): number {
  const row = { unit: 'bytes', fallback: null, min: field.min, max: field.max, about: field.about } as const
  const read = valueOfWord(row, text)
  if (read.as === 'refused') throw new UsageError(`${flag}: "${text}": ${read.why}`)
  return Number(read.value)
}

function filled(fields: OptionFields, values: ReadonlyMap<string, unknown>): Record<string, unknown> {
  const options: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    const unset = field.kind === 'flag' ? false : field.kind === 'target' ? null : field.fallback
    options[name] = values.has(name) ? values.get(name) : unset
  }
  return options
}

function checkOperands(command: BenchCommand, operands: readonly string[]): void {
  const operand = command.operand
  const max = operand?.max ?? 0
  if (operands.length > max) {
    throw new UsageError(`"${command.name}" does not know what to do with "${operands[max]}"`)
  }
  if (operand !== null && operands.length < operand.min) {
    throw new UsageError(`"${command.name}" needs ${operand.name}: ${operand.about}`)
  }
}
