import { flagOf } from '../tiers/block/option.ts'
import { numberText } from '../tiers/block/option-value.ts'
import type { BenchCommand, OptionField } from './command.ts'

/** `terrace bench --help`: one line per command. */
export function overview(commands: readonly BenchCommand[]): string {
  const width = Math.max(...commands.map((command) => command.name.length))
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`)
  return [
    'terrace bench: hit rates, policies and capacity of KV-cache tiers, from a trace or a live system.',
    '',
    'usage: terrace bench <command> [operands] [options]',
    '',
    ...lines,
    '',
    'Results go to standard output (--json and --csv for scripts, --html FILE for a page), progress and',
    'assumptions to standard error. "terrace bench <command> --help" shows options and examples.',
    '',
  ].join('\n')
}

/** `terrace bench <command> --help`, made from the command's rows. */
export function commandHelp(command: BenchCommand): string {
  const operand = command.operand
  const shown = operand === null ? '' : ` ${operand.min === 0 ? `[${operand.name}]` : operand.name}`
  const dots = operand !== null && operand.max > 1 ? '...' : ''
  const names = Object.entries(command.options).map(([name, field]) => ({ left: leftOf(name, field), field }))
  const width = Math.min(34, Math.max(0, ...names.map(({ left }) => left.length)))
  const lines = [`terrace bench ${command.name}: ${command.summary}`, '']
  lines.push(`usage: terrace bench ${command.name}${shown}${dots} [options]`, '')
  if (operand !== null) lines.push(...folded(`  ${operand.name}  `, operand.about), '')
  if (names.length > 0) lines.push('options:')
  for (const { left, field } of names) lines.push(...folded(`  ${left.padEnd(width)}  `, aboutOf(field)))
  lines.push('', 'examples:')
  for (const { line, about } of command.examples) lines.push(`  # ${about}`, `  terrace bench ${line}`)
  return `${lines.join('\n')}\n`
}

function leftOf(name: string, field: OptionField): string {
  const flag = `--${flagOf(name)}`
  if (field.kind === 'flag') return flag
  if (field.kind === 'target') return `${flag}[=FILE]`
  return `${flag} ${field.placeholder}`
}

function aboutOf(field: OptionField): string {
  if (field.kind === 'flag' || field.kind === 'target') return field.about
  const unit = field.kind === 'number' && field.unit !== '' ? ` Unit: ${field.unit}.` : ''
  const choices = field.kind === 'text' && field.choices ? ` One of: ${field.choices.join(', ')}.` : ''
  if (field.kind === 'bytes') {
    const size = field.fallback === null ? '' : ` Default: ${numberText('bytes', field.fallback)}.`
    return `${field.about}${size}`
  }
  const fallback = Array.isArray(field.fallback) ? field.fallback.join(',') : field.fallback
  const given = fallback === null || fallback === '' ? '' : ` Default: ${fallback}.`
  return `${field.about}${choices}${unit}${given}`
}

/** Breaks a text at 100 columns, with every line after the first indented under the text. */
function folded(head: string, text: string): string[] {
  const room = Math.max(30, 100 - head.length)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map((part, index) => (index === 0 ? head : ' '.repeat(head.length)) + part)
}
