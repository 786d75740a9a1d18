import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../fetch/digest.ts'
import { SetupProblem } from '../fetch/problem.ts'
import { present } from '../fetch/stage.ts'
import { runTool } from '../fetch/tool.ts'
import type { PackagePin } from './pins.ts'

/** Fetches one pinned npm package into `folder` and gives the tarball's path. Nothing of it is executed. A tarball that
 *  a cut run left is used when its content is the pinned one. */
export async function fetchPackage(pin: PackagePin, folder: string, signal?: AbortSignal): Promise<string> {
  const target = join(folder, `${pin.name.replace('@', '').replace('/', '-')}-${pin.version}.tgz`)
  if ((await present(target)) && (await isPinned(target, pin))) return target
  const inbox = `${target}.inbox`
  await rm(inbox, { recursive: true, force: true })
  await mkdir(inbox, { recursive: true })
  const args = [
    'pack',
    `${pin.name}@${pin.version}`,
    '--ignore-scripts',
    '--silent',
    '--pack-destination',
    inbox,
  ]
  await runTool('npm', args, {
    cwd: folder,
    purpose: `fetch ${pin.name}@${pin.version} (network is needed once)`,
    ...(signal === undefined ? {} : { signal }),
  })
  const [name] = await readdir(inbox)
  if (name === undefined) throw new SetupProblem(`npm gave no file for ${pin.name}@${pin.version}; try again`)
  const tarball = join(inbox, name)
  if (!(await isPinned(tarball, pin))) {
    await rm(inbox, { recursive: true, force: true })
    throw new SetupProblem(
      `${pin.name}@${pin.version} is not the pinned content; it was thrown away. Check the registry that npm uses`,
    )
  }
  await rename(tarball, target)
  await rm(inbox, { recursive: true, force: true })
  return target
}

async function isPinned(path: string, pin: PackagePin): Promise<boolean> {
  return `sha512-${await digestOf(path, 'sha512', 'base64')}` === pin.integrity
}
