import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import { stopMsMax } from '../tiers/block/limits.ts'
import { Meter } from '../tiers/block/metric.ts'
import { optionHelp } from '../tiers/block/option-help.ts'
import { openAdmin } from './admin.ts'
import { HeldBytes } from './admit.ts'
import { type ReadText, type RouterConfig, readRouterConfig, routerFields, routerHelp } from './config.ts'
import { openFrontend } from './frontend.ts'
import { lineLog } from './log.ts'
import { routerMetrics } from './metrics.ts'
import type { Parts } from './parts.ts'
import { startProbes } from './probe.ts'
import { PromptNamer } from './prompt-names.ts'
import { Residency } from './residency.ts'
import { stopAsked } from './stop.ts'
import { Identify } from './tenant.ts'
import { Workers } from './workers.ts'

/** Runs a router until it is told to stop; answers the exit code. */
export async function routerMain(argv: readonly string[], world: World): Promise<number> {
  try {
    const config = readRouterConfig(argv, process.env, readText)
    if (config !== null) return await run(config, world)
    process.stdout.write(optionHelp(routerFields, routerHelp))
    return 0
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error
    process.stderr.write(`terrace router: ${error.message}\n`)
    return 1
  }
}

const readText: ReadText = (path) => {
  try {
    return { text: readFileSync(path, 'utf8') }
  } catch (error) {
    return { why: error instanceof Error && 'code' in error ? String(error.code) : 'unreadable' }
  }
}

async function run(config: RouterConfig, world: World): Promise<number> {
  const stop = stopAsked(config.parentPipe)
  const cut = new AbortController()
  const { parts, residency } = wire(config, world, cut.signal)
  const frontend = openFrontend(parts)
  const admin = openAdmin(parts, config.adminToken, () => residency.status())
  const close = async (): Promise<void> => {
    probes.stop()
    residency.stop()
    await Promise.all([frontend.app.close(), admin.close(), parts.workers.close()])
  }
  const probes = startProbes(world, parts.workers, (worker) => {
    parts.log('worker_lease_ended', { worker })
  })
  try {
    residency.start(config.daemons)
    await listen(admin, '127.0.0.1', config.adminPort, '--admin-port')
    await listen(frontend.app, config.host, config.port, '--port')
  } catch (error) {
    await close()
    throw error
  }
  ready(config, portOf(frontend.app), portOf(admin))
  const why = await stop
  parts.log('stopping', { why, active: frontend.activeCount() })
  frontend.stopTaking()
  frontend.app.server.close()
  await drained(world, frontend.activeCount)
  cut.abort()
  await close()
  parts.log('stopped')
  return 0
}

/** Builds the parts and connects them; nothing runs yet. */
function wire(
  config: RouterConfig,
  world: World,
  cut: AbortSignal,
): { readonly parts: Parts; readonly residency: Residency } {
  const log = lineLog(world, (line) => process.stderr.write(line))
  const meter = new Meter(routerMetrics)
  const workers = new Workers(world, (worker, before) => {
    const { health } = worker
    const why = health.at === 'out' ? health.why : ''
    log('worker_health', { worker: worker.name, from: before.at, to: health.at, why })
    meter.add('terrace_router_worker_changes_total', { worker: worker.name, to: health.at })
  })
  for (const wanted of config.workers) workers.add(wanted)
  const residency = new Residency(world, log, meter, config.indexBytes)
  const parts: Parts = {
    world,
    log,
    meter,
    identify: new Identify(config.keys),
    workers,
    namer: new PromptNamer(world),
    overlaps: residency,
    held: new HeldBytes(),
    weights: {
      affinitySeconds: config.affinityMs / 1_000,
      decodeSecondsPerStream: config.decodeMsPerStream / 1_000,
    },
    workerChoice: config.allowWorkerChoice,
    anyModel: config.anyModel,
    receiveMs: config.receiveMs,
    firstByteMs: config.firstByteMs,
    stallMs: config.stallMs,
    totalMs: config.totalMs,
    cut,
  }
  return { parts, residency }
}

async function listen(app: FastifyInstance, host: string, port: number, option: string): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'EADDRINUSE') throw new KvFailure('KVT_PORT_IN_USE', { port, option })
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES') {
      throw new KvFailure('KVT_CONFIG_BAD', { why: `cannot listen on ${host} port ${port} (${code})` })
    }
    throw error
  }
}

function portOf(app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port
}

function ready(config: RouterConfig, port: number, adminPort: number): void {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  const url = `http://${host}:${port}`
  process.stdout.write(
    config.readyJson
      ? `${JSON.stringify({ ready: 'router', url, port, adminPort })}\n`
      : `terrace router ready on ${url} (${config.workers.length} workers, admin on http://127.0.0.1:${adminPort})\n`,
  )
}

/** Waits until nothing is under way, but not past the time a stop may take. */
async function drained(world: World, activeCount: () => number): Promise<void> {
  const deadlineMs = world.nowMs() + stopMsMax
  while (activeCount() > 0 && world.nowMs() < deadlineMs) await world.sleep(10)
}
