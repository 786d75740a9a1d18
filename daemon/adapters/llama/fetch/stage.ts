import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { withLock } from './lock.ts'
import { type OnProgress, SetupProblem, type Sleep } from './problem.ts'

/** A folder that is made once. `name` carries the fingerprint of what it is made from, so another version is another
 *  folder, and a present folder is a whole one: it appears by one rename as the last thing. */
export type Made = {
  readonly parent: string
  readonly name: string
  readonly sleep: Sleep
  readonly onProgress: OnProgress
  /** Makes the content in `result`. `work` may hold what a cut run left, to go on from there. */
  readonly make: (work: string, result: string) => Promise<void>
}

/** The folder's path, made by `make` when it is not there. One stat when it is. */
export async function makeOnce(made: Made): Promise<string> {
  const target = join(made.parent, made.name)
  if (await present(target)) return target
  await makeParent(made.parent)
  const onWait = (pid: number): void =>
    made.onProgress({ step: `waiting for process ${pid}, which prepares the same`, done: 0, total: 0 })
  return withLock(`${target}.lock`, made.sleep, onWait, async () => {
    if (await present(target)) return target
    const work = `${target}.work`
    const result = join(work, 'result')
    await rm(result, { recursive: true, force: true })
    await mkdir(result, { recursive: true })
    await made.make(work, result)
    await rename(result, target)
    await rm(work, { recursive: true, force: true })
    return target
  })
}

export async function present(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function makeParent(parent: string): Promise<void> {
  try {
    await mkdir(parent, { recursive: true })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new SetupProblem(
      `cannot make the folder ${parent} (${code}); make ${dirname(parent)} writable or give another folder`,
    )
  }
}
