import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export type ChildEnd = {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}
export type ChildWanted = {
  readonly env?: Readonly<Record<string, string>>
  readonly uid?: number
  readonly wrap?: readonly string[]
}

/** Longest life of a child, in milliseconds. Why: one that hangs is a failure to be shown, not to be waited for. */
const childMsMax = 60_000

/** The first lines of a child's program: the addon, and what it is called with. */
export const prelude = `
import { writeFileSync } from 'node:fs'
import { loadNative } from ${JSON.stringify(fileURLToPath(new URL('../addon/load.ts', import.meta.url)))}
import { Rig, packed } from ${JSON.stringify(fileURLToPath(new URL('addon-rig.ts', import.meta.url)))}
const args = JSON.parse(process.env.CHILD_ARGS ?? '[]')
const native = loadNative()
`

/** Runs a program (the text of a module, after the prelude) in a process of its own. */
export async function runChild(
  program: string,
  args: readonly unknown[] = [],
  wanted: ChildWanted = {},
): Promise<ChildEnd> {
  return await endOf(startChild(program, args, wanted))
}

export function startChild(
  program: string,
  args: readonly unknown[] = [],
  wanted: ChildWanted = {},
): ChildProcess {
  const node = [process.execPath, '--input-type=module-typescript', '-e', prelude + program]
  // Another user's process may not write where the test runner's hooks keep their notes: it runs without them.
  const bare = wanted.uid === undefined ? [] : ['env', '-u', 'NODE_OPTIONS']
  const [command, ...rest] = [...bare, ...(wanted.wrap ?? []), ...node]
  return spawn(command ?? '', rest, {
    env: { ...process.env, CHILD_ARGS: JSON.stringify(args), ...wanted.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: childMsMax,
    killSignal: 'SIGKILL',
    ...(wanted.uid === undefined ? {} : { uid: wanted.uid, gid: wanted.uid }),
  })
}

export async function endOf(child: ChildProcess): Promise<ChildEnd> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (text) => {
    stdout += text
  })
  child.stderr?.on('data', (text) => {
    stderr += text
  })
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}
