import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../bench/commands/register.ts'
import { formats } from '../../bench/trace/formats.ts'

const readme = readFileSync(join(import.meta.dirname, '../../bench/README.md'), 'utf8')

/** Names in the first column of the tables between two headings. */
function namesIn(from: string, to: string): readonly string[] {
  const part = readme.slice(readme.indexOf(from), readme.indexOf(to))
  const cells = [...part.matchAll(/^\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) \|/gm)]
  return cells.flatMap(([, cell = '']) => cell.split(', ').map((name) => name.replaceAll('`', ''))).sort()
}

void t.test('the README names every command and every format, and no other', (t) => {
  const wantedCommands = commands.map(({ name }) => name).sort()
  t.same(namesIn('# ', '## Where what lives'), wantedCommands, 'commands')
  const wantedFormats = formats.map(({ name }) => name).sort()
  t.same(namesIn('## Formats that can be read', '## Invariants'), wantedFormats, 'formats')
  t.end()
})
