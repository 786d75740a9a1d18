import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** Runs the tests by method and prints the one line that counts them all. Most run side by side; those that start engines run
 *  one file at a time, so that they do not take the machine from one another.
 *  `npm test -- FILE...` runs the named files only. */

const sideBySide = ['unit', 'property', 'fuzz', 'contract', 'sim', 'fault', 'crash']
const oneByOne = ['e2e', 'browser']

type Totals = { passed: number; failed: number; skipped: number; ran: boolean }

function filesOf(method: string): string[] {
  try {
    return readdirSync(`test/${method}`)
      .filter((name) => name.endsWith('.test.ts'))
      .sort()
      .map((name) => `test/${method}/${name}`)
  } catch {
    return []
  }
}

/** Runs tap on the files. Prints one line per file, and everything of a file that failed. */
async function tap(files: readonly string[], jobs: number): Promise<Totals> {
  const args = [`--jobs=${jobs}`, '--timeout=300', ...files]
  const env = { ...process.env, TAP_REPORTER: 'tap' }
  const child = spawn('tap', args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)))
  let totals = ''
  let detail: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('# { total: ')) totals = line
    if (!/^(ok|not ok) /.test(line)) {
      detail.push(line)
      continue
    }
    if (line.startsWith('not ok')) console.log(detail.join('\n'))
    console.log(line.replace(/ \{$/, ''))
    detail = []
  }
  const code = await ended
  const count = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
  const failed = count('fail')
  if (code !== 0 && failed === 0) console.log(detail.join('\n'))
  return {
    passed: count('pass'),
    failed: code !== 0 && failed === 0 ? 1 : failed,
    skipped: count('skip') + count('todo'),
    ran: totals !== '',
  }
}

const named = process.argv.slice(2)
const groups =
  named.length > 0
    ? [{ files: named, jobs: 1 }]
    : [
        { files: sideBySide.flatMap(filesOf), jobs: 2 },
        { files: oneByOne.flatMap(filesOf), jobs: 1 },
      ]
const sum: Totals = { passed: 0, failed: 0, skipped: 0, ran: false }
for (const { files, jobs } of groups) {
  if (files.length === 0) continue
  const totals = await tap(files, jobs)
  sum.passed += totals.passed
  sum.failed += totals.failed + (totals.ran ? 0 : 1)
  sum.skipped += totals.skipped
  sum.ran = true
}
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0
