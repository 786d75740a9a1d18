import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureLlamaServer } from '../../daemon/adapters/llama/build/ensure.ts'
import { ensureModel } from '../../daemon/adapters/llama/model/ensure.ts'
import { freePorts } from '../../daemon/up/ports.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { type Child, startChild } from './child.ts'

/** Real processes for the tests of the llama adapter: the daemon, and engines (adapter and llama-server) in front of it. Engine and
 *  model are built and fetched once, into `.terrace`. */

const program = resolve(import.meta.dirname, '../../terrace.ts')
const readyMsMax = 240_000

export type Started = { readonly child: Child; readonly ready: Record<string, unknown>; readonly log: string }

async function startPart(directory: string, name: string, words: readonly string[]): Promise<Started> {
  mkdirSync(directory, { recursive: true })
  const log = join(directory, `${name}.log`)
  const environment = { XDG_CONFIG_HOME: join(directory, 'config') }
  const child = startChild({
    program: process.execPath,
    words: [program, ...words],
    directory,
    environment,
    log,
  })
  const endMs = performance.now() + readyMsMax
  while (performance.now() < endMs && !child.isGone()) {
    const line = readFileSync(log, 'utf8')
      .split('\n')
      .find((text) => text.startsWith('{') && text.includes('ready'))
    if (line !== undefined) return { child, ready: JSON.parse(line) as Record<string, unknown>, log }
    await sleep(50)
  }
  await child.kill()
  throw new Error(`${name} did not become ready:\n${readFileSync(log, 'utf8').slice(-2_000)}`)
}

/** A folder with a short path, for sockets: their paths may have about a hundred bytes only. */
export function socketFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'terrace-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** A daemon with its data under the directory; engines attach at `socket`. */
export async function startDaemon(directory: string, socket: string): Promise<Started> {
  const words = ['daemon', '--data', join(directory, 'data'), '--socket', socket, '--ready-json']
  return startPart(directory, 'daemon', [...words, '--host-bytes', '256MiB', '--nvme-bytes', '512MiB'])
}

export type EngineRun = Started & {
  readonly url: string
  status(): Promise<EngineStatus>
  post(path: string, body: unknown, headers?: Record<string, string>, signal?: AbortSignal): Promise<Posted>
}
export type EngineStatus = {
  readonly engine: {
    readonly state: string
    readonly processId: number
    readonly url: string
    readonly generation: number
  }
  readonly daemon: { readonly state: string; readonly movesBlocks?: string }
  readonly kv: { readonly state: string; readonly why: string }
  readonly slots: readonly { readonly tokens: number; readonly wholeTokens: number }[]
  readonly counters: {
    readonly wrongGuesses: number
    readonly blocksStored: number
    readonly saves: number
    readonly tenantChanges: number
    readonly clientsGone: number
    readonly composed: number
    readonly askedAgain: Record<string, number>
    readonly drops: Record<string, number>
  }
}
export type Posted = {
  readonly status: number
  readonly headers: Headers
  readonly json: Record<string, unknown>
  /** Tokens by where they came from, by the answer's header. */
  readonly from: Readonly<Record<string, number>>
}

/** An engine with one thread: tests share the machine, and threads that wait for one another make it crawl. */
export async function startEngine(
  directory: string,
  name: string,
  words: readonly string[] = [],
): Promise<EngineRun> {
  const common = ['--name', name, '--data', join(directory, name), '--threads', '1', '--context', '2048']
  const started = await startPart(directory, name, ['engine', 'llama', ...common, '--ready-json', ...words])
  const url = String(started.ready.url)
  return {
    ...started,
    url,
    status: async () => (await (await fetch(`${url}/terrace/status`)).json()) as EngineStatus,
    post: async (path, body, headers = {}, signal) => {
      const answer = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      })
      const json = (await answer.json()) as Record<string, unknown>
      const from: Record<string, number> = {}
      const header = answer.headers.get('x-terrace-cached-tokens') ?? ''
      for (const [, tier = '', count] of header.matchAll(/(\w+)=(\d+)/g)) from[tier] = Number(count)
      return { status: answer.status, headers: answer.headers, json, from }
    },
  }
}

/** A llama-server without an adapter, as somebody runs it by hand; ready when this resolves. */
export async function runLlamaServer(
  directory: string,
  port: number,
  words: readonly string[],
): Promise<Child> {
  const tools = resolve(import.meta.dirname, '../../.terrace')
  const fetched = { sleep: (ms: number): Promise<void> => realWorld.sleep(ms), lookOnPath: false }
  const server = await ensureLlamaServer({ ...fetched, cache: join(tools, 'engine') }, () => undefined)
  const model = await ensureModel({ ...fetched, cache: join(tools, 'model') }, () => undefined)
  const common = ['--model', model, '--host', '127.0.0.1', '--port', String(port)]
  const child = startChild({
    program: server.binary,
    words: [...common, '--parallel', '2', '--threads', '1', '--no-webui', ...words],
    directory: dirname(server.binary),
    environment: {},
    log: join(directory, 'llama-server.log'),
  })
  const health = `http://127.0.0.1:${port}/health`
  const ready = async (): Promise<boolean> => (await fetch(health).catch(() => null))?.status === 200
  if (await until(ready, readyMsMax)) return child
  await child.kill()
  throw new Error('llama-server did not become ready')
}

export type LlamaServer = { readonly url: string; readonly slots: string; readonly child: Child }

/** A llama-server with what Terrace needs of it. */
export async function startLlamaServer(
  directory: string,
  words: readonly string[] = [],
): Promise<LlamaServer> {
  const [port = 0] = await freePorts(1)
  const slots = join(directory, 'slots')
  mkdirSync(slots, { recursive: true })
  const needed = ['--slot-save-path', slots, '--cache-ram', '0', '--no-kv-unified']
  const child = await runLlamaServer(directory, port, ['--ctx-size', '4096', ...needed, ...words])
  return { url: `http://127.0.0.1:${port}`, slots, child }
}

/** Looks until something holds; the last look counts. */
export async function until(holds: () => Promise<boolean> | boolean, msMax = 20_000): Promise<boolean> {
  const endMs = performance.now() + msMax
  while (performance.now() < endMs) {
    if (await holds()) return true
    await sleep(50)
  }
  return holds()
}

/** Text that reads like a log book, `lines` lines of about 19 tokens. */
export function logBook(lines: number, seed = 0): string {
  const days = Array.from({ length: lines }, (_, day) => {
    const litres = ((day + 1) * 7 + seed * 13) % 53
    return `Day ${day + 1}: the barrel held ${litres} litres of water and the cat slept.`
  })
  return days.join(' ')
}
