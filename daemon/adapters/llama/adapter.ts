import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { World } from '../../../tiers/block/clock.ts'
import { DaemonLink } from '../client/link.ts'
import { DaemonSession, type DescriptorHander } from '../client/session.ts'
import { ensureLlamaServer } from './build/ensure.ts'
import { type Engine, startEngine, watchEngine } from './engine/supervise.ts'
import { type OnProgress, SetupProblem } from './fetch/problem.ts'
import { type Front, openFront } from './front/serve.ts'
import { checkModelFile, ensureModel } from './model/ensure.ts'
import type { EngineConfig } from './options.ts'

/** One engine with its adapter, running. */
export type Adapter = {
  readonly front: Front
  readonly engine: Engine
  /** What a llama-server of ours said last; null for one that somebody else runs. */
  readonly lastWords: (() => string) | null
  readonly stop: () => Promise<void>
}

/** Brings everything up in order: model, server, folder, link to the daemon, front. What fails is one sentence, and
 *  nothing of it stays. */
export async function startAdapter(
  config: EngineConfig,
  world: World,
  hander: DescriptorHander | null,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<Adapter> {
  await makeFolder(config.data)
  const slots = slotFolderOf(config)
  const started =
    config.url === null
      ? await startOwn(config, slots, world, onProgress, signal)
      : await watchGiven(config, world)
  let link: DaemonLink | null = null
  const stop = async (): Promise<void> => {
    link?.close()
    await started.engine.stop()
    if (slots !== config.slots) rmSync(slots, { recursive: true, force: true })
  }
  try {
    if (config.daemon !== null) {
      const names = { client: 'terrace-llama', engine: 'llama.cpp', worker: config.name }
      link = new DaemonLink({ socketPath: config.daemon, ...names, world })
    }
    const session = link === null ? null : new DaemonSession(link, hander, `${config.daemon}.door`)
    const { engine, modelFile, build } = started
    const modelName = config.modelName ?? (modelFile === null ? 'model' : nameOf(modelFile))
    const attaching = { slotFolder: slots, dataFolder: config.data, modelFile, modelName, build, onProgress }
    const token = config.tokenFile === null ? null : readToken(config.tokenFile)
    const { host, port, name } = config
    const front = await openFront({ host, port, name, engine, session, attaching, token, world })
    return {
      front,
      engine,
      lastWords: config.url === null ? () => lastWordsIn(logFileOf(config)) : null,
      stop: async () => {
        await front.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

type Started = { readonly engine: Engine; readonly modelFile: string | null; readonly build: string | null }

async function startOwn(
  config: EngineConfig,
  slots: string,
  world: World,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<Started> {
  const fetched = { sleep: (ms: number): Promise<void> => world.sleep(ms), signal }
  const given = config.model === null ? {} : { given: resolve(config.model) }
  const modelFile = await ensureModel(
    { ...fetched, cache: join(config.tools, 'model'), ...given },
    onProgress,
  )
  const wanted = config.llamaServer === null ? {} : { given: config.llamaServer }
  const server = await ensureLlamaServer(
    { ...fetched, cache: join(config.tools, 'engine'), ...wanted },
    onProgress,
  )
  await makeFolder(slots)
  const options = {
    server,
    model: modelFile,
    contextTokens: config.context,
    slotCount: config.parallel,
    threadCount: config.threadCount,
    slotFolder: slots,
    logFile: logFileOf(config),
    alias: config.modelName ?? nameOf(modelFile),
  }
  return { engine: startEngine(options, world), modelFile, build: server.build }
}

function logFileOf(config: EngineConfig): string {
  return join(config.data, `llama-server-${config.name}.log`)
}

/** The last error in the server's log, and where the log is. */
function lastWordsIn(logFile: string): string {
  let line = ''
  try {
    const lines = readFileSync(logFile, 'utf8').split('\n')
    line = lines.findLast((text) => / E |error|failed/i.test(text)) ?? ''
  } catch {
    return ''
  }
  const said = line
    .replace(/^[\d.]+ E \S+\s*/, '')
    .trim()
    .slice(0, 200)
  return `${said === '' ? '' : `: ${said}`}; its log is ${logFile}`
}

async function watchGiven(config: EngineConfig, world: World): Promise<Started> {
  if (config.model !== null) await checkModelFile(config.model)
  return { engine: watchEngine(config.url ?? '', world), modelFile: config.model, build: null }
}

/** `SmolLM2-135M-Instruct.Q4_1.gguf` is served as `SmolLM2-135M-Instruct.Q4_1`. */
export function nameOf(modelFile: string): string {
  return basename(modelFile).replace(/\.gguf$/i, '')
}

const slotFolderPattern = /^terrace-slots-.*-(\d+)$/

/** A folder of this engine's own: in memory where the machine has such a folder, else in the data folder. Those of
 *  engines that were killed are removed on the way, since they hold memory. */
function slotFolderOf(config: EngineConfig): string {
  if (config.slots !== null) return resolve(config.slots)
  const parent = existsSync('/dev/shm') ? '/dev/shm' : config.data
  for (const name of readdirSync(parent)) {
    const pid = slotFolderPattern.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // Another user's: it is theirs to remove.
    }
  }
  return join(parent, `terrace-slots-${config.name}-${process.pid}`)
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SetupProblem(`cannot make the folder ${folder} (${code}); give another with --data or --slots`)
  }
}

function readToken(file: string): string {
  let token = ''
  try {
    token = readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new SetupProblem(`cannot read --token-file ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
  if (token.length < 16) throw new SetupProblem(`--token-file ${file} holds fewer than 16 characters`)
  return token
}
