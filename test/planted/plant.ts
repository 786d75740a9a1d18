import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PlantedBug } from './bugs.ts'

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
  mkdirSync(join(root, '.tap'), { recursive: true })
  const copy = mkdtempSync(join(root, '.tap', 'planted-'))
  try {
    for (const folder of ['tiers', 'test/sim'])
      cpSync(join(root, folder), join(copy, folder), { recursive: true })
    mkdirSync(join(copy, 'addon'))
    cpSync(join(root, 'addon/native.ts'), join(copy, 'addon/native.ts'))
    cpSync(join(root, 'package.json'), join(copy, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    for (const change of bug?.changes ?? []) {
      const file = join(copy, change.file)
      const text = readFileSync(file, 'utf8')
      if (!text.includes(change.from))
        throw new Error(`${bug?.name}: ${change.file} has changed, the bug no longer fits`)
      writeFileSync(file, text.replace(change.from, change.to))
    }
    return await simulated(copy, firstSeed, seeds, msMax)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function simulated(copy: string, firstSeed: number, seeds: number, msMax: number): Promise<Hunt> {
  return new Promise((resolve, reject) => {
    const options = [
      '--seed',
      String(firstSeed),
      '--count',
      String(seeds),
      '--minutes',
      String(msMax / 60_000),
    ]
    const child = spawn(process.execPath, ['test/sim/run.ts', ...options], {
      cwd: copy,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: msMax + 20_000,
    })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child.stderr.on('data', (chunk) => (text += chunk))
    child.once('error', reject)
    child.once('close', (code) => {
      const lines = text.split('\n')
      const says = lines.find((line) => /Error|Failure/.test(line)) ?? lines[0] ?? ''
      resolve(code === 0 ? { as: 'missed', says: lines[0] ?? '' } : { as: 'found', says })
    })
  })
}
