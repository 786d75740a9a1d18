import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type OnProgress, SetupProblem, type Sleep } from '../fetch/problem.ts'
import { makeOnce, present } from '../fetch/stage.ts'
import { runTool } from '../fetch/tool.ts'
import { commonFlags, compileAll, link, sourceFolders, writeEmptyUi } from './compile.ts'
import { fetchPackage } from './package.ts'
import { libraryPins, llamaRelease, sourceBundle, sourceCommit, sourcePin } from './pins.ts'

/** A llama-server that can be started: its path, the folder to start it in, and what build it is. */
export type LlamaServer = {
  readonly binary: string
  readonly folder: string
  /** Release or version text; part of the namespace of every block. */
  readonly build: string
  readonly origin: 'own build' | 'given' | 'found on PATH'
}

export type ServerOptions = {
  /** Where builds are kept, for example `<checkout>/.terrace/engine`. */
  readonly cache: string
  /** A binary of the user's own; it is checked and taken as it is. */
  readonly given?: string
  /** Whether a llama-server on PATH is taken before one is built. */
  readonly lookOnPath?: boolean
  readonly sleep: Sleep
  readonly signal?: AbortSignal
}

/** Gives a llama-server: the user's own, else the one built before, else a new build (about a minute). */
export async function ensureLlamaServer(
  options: ServerOptions,
  onProgress: OnProgress,
): Promise<LlamaServer> {
  if (options.given !== undefined) return checkBinary(options.given, 'given')
  if (options.lookOnPath !== false) {
    const found = await checkBinary('llama-server', 'found on PATH').catch(() => undefined)
    if (found !== undefined) return found
  }
  const pin = libraryPins[process.arch]
  if (process.platform !== 'linux' || pin === undefined) {
    throw new SetupProblem(
      `llama-server is built only on Linux x64 and arm64, not on ${process.platform} ${process.arch}; ` +
        'give one of your own with --llama-server PATH',
    )
  }
  const folder = await makeOnce({
    parent: options.cache,
    name: `llama-server-${llamaRelease}-${process.arch}-${fingerprint()}`,
    sleep: options.sleep,
    onProgress,
    make: (work, result) => build(work, result, options, onProgress),
  })
  return {
    binary: join(folder, 'llama-server'),
    folder,
    build: `${llamaRelease}-${process.arch}`,
    origin: 'own build',
  }
}

/** Names everything that the build is made from, so that a changed pin is another build. */
function fingerprint(): string {
  const pins = JSON.stringify([
    sourcePin,
    sourceCommit,
    libraryPins[process.arch],
    sourceFolders,
    commonFlags,
  ])
  return createHash('sha256').update(pins).digest('hex').slice(0, 12)
}

/** Words of the command line that an older llama-server does not know, and without which its slots cannot be used. */
const wordsWanted = ['--slot-save-path', '--cache-ram', '--no-kv-unified', '--flash-attn', '--log-verbosity']

/** Asks a binary what it is: it must run, be a llama-server, and know the words that it will be started with. */
async function checkBinary(binary: string, origin: LlamaServer['origin']): Promise<LlamaServer> {
  const ask = (word: string): Promise<string> =>
    runTool('sh', ['-c', `exec "$0" ${word} 2>&1`, binary], { purpose: `ask ${binary} for its version` })
  const version = /version:\s*(.+)/.exec(await ask('--version'))?.[1]?.trim()
  if (version === undefined) {
    throw new SetupProblem(
      `${binary} is not a llama-server: it prints no version; give another with --llama-server`,
    )
  }
  const help = await ask('--help')
  const unknown = wordsWanted.find((word) => !help.includes(word))
  if (unknown !== undefined) {
    throw new SetupProblem(
      `${binary} (${version}) does not know ${unknown}; give a newer one with --llama-server`,
    )
  }
  return { binary, folder: '', build: version.slice(0, 100), origin }
}

async function build(
  work: string,
  result: string,
  options: ServerOptions,
  onProgress: OnProgress,
): Promise<void> {
  const pin = libraryPins[process.arch]
  if (pin === undefined) throw new SetupProblem(`no libraries for ${process.arch}`)
  await checkTools(options.signal)
  onProgress({ step: 'fetch llama.cpp source and libraries', done: 0, total: 2 })
  const sourceTarball = await fetchPackage(sourcePin, work, options.signal)
  onProgress({ step: 'fetch llama.cpp source and libraries', done: 1, total: 2 })
  const libraryTarball = await fetchPackage(pin, work, options.signal)
  onProgress({ step: 'fetch llama.cpp source and libraries', done: 2, total: 2 })
  const source = await unpackSource(work, sourceTarball)
  await unpackLibraries(work, libraryTarball, pin.folder, result)
  await copyFile(join(source, 'LICENSE'), join(result, 'LICENSE'))
  const objects = await compileAll(source, join(work, 'objects'), onProgress, options.signal)
  const binary = join(result, 'llama-server')
  await link(objects, binary, onProgress)
  await runTool(binary, ['--version'], { cwd: result, purpose: 'start the llama-server just built' })
  await writeFile(
    join(result, 'stamp.json'),
    `${JSON.stringify({ release: llamaRelease, sourceCommit }, null, 2)}\n`,
  )
}

/** Every tool is asked for before the first byte is fetched, so that a missing one is told at once. */
async function checkTools(signal?: AbortSignal): Promise<void> {
  const purpose = 'build llama-server'
  for (const tool of ['git', 'g++', 'gcc', 'tar', 'npm']) {
    await runTool(tool, ['--version'], { purpose, ...(signal === undefined ? {} : { signal }) })
  }
}

/** Checks the needed folders of the source out of the git bundle. The finished folder appears by rename. */
async function unpackSource(work: string, tarball: string): Promise<string> {
  const source = join(work, 'source')
  if (await present(source)) return source
  const unfinished = `${source}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished)
  await runTool('tar', ['-xzf', tarball, '-C', work, sourceBundle], { purpose: 'unpack the source bundle' })
  const git = (...args: string[]): Promise<string> =>
    runTool('git', args, {
      cwd: unfinished,
      purpose: 'check the llama.cpp source out of its bundle',
      environment: {
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_SYSTEM: '/dev/null',
        GIT_TERMINAL_PROMPT: '0',
      },
    })
  await git('init', '--quiet')
  await git('fetch', '--quiet', join(work, sourceBundle), 'HEAD')
  await git('checkout', '--quiet', sourceCommit, '--', ...sourceFolders, 'LICENSE')
  await rm(join(unfinished, '.git'), { recursive: true, force: true })
  await rm(join(work, sourceBundle), { force: true })
  await writeEmptyUi(unfinished)
  await rename(unfinished, source)
  return source
}

async function unpackLibraries(work: string, tarball: string, folder: string, result: string): Promise<void> {
  const shelf = join(work, 'libraries')
  await rm(shelf, { recursive: true, force: true })
  await mkdir(shelf)
  await runTool('tar', ['-xzf', tarball, '-C', shelf, folder], { purpose: 'unpack the llama.cpp libraries' })
  for (const name of await readdir(join(shelf, folder))) {
    if (name.endsWith('.so')) await rename(join(shelf, folder, name), join(result, name))
  }
}
