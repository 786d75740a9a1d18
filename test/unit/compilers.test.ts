import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'

const checkout = resolve(import.meta.dirname, '../..')

/** Functions that reading or making a trace keeps busy. Node's own may be compiled before our first line runs. */
const ours: readonly string[] = ['pushBlock', 'child', 'add', '#add']

/** Names of the compilers that Node says it used for them. */
function compilersOf(words: readonly string[]): ReadonlySet<string> {
  const said = execFileSync(process.execPath, ['--trace-opt', ...words], {
    cwd: checkout,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
  })
  return new Set(
    [...said.matchAll(/completed compiling \S+ <JSFunction (\S+) .*\(target (\w+)\)/g)].flatMap(
      ([, of, name]) => (ours.includes(of ?? '') ? [name ?? ''] : []),
    ),
  )
}

void t.test('terrace runs without the compiler that mixes up numbers of object literals', (t) => {
  const made = join(t.testdir({}), 'made.jsonl')
  const used = compilersOf([join(checkout, 'terrace.ts'), 'bench', 'synthesize', '--output', made])
  t.ok(used.has('TURBOFAN_JS'), 'something was hot')
  t.notOk(used.has('MAGLEV'), 'not by Maglev')
  t.end()
})

void t.test('so do the tests, when tap runs them', (t) => {
  t.match(readFileSync(join(checkout, '.taprc'), 'utf8'), /^node-arg:\n {2}- --no-maglev$/m)
  const byTap = process.env.TAP !== undefined
  t.ok(!byTap || process.execArgv.includes('--no-maglev'), 'and here')
  t.end()
})
