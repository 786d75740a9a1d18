import { defineCommand } from '../command.ts'
import { simulatedPolicies } from '../simulate/table.ts'

export const command = defineCommand({
  name: 'policies',
  summary: 'the eviction policies that simulate, sweep and the daemon know, with one sentence each',
  operand: null,
  options: { json: { kind: 'flag', about: 'JSON on standard output.' } },
  examples: [{ line: 'policies --json', about: 'The names that --policy takes, for scripts.' }],
  run: async (_operands, options, io) => {
    const rows = simulatedPolicies.map(({ name, about, kind }) => ({ name, about, kind }))
    if (options.json) {
      io.out(`${JSON.stringify({ policies: rows }, null, 2)}\n`)
      return 0
    }
    const width = Math.max(...rows.map(({ name }) => name.length))
    for (const { name, about } of rows) io.out(`${name.padEnd(width)}  ${about}\n`)
    return 0
  },
})
