import { writeFileSync } from 'node:fs'
import type { OptionFields, OptionValues } from '../command.ts'
import { InputError, reasonOf } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { contextLines } from './context.ts'
import { csvText } from './csv.ts'
import { htmlPage } from './html.ts'
import type { Report } from './report.ts'
import { terminalText } from './terminal.ts'

/** Options of every command that reports. */
export const outputFields = {
  json: { kind: 'target', about: 'JSON on standard output and nothing else there, or into the file.' },
  csv: { kind: 'target', about: 'The main table as CSV on standard output, or into the file.' },
  html: {
    kind: 'text',
    placeholder: 'FILE',
    fallback: null,
    about: 'One self-contained page with plots, into the file.',
  },
} as const satisfies OptionFields

/** Writes the report in every wanted form; answers the exit code (130 for a partial one). */
export function emitReport(report: Report, options: OptionValues<typeof outputFields>, io: BenchIo): number {
  const wantsOut = options.json === '' || options.csv === ''
  if (options.json === '') io.out(jsonText(report))
  else if (options.csv === '') {
    io.out(csvText(report))
    for (const [label, text] of contextLines(report.context)) io.note(`${label}: ${text}\n`)
  }
  if (options.json) save(options.json, jsonText(report), io)
  if (options.csv) save(options.csv, csvText(report), io)
  if (options.html !== null) save(options.html, htmlPage(report), io)
  if (!wantsOut) {
    const colour = io.outIsTerminal && (io.env.NO_COLOR ?? '') === ''
    io.out(terminalText(report, { colour, columns: io.columns }))
  }
  if (report.partial) io.note('interrupted: the report is partial\n')
  return report.partial ? 130 : 0
}

/** The machine's form: the command's own fields first, then what they mean. */
export function jsonText(report: Report): string {
  const whole = report.partial ? { partial: true, ...report.json } : report.json
  return `${JSON.stringify({ ...whole, command: report.command, context: report.context }, null, 2)}\n`
}

function save(path: string, text: string, io: BenchIo): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new InputError(`cannot write "${path}": ${reasonOf(error)}`)
  }
  io.note(`written: ${path}\n`)
}
