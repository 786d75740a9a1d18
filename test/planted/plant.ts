import { spawn } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tracesFolder } from '../traces.ts'
import type { Change, PlantedBug } from './bugs.ts'
import type { Check } from './check.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

export type Hunt =
  | { readonly as: 'found'; readonly says: string }
  | { readonly as: 'missed'; readonly says: string }

/** Copies the product, puts the bug in, and lets the simulator look for it. */
export async function hunt(
  bug: PlantedBug | null,
  firstSeed: number,
  seeds: number,
  msMax: number,
): Promise<Hunt> {
  const options = ['--seed', String(firstSeed), '--count', String(seeds), '--minutes', String(msMax / 60_000)]
  const program = { words: ['test/sim/run.ts', ...options], environment: {}, msMax: msMax + 20_000 }
  return await inCopy(bug?.name ?? 'no bug', bug?.changes ?? [], copySimulated, async (copy) => {
    const { code, text } = await ran(copy, program)
    const lines = text.split('\n')
    const says = lines.find((line) => /Error|Failure/.test(line)) ?? lines[0] ?? ''
    return code === 0 ? { as: 'missed', says: lines[0] ?? '' } : { as: 'found', says }
  })
}

/** Copies the checkout, makes the changes, and runs the test. `found` names the first assertion that failed. */
export async function catches({ name, test, only, changes }: Check, msMax: number): Promise<Hunt> {
  const grep = only?.map((word) => `/${word}/`).join('\n')
  // The shared traces lie beside the checkout, not beside its copy.
  const traces = tracesFolder()
  const environment = {
    TAP_TIMEOUT: String(msMax / 1_000),
    ...(traces === null ? {} : { TERRACE_TRACES: traces }),
    ...(grep === undefined ? {} : { TAP_GREP: grep }),
  }
  return await inCopy(name, changes, copyAll, async (copy) => {
    const { code, text } = await ran(copy, { words: [test], environment, msMax: msMax + 20_000 })
    const says = /^ *not ok \d+ - (.*)$/m.exec(text)?.[1] ?? text.trim().split('\n').at(-1) ?? ''
    return code === 0 ? { as: 'missed', says: '' } : { as: 'found', says }
  })
}

/** Whether every text to change is where the rows say it is, exactly once. Returns what does not fit. */
export function misfits(rows: readonly Pick<Check, 'name' | 'changes'>[]): readonly string[] {
  return rows.flatMap(({ name, changes }) =>
    changes
      .filter(({ file, from }) => readFileSync(join(root, file), 'utf8').split(from).length !== 2)
      .map(({ file }) => `${name}: ${file}`),
  )
}

async function inCopy<Value>(
  name: string,
  changes: readonly Change[],
  fill: (copy: string) => void,
  work: (copy: string) => Promise<Value>,
): Promise<Value> {
  mkdirSync(join(root, '.tap'), { recursive: true })
  const copy = mkdtempSync(join(root, '.tap', 'planted-'))
  try {
    fill(copy)
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    for (const { file, from, to } of changes) {
      const text = readFileSync(join(copy, file), 'utf8')
      if (!text.includes(from)) throw new Error(`${name}: ${file} has changed, the bug no longer fits`)
      writeFileSync(
        join(copy, file),
        text.replace(from, () => to),
      )
    }
    return await work(copy)
  } finally {
    endLeftovers(copy)
    rmSync(copy, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
}

/** A break may be that processes outlive their test: those of this copy are known by its path in their words. */
function endLeftovers(copy: string): void {
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'latin1')
      if (words.includes(copy)) process.kill(Number(name), 'SIGKILL')
    } catch {
      // It ended by itself meanwhile, or is somebody else's.
    }
  }
}

function copySimulated(copy: string): void {
  for (const folder of ['tiers', 'test/sim'])
    cpSync(join(root, folder), join(copy, folder), { recursive: true })
  mkdirSync(join(copy, 'addon'))
  cpSync(join(root, 'addon/native.ts'), join(copy, 'addon/native.ts'))
  cpSync(join(root, 'package.json'), join(copy, 'package.json'))
}

/** What is built lies in the checkout itself; a copy looks at it. */
const built = ['addon/build', '.terrace']
const left = new Set(['.git', '.tap', 'node_modules', ...built].map((name) => join(root, name)))

function copyAll(copy: string): void {
  // A folder cannot be copied into itself, so its entries are.
  for (const name of readdirSync(root)) {
    if (left.has(join(root, name))) continue
    cpSync(join(root, name), join(copy, name), { recursive: true, filter: (path) => !left.has(path) })
  }
  for (const name of built) symlinkSync(join(root, name), join(copy, name))
}

type Program = {
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly msMax: number
}

function ran(
  cwd: string,
  { words, environment, msMax }: Program,
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: msMax,
      env: { ...process.env, ...environment },
    })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child.stderr.on('data', (chunk) => (text += chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, text }))
  })
}
