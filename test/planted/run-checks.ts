import { parseArgs } from 'node:util'
import { chanceOf } from '../sim/world.ts'
import { checks } from './checks.ts'
import { catches, misfits } from './plant.ts'

/** Breaks the product on purpose, one break at a time, and demands that the named test notices.
 *
 *    node test/planted/run-checks.ts [word]            those whose name or test contains the word
 *    node test/planted/run-checks.ts --seed 7 --count 5   five of them, drawn by the seed
 *    node test/planted/run-checks.ts --fit             only whether every break still has its place in the text
 *    node test/planted/run-checks.ts --sound           each test once without a break: it must pass */

/** Longest run of one test, in milliseconds: those with real engines take minutes on a few cores. */
const msMaxOf = (test: string): number => (test.includes('/road-') ? 400_000 : 90_000)
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string' },
    fit: { type: 'boolean', default: false },
    sound: { type: 'boolean', default: false },
  },
})
const part = positionals[0] ?? ''
const chance = chanceOf(Number(values.seed))
const named = checks.filter(({ name, test }) => name.includes(part) || test.includes(part))
const drawn = named.map((check) => ({ check, at: chance() })).sort((a, b) => a.at - b.at)
const chosen =
  values.count === undefined ? named : drawn.slice(0, Number(values.count)).map(({ check }) => check)

/** Each test with the parts that some row asks for, without a break. */
function unbroken(): typeof checks {
  const byTest = new Map(chosen.map((check) => [`${check.test} ${check.only?.join()}`, check]))
  return [...byTest.values()].map((check) => ({ ...check, name: `no break: ${check.test}`, changes: [] }))
}

let wrong = misfits(checks).length
for (const misfit of misfits(checks)) console.log(`no longer fits: ${misfit}`)
for (const check of values.fit ? [] : values.sound ? unbroken() : chosen) {
  const startMs = performance.now()
  const result = await catches(check, msMaxOf(check.test))
  const isRed = result.as === 'found'
  if (isRed === values.sound) wrong += 1
  const seconds = Math.round((performance.now() - startMs) / 1_000)
  const word = values.sound ? (isRed ? 'fails' : 'passes') : result.as
  console.log(`${word} after ${seconds} s by ${check.test}: ${check.name} (${result.says})`)
}
process.exit(wrong === 0 ? 0 : 1)
