import { createWriteStream, type WriteStream } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { World } from '../../tiers/block/clock.ts'
import { KvFailure } from '../../tiers/block/failures.ts'
import { stopMsMax } from '../../tiers/block/limits.ts'
import { optionHelp } from '../../tiers/block/option-help.ts'
import { ensureLlamaServer } from '../adapters/llama/build/ensure.ts'
import { ensureModel } from '../adapters/llama/model/ensure.ts'
import { openUpDirectory, type UpDirectory } from './directory.ts'
import {
  cacheDirectory,
  dataDirectoryOf,
  homeDirectory,
  readUpOptions,
  type UpOptions,
  upFields,
} from './fields.ts'
import { getJson } from './http.ts'
import { planParts, portsWanted, type UpPlan } from './plan.ts'
import { freePorts, requirePort } from './ports.ts'
import { ProgressLine } from './progress.ts'
import { dropUpState, readUpState, writeUpState } from './state.ts'
import { Supervisor } from './supervise.ts'
import { tiersLine } from './view.ts'

const page = {
  usage: 'terrace up [options]',
  about:
    'Starts everything on this machine: one daemon, engines, one router, supervised. ' +
    'What is missing (engine, model) is fetched and built once.',
  examples: [
    { line: 'terrace up', about: 'Two engines with a small model, at http://127.0.0.1:8080.' },
    { line: 'terrace up --model big.gguf --engines 1 --host-bytes 8GiB', about: 'A model of your own.' },
    {
      line: 'terrace up --s3 "s3://kv/team?endpoint=http://127.0.0.1:9000"',
      about: 'With a bucket below the disk.',
    },
  ],
}

/** `terrace up`: fetch, start, supervise, stop. */
export async function upMain(words: readonly string[], world: World): Promise<number> {
  const { help, options } = readUpOptions(words)
  if (help) {
    process.stdout.write(optionHelp(upFields, page))
    return 0
  }
  const data = dataDirectoryOf(options.data)
  const other = readUpState(data)
  if (other !== null) throw new KvFailure('KVT_DATA_IN_USE', { directory: data, pid: other.processId })
  await requirePort(options.host, options.port, '--port')
  const directory = openUpDirectory(data)
  const stop = stopRequest()
  try {
    const prepared = await prepare(options, world, stop.signal)
    if (prepared === null) return 130
    const { model, llamaServer } = prepared
    const ports = await freePorts(portsWanted(options))
    const plan = planParts({ options, data, model, llamaServer, ports, coreCount: availableParallelism() })
    return await run(plan, { directory, model, stop, world })
  } finally {
    directory.close()
  }
}

type Running = {
  readonly directory: UpDirectory
  readonly model: string
  readonly stop: ReturnType<typeof stopRequest>
  readonly world: World
}

async function run(plan: UpPlan, { directory, model, stop, world }: Running): Promise<number> {
  const data = directory.path
  const logs = new Map<string, WriteStream>()
  const supervisor = new Supervisor({
    program: [process.execPath, join(homeDirectory, 'terrace.ts')],
    world,
    say: (part, text) => process.stderr.write(`  ${part.padEnd(9)} ${text}\n`),
    log: (part, line) => logOf(logs, data, part).write(`${line}\n`),
  })
  const order = [['router'], plan.workers.map(({ name }) => name), ['daemon']]
  const stopAll = (): Promise<void> => supervisor.stop(order, stopMsMax)
  const started = await Promise.race([
    startAll(supervisor, plan, directory, world),
    stop.asked.then(() => 'stopped' as const),
  ])
  if (started !== 'ready') {
    await stopAll()
    await endAll(logs)
    return started === 'stopped' ? 130 : 1
  }
  directory.keep()
  const { routerUrl: router, adminUrl: admin, workers } = plan
  const tell = (restartCount: number): void =>
    writeUpState({ processId: process.pid, router, admin, workers, model, data, restartCount })
  tell(0)
  process.once('exit', () => dropUpState(data))
  welcome(plan, data)
  // Used by `terrace demo`: what a reboot would do, without ending `up`. One after the other when asked twice.
  let restarts = Promise.resolve(0)
  process.on('SIGHUP', () => {
    restarts = restarts.then(async (count) => {
      await restartAll(supervisor, plan)
      tell(count + 1)
      return count + 1
    })
  })
  await stop.asked
  process.stderr.write('\nstopping\n')
  await stopAll()
  await endAll(logs)
  return 0
}

async function startAll(
  supervisor: Supervisor,
  plan: UpPlan,
  directory: UpDirectory,
  world: World,
): Promise<'ready' | 'failed'> {
  const say = (name: string, text: string): boolean => process.stdout.write(`  ${name.padEnd(9)} ${text}\n`)
  const daemon = await supervisor.start(plan.daemon)
  if (daemon === null) return 'failed'
  if (daemon.fresh === true) directory.daemonBegan()
  const status = await getJson(`${plan.adminUrl}/status`, world)
  say('daemon', `${tiersLine(status.as === 'json' ? status.json : null)}; admin at ${plan.adminUrl}`)
  const engines = plan.engines(String(daemon.socket))
  const started = await Promise.all(engines.map((engine) => supervisor.start(engine)))
  if (started.includes(null)) return 'failed'
  for (const { name, url } of plan.workers) say(name, `llama-server behind ${url}`)
  if ((await supervisor.start(plan.router)) === null) return 'failed'
  say('router', `serves at ${plan.routerUrl}`)
  return 'ready'
}

async function restartAll(supervisor: Supervisor, plan: UpPlan): Promise<void> {
  // The daemon first: engines that come up find it there and move blocks from their first request on.
  await supervisor.restart(plan.daemon.name, stopMsMax)
  await Promise.all(plan.workers.map(({ name }) => supervisor.restart(name, stopMsMax)))
}

function welcome(plan: UpPlan, data: string): void {
  const body = '{"messages":[{"role":"user","content":"What is a terrace?"}],"max_tokens":60}'
  process.stdout.write(`
Terrace serves at ${plan.routerUrl}/v1

  try      curl -s ${plan.routerUrl}/v1/chat/completions -H 'content-type: application/json' \\
             -d '${body}'
  next     npx terrace demo      (a long document, asked about twice: see where the tokens come from)
  watch    npx terrace status
  data     ${data}
  stop     ctrl-C                (blocks stay on disk; the next start is warm)
`)
}

/** Engine and model side by side: one is the processor's work, the other the network's. Null when stopped meanwhile. */
async function prepare(
  options: UpOptions,
  world: World,
  signal: AbortSignal,
): Promise<{ model: string; llamaServer: string } | null> {
  const line = new ProgressLine(process.stderr, world)
  const fetched = { sleep: (ms: number) => world.sleep(ms), signal }
  try {
    const [server, model] = await Promise.all([
      ensureLlamaServer(
        {
          ...fetched,
          cache: join(cacheDirectory, 'engine'),
          ...(options.llamaServer === null ? {} : { given: options.llamaServer }),
        },
        ({ step, done, total }) => line.show('engine', step, done, total),
      ),
      ensureModel(
        {
          ...fetched,
          cache: join(cacheDirectory, 'model'),
          ...(options.model === null ? {} : { given: options.model }),
        },
        ({ step, done, total }) => line.show('model', step, done, total),
      ),
    ])
    return signal.aborted ? null : { model, llamaServer: server.binary }
  } catch (error) {
    // Stopped by the person at the keyboard: the next start goes on from what is there.
    if (signal.aborted) return null
    throw error
  } finally {
    line.clear()
  }
}

/** ctrl-C and friends as one promise. A second one ends at once: the parts end with our standard output's pipe. */
function stopRequest(): { readonly asked: Promise<void>; readonly signal: AbortSignal } {
  const controller = new AbortController()
  const asked = new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (controller.signal.aborted) process.exit(130)
        controller.abort()
        resolve()
      })
    }
  })
  return { asked, signal: controller.signal }
}

/** Resolves when the last line of every log is in its file, or cannot be. */
async function endAll(logs: ReadonlyMap<string, WriteStream>): Promise<void> {
  await Promise.all(
    Array.from(
      logs.values(),
      (log) =>
        new Promise<void>((done) => {
          if (log.closed) done()
          else log.once('close', done).end()
        }),
    ),
  )
}

function logOf(logs: Map<string, WriteStream>, data: string, part: string): WriteStream {
  const known = logs.get(part)
  if (known !== undefined) return known
  const log = createWriteStream(join(data, 'logs', `${part}.log`), { flags: 'a', mode: 0o600 })
  log.on('error', () => undefined)
  logs.set(part, log)
  return log
}
