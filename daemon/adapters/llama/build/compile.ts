import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { type OnProgress, SetupProblem } from '../fetch/problem.ts'
import { present } from '../fetch/stage.ts'
import { runTool } from '../fetch/tool.ts'
import { linkedLibraries } from './pins.ts'

/** Memory that one compiler may need, in bytes. Why: the largest file takes most of it; with more jobs than fit,
 *  the kernel kills compilers and the build fails for no visible reason. */
const compilerBytes = 700 * 2 ** 20

/** The parts of the source that the server itself is made of; everything else comes from the shipped libraries. */
export const sourceFolders: readonly string[] = [
  'include',
  'ggml/include',
  'common',
  'src',
  'vendor',
  'tools',
]
const includePaths = [
  'include',
  'ggml/include',
  'common',
  'vendor',
  'vendor/cpp-httplib',
  'vendor/hash',
  'tools/mtmd',
  'tools/server',
  '.',
]
const mediaFiles = ['mtmd', 'mtmd-audio', 'mtmd-image', 'mtmd-helper', 'mtmd-helper-gen', 'clip']
const vendorFiles = [
  'vendor/cpp-httplib/httplib.cpp',
  'vendor/hash/hash.cpp',
  'vendor/hash/sha256/sha256.c',
  'vendor/hash/xxhash/xxhash.c',
]
export const commonFlags = ['-O2', '-fPIC', '-w', ...includePaths.map((path) => `-I${path}`)]

/** The source files to compile, relative to the source folder. */
async function filesToCompile(source: string): Promise<string[]> {
  const cppIn = async (folder: string): Promise<string[]> =>
    (await readdir(join(source, folder)))
      .filter((name) => extname(name) === '.cpp')
      .sort()
      .map((name) => join(folder, name))
  return [
    ...(await cppIn('tools/server')),
    ...(await cppIn('tools/mtmd/models')),
    ...mediaFiles.map((name) => `tools/mtmd/${name}.cpp`),
    ...vendorFiles,
    'ui.cpp',
  ]
}

/** Writes ui.h and ui.cpp as the build without web assets has them: no files embedded, no compression. */
export async function writeEmptyUi(source: string): Promise<void> {
  for (const name of ['ui.h', 'ui.cpp']) {
    const template = await readFile(join(source, 'tools/ui', `${name}.in`), 'utf8')
    const text = template
      .replaceAll('@N_ASSETS@', '0')
      .replaceAll('@USE_GZIP@', 'false')
      .replaceAll('@ASSET_ARRAYS@', '')
      .replaceAll('@ASSET_TABLE@', '')
      .replace(/^#cmakedefine .*$/m, '')
    await writeFile(join(source, name), text)
  }
}

/** Compiles every file to an object. Objects of a cut run are kept: each appears by rename when it is whole. */
export async function compileAll(
  source: string,
  objects: string,
  onProgress: OnProgress,
  signal?: AbortSignal,
): Promise<string[]> {
  await mkdir(objects, { recursive: true })
  const files = await filesToCompile(source)
  const waiting = [...files]
  let done = 0
  onProgress({ step: 'compile llama-server', done, total: files.length })
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      await compileOne(source, file, objectPath(objects, file), signal)
      done += 1
      onProgress({ step: 'compile llama-server', done, total: files.length })
    }
  }
  const outcomes = await Promise.allSettled(
    Array.from({ length: jobCount(availableParallelism(), process.availableMemory()) }, () =>
      worker().catch((error: unknown) => {
        waiting.length = 0
        throw error
      }),
    ),
  )
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return files.map((file) => objectPath(objects, file))
}

/** Compilers at once: one per core, but never more than memory holds, and at least one. */
export function jobCount(coreCount: number, freeBytes: number): number {
  return Math.max(1, Math.min(coreCount, Math.floor(freeBytes / compilerBytes)))
}

function objectPath(objects: string, file: string): string {
  return join(objects, `${file.replaceAll('/', '-')}.o`)
}

async function compileOne(source: string, file: string, object: string, signal?: AbortSignal): Promise<void> {
  if (await present(object)) return
  const asC = extname(file) === '.c'
  const unfinished = `${object}.${process.pid}`
  const flags = asC ? ['-std=c11'] : ['-std=c++17']
  await runTool(asC ? 'gcc' : 'g++', [...flags, ...commonFlags, '-c', file, '-o', unfinished], {
    cwd: source,
    purpose: `compile ${basename(file)} of llama-server`,
    ...(signal === undefined ? {} : { signal }),
  })
  await rename(unfinished, object)
}

/** Links the server beside its libraries; it finds them from its own folder wherever that is moved. */
export async function link(
  objects: readonly string[],
  binary: string,
  onProgress: OnProgress,
): Promise<void> {
  onProgress({ step: 'link llama-server', done: 0, total: 1 })
  const folder = dirname(binary)
  for (const library of linkedLibraries) {
    if (!(await present(join(folder, library)))) {
      throw new SetupProblem(`the library package lacks ${library}; remove ${folder} and start again`)
    }
  }
  const libraries = linkedLibraries.map((library) => `-l:${library}`)
  await runTool(
    'g++',
    ['-o', binary, ...objects, `-L${folder}`, ...libraries, '-lpthread', '-ldl', '-Wl,-rpath,$ORIGIN'],
    { purpose: 'link llama-server' },
  )
}
