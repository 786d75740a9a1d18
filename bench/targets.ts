import { accessSync, constants, type Stats, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { InputError, reasonOf, UsageError } from './failure.ts'

/** Names of options that hold a file to write. */
const targetNames = ['json', 'csv', 'html', 'output', 'requests'] as const

/** Refuses files that cannot be written before anything is computed: an hour's result must not be lost to a mistyped folder. */
export function checkTargets(options: Readonly<Record<string, unknown>>): void {
  if (options.json === '' && options.csv === '') {
    throw new UsageError(
      '--json and --csv both want standard output: give one of them a file, as in --csv=rows.csv',
    )
  }
  for (const name of targetNames) {
    const path = options[name]
    if (typeof path !== 'string' || path === '' || path === '-') continue
    const why = problemOf(resolve(path))
    if (why !== null) throw new InputError(`--${name}: cannot write "${path}": ${why}`)
  }
}

function problemOf(path: string): string | null {
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return 'it is a folder'
    accessSync(statOrNull(path) === null ? dirname(path) : path, constants.W_OK)
    return null
  } catch (error) {
    return reasonOf(error)
  }
}

function statOrNull(path: string): Stats | null {
  return statSync(path, { throwIfNoEntry: false }) ?? null
}
