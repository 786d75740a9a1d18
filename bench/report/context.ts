import { existsSync, readFileSync, statSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Context } from './report.ts'

const repository = resolve(import.meta.dirname, '../..')

/** The context of a simulated or analysed trace, in the default definition of a hit; a command overrides what
 *  it does otherwise. */
export function traceContext(changes: Partial<Context> = {}): Context {
  return {
    definition: 'leading blocks of a request that are resident when it arrives, over all block references',
    weighting: 'blocks',
    tailBlock: 'counted as a reference',
    outputBlocks: 'not cached (traces name no output blocks)',
    warmUp: 'none cut',
    concurrency: 'one request at a time, in file order',
    capacity: 'unlimited',
    order: 'leaf-first',
    seed: null,
    assumed: [],
    commit: commitName(),
    machine: machineName(),
    ...changes,
  }
}

/** The commit this runs from, or the package's version when there is no repository. */
function commitName(): string {
  try {
    const git = gitFolder()
    const head = readFileSync(join(git, 'HEAD'), 'utf8').trim()
    if (!head.startsWith('ref: ')) return head.slice(0, 12)
    const common = existsSync(join(git, 'commondir'))
      ? resolve(git, readFileSync(join(git, 'commondir'), 'utf8').trim())
      : git
    const name = head.slice('ref: '.length)
    const file = join(common, name)
    if (existsSync(file)) return readFileSync(file, 'utf8').trim().slice(0, 12)
    const packed = readFileSync(join(common, 'packed-refs'), 'utf8')
    const line = packed.split('\n').find((entry) => entry.endsWith(` ${name}`))
    return line === undefined ? versionName() : line.slice(0, 12)
  } catch {
    return versionName()
  }
}

function gitFolder(): string {
  const path = join(repository, '.git')
  if (statSync(path).isDirectory()) return path
  const pointer = readFileSync(path, 'utf8').trim().replace('gitdir: ', '')
  return resolve(dirname(path), pointer)
}

function versionName(): string {
  try {
    const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      version?: string
    }
    return `version ${manifest.version ?? 'unknown'}`
  } catch {
    return 'unknown'
  }
}

/** Processor, count, and runtime: enough to compare a measured number, nothing that names the machine. */
function machineName(): string {
  const all = cpus()
  const model = (all[0]?.model ?? 'unknown processor').trim()
  return `${all.length} x ${model}, node ${process.version}, ${process.platform} ${process.arch}`
}

const labels: Readonly<Record<Exclude<keyof Context, 'assumed' | 'seed'>, string>> = {
  definition: 'hit',
  weighting: 'weighting',
  tailBlock: 'partial tail block',
  outputBlocks: 'output blocks',
  warmUp: 'warm-up',
  concurrency: 'concurrency',
  capacity: 'capacity',
  order: 'order of touching',
  commit: 'commit',
  machine: 'machine',
}

/** The context as label and text, for tables and pages. */
export function contextLines(context: Context): readonly (readonly [string, string])[] {
  const lines: [string, string][] = []
  for (const [key, label] of Object.entries(labels)) {
    lines.push([label, context[key as keyof typeof labels]])
  }
  if (context.seed !== null) lines.push(['seed', String(context.seed)])
  for (const sentence of context.assumed) lines.push(['assumed', sentence])
  return lines
}
