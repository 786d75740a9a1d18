import { markdownTable } from './generated.ts'
import { flagOf, type OptionRow, type OptionTable, variableOf } from './option.ts'
import { numberText } from './option-value.ts'

type HelpExample = { readonly line: string; readonly about: string }
export type HelpPage = {
  /** `terrace daemon [options]` */
  readonly usage: string
  /** What the command does, in one or two sentences. */
  readonly about: string
  readonly examples: readonly HelpExample[]
}

const lineWidth = 100
const placeholders: Readonly<Record<OptionRow['unit'], string>> = {
  bytes: 'SIZE',
  ms: 'TIME',
  ratio: 'SHARE',
  count: 'N',
  path: 'PATH',
  text: 'WORD',
  url: 'URL',
  switch: '',
  texts: 'WORD',
}

/** The text of `--help`. */
export function optionHelp(table: OptionTable, page: HelpPage): string {
  const left = Object.entries(table).map(([name, row]) =>
    `  --${flagOf(name)} ${placeholderOf(row)}`.trimEnd(),
  )
  const width = Math.max(...left.map((text) => text.length), '  --help'.length) + 2
  const lines = [`Usage: ${page.usage}`, '', ...wrapped(page.about, lineWidth), '', 'Options:']
  for (const [i, row] of Object.values(table).entries()) {
    const fallback = fallbackOf(row)
    const about = fallback === '' ? row.about : `${row.about} [${fallback}]`
    for (const [k, text] of wrapped(about, lineWidth - width).entries()) {
      lines.push((k === 0 ? (left[i] ?? '') : '').padEnd(width) + text)
    }
  }
  lines.push(`${'  --help'.padEnd(width)}Print this.`)
  lines.push(
    '',
    'Each option can also be a variable (--host-bytes is TERRACE_HOST_BYTES) or a config file field.',
  )
  if (page.examples.length > 0) {
    lines.push('', 'Examples:')
    for (const example of page.examples) lines.push(`  ${example.line}`, `      ${example.about}`)
  }
  return `${lines.join('\n')}\n`
}

/** The rows of the table as a Markdown table for a folder's README. */
export function optionReference(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, row]) => {
    const fallback = fallbackOf(row)
    const about = [fallback === '' ? 'none' : fallback, row.scope ?? 'local', row.about]
    return [`\`--${flagOf(name)}\``, `\`${variableOf(name)}\``, rangeOf(row), ...about]
  })
  return markdownTable(['option', 'variable', 'value', 'fallback', 'scope', 'what it is'], rows)
}

function placeholderOf(row: OptionRow): string {
  return row.placeholder ?? placeholders[row.unit]
}

function fallbackOf(row: OptionRow): string {
  if (row.fallbackAbout !== undefined) return row.fallbackAbout
  switch (row.unit) {
    case 'bytes':
    case 'ms':
    case 'ratio':
    case 'count':
      return row.fallback === null ? '' : numberText(row.unit, row.fallback)
    case 'switch':
      return row.fallback ? 'on' : 'off'
    case 'texts':
      return row.fallback.join(',')
    default:
      return row.fallback ?? ''
  }
}

function rangeOf(row: OptionRow): string {
  switch (row.unit) {
    case 'bytes':
    case 'ms':
    case 'ratio':
    case 'count':
      return `${row.unit}, ${numberText(row.unit, row.min)} to ${numberText(row.unit, row.max)}`
    case 'url':
      return row.schemes.map((scheme) => `${scheme}://`).join(' or ')
    case 'text':
      return row.choices === undefined ? 'text' : row.choices.join(' or ')
    case 'texts':
      return `text, up to ${row.countMax} times`
    default:
      return row.unit
  }
}

/** Breaks a sentence into lines of at most `width` columns, at spaces. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines
}
