import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { MockEngine } from './mock-engine.ts'

/** A router in a process of its own, as users run it. */
export type RouterProcess = {
  readonly url: string
  readonly port: number
  readonly adminUrl: string
  readonly child: ChildProcess
  /** Everything it printed so far. */
  output(): string
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const launcher = `
import { realWorld } from ${JSON.stringify(new URL('../../tiers/block/clock.ts', import.meta.url).href)}
import { routerMain } from ${JSON.stringify(new URL('../../router/main.ts', import.meta.url).href)}
process.exit(await routerMain(process.argv.slice(1), realWorld))
`

/** Starts the process and does not wait. */
export function spawnRouter(words: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', launcher, '--', ...words], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

/** Starts a router in front of the engines, on free ports, and waits until as many workers as there are
 *  engines serve. */
export async function startRouter(
  engines: readonly MockEngine[],
  words: readonly string[] = [],
  servingWanted = engines.length,
): Promise<RouterProcess> {
  const workers = engines.flatMap(({ name, url }) => ['--worker', `${name}=${url}`])
  const child = spawnRouter(['--port', '0', '--ready-json', '--parent-pipe', ...workers, ...words])
  let printed = ''
  child.stderr?.on('data', (chunk) => {
    printed += String(chunk)
  })
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      printed += String(chunk)
      text += String(chunk)
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    child.once('exit', () => reject(new Error(`the router ended: ${printed}`)))
  })
  const ready = JSON.parse(line) as {
    readonly url: string
    readonly port: number
    readonly adminPort: number
  }
  const router: RouterProcess = {
    url: ready.url,
    port: ready.port,
    adminUrl: `http://127.0.0.1:${ready.adminPort}`,
    child,
    output: () => printed,
    stop: async (signal = 'SIGTERM') => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      child.kill(signal)
      await once(child, 'exit')
      return child.exitCode
    },
  }
  await until(async () => (await servingCount(router)) >= servingWanted, 'workers serve')
  return router
}

export async function servingCount(router: RouterProcess): Promise<number> {
  const health = (await (await fetch(`${router.url}/health`)).json()) as {
    readonly workers: { readonly serving: number }
  }
  return health.workers.serving
}

/** Waits for something to become true; fails after a while. */
export async function until(
  test: () => boolean | Promise<boolean>,
  what: string,
  msMax = 15_000,
): Promise<void> {
  const start = performance.now()
  while (!(await test())) {
    if (performance.now() - start > msMax) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The value of one series in a Prometheus text, 0 when it is not there. */
export function seriesIn(text: string, series: string): number {
  const line = text.split('\n').find((entry) => entry.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}
