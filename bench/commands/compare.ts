import { readFileSync } from 'node:fs'
import { defineCommand } from '../command.ts'
import { compareReports, contextDifferences, type Difference } from '../compare.ts'
import { InputError, reasonOf, UsageError } from '../failure.ts'
import { traceContext } from '../report/context.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import type { Report, Section } from '../report/report.ts'

export const command = defineCommand({
  name: 'compare',
  summary: 'two JSON reports, number by number; exit code 1 when they differ beyond the tolerance',
  operand: { name: 'BEFORE AFTER', about: 'two files written with --json', min: 2, max: 2 },
  options: {
    tolerance: {
      kind: 'number',
      placeholder: 'X',
      unit: '',
      fallback: 0,
      min: 0,
      max: 1e12,
      about: 'Largest absolute difference that is still equal.',
    },
    relative: {
      kind: 'number',
      placeholder: 'SHARE',
      unit: '',
      fallback: 0,
      min: 0,
      max: 1e6,
      about: 'Largest relative difference that is still equal (0.05 is 5 %).',
    },
    fields: {
      kind: 'list',
      placeholder: 'A,B',
      fallback: [],
      about: 'Compare only fields with these names.',
    },
    anyContext: { kind: 'flag', about: 'Compare although the reports define a hit differently.' },
    ...outputFields,
  },
  examples: [
    {
      line: 'compare base.json new.json --tolerance 0.0005 --fields hitRate',
      about: 'For CI: hit rates must agree.',
    },
  ],
  run: async (operands, options, io) => {
    const [beforePath = '', afterPath = ''] = operands
    const [before, after] = [reportIn(beforePath), reportIn(afterPath)]
    const definitions = contextDifferences(before, after)
    if (definitions.length > 0 && !options.anyContext) {
      const list = definitions.map((line) => `  ${line}`).join('\n')
      throw new InputError(`the reports measure different things (--any-context compares anyway):\n${list}`)
    }
    const tolerance = { absolute: options.tolerance, relative: options.relative }
    const all = compareReports(before, after, tolerance)
    const compared = all.filter(
      ({ path }) => options.fields.length === 0 || options.fields.includes(fieldOf(path)),
    )
    if (compared.length === 0) {
      throw new UsageError(`--fields: neither report has a field ${options.fields.join(' or ')}`)
    }
    const code = emitReport(comparison(compared, beforePath, afterPath), options, io)
    return code !== 0 ? code : compared.every(({ within }) => within) ? 0 : 1
  },
})

function reportIn(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new InputError(`cannot read "${path}": ${reasonOf(error)}`)
  }
  let report: unknown
  try {
    report = JSON.parse(text)
  } catch (error) {
    throw new InputError(`"${path}" is no JSON report: ${reasonOf(error)}`)
  }
  if (typeof (report as { readonly command?: unknown } | null)?.command !== 'string') {
    throw new InputError(`"${path}" is no report: it has no field "command", which --json writes`)
  }
  return report
}

/** The last name of a path. */
function fieldOf(path: string): string {
  return path.replace(/\[[^\]]*\]$/, '').replace(/^.*\./, '')
}

function comparison(compared: readonly Difference[], before: string, after: string): Report {
  const changed = compared.filter(({ change, within }) => !within || (change !== null && change !== 0))
  const beyond = compared.filter(({ within }) => !within).length
  const sections: Section[] = [
    {
      kind: 'facts',
      title: beyond === 0 ? 'Equal within the tolerance' : 'Different',
      items: [
        { key: 'compared', label: 'fields compared', value: compared.length, unit: 'count' },
        { key: 'changed', label: 'changed', value: changed.length, unit: 'count' },
        { key: 'beyond', label: 'beyond the tolerance', value: beyond, unit: 'count' },
      ],
    },
  ]
  if (changed.length > 0) {
    sections.push({
      kind: 'table',
      title: 'Changes',
      columns: [
        { key: 'path', title: 'field', unit: 'text' },
        { key: 'before', title: 'before', unit: 'number' },
        { key: 'after', title: 'after', unit: 'number' },
        { key: 'change', title: 'change', unit: 'number' },
        { key: 'relative', title: 'relative', unit: 'share' },
        { key: 'within', title: 'within', unit: 'text' },
      ],
      rows: changed.map((difference) => ({ ...difference })),
    })
  }
  return {
    command: 'compare',
    title: `${before} against ${after}`,
    json: { before, after, compared: compared.length, beyond, differences: changed },
    sections,
    context: traceContext({ capacity: 'as in the reports', order: 'as in the reports' }),
    partial: false,
  }
}
