import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../bench/commands/register.ts'
import { formats } from '../../bench/trace/formats.ts'

const readme = readFileSync(join(import.meta.dirname, '../../bench/README.md'), 'utf8')

void t.test('the README names every command and every format, and no other', (t) => {
  const rows = [...readme.matchAll(/^\| (`[a-z0-9-]+`(?:, `[a-z0-9-]+`)*) \|/gm)].flatMap(([, cell = '']) => {
    return cell.split(', ').map((name) => name.replaceAll('`', ''))
  })
  for (const { name } of commands) t.ok(rows.includes(name), `command ${name}`)
  for (const { name } of formats) t.ok(rows.includes(name), `format ${name}`)
  t.end()
})
