import { join } from 'node:path'
import type { UpOptions } from './fields.ts'
import type { PartPlan } from './part.ts'

/** Everything that is settled before the first part starts. */
export type UpPlan = {
  readonly daemon: PartPlan
  /** Where the daemon's socket lies is said by the daemon when it is ready. */
  readonly engines: (socket: string) => readonly PartPlan[]
  readonly router: PartPlan
  readonly workers: readonly { readonly name: string; readonly url: string }[]
  readonly routerUrl: string
  readonly adminUrl: string
}

export type UpSettled = {
  readonly options: UpOptions
  readonly data: string
  /** Paths of what was fetched, built or given. */
  readonly model: string
  readonly llamaServer: string
  /** One for the daemon's admin, one per engine, one for the router's admin. */
  readonly ports: readonly number[]
  readonly coreCount: number
}

/** Ports a plan needs besides the frontend's own. */
export function portsWanted(options: UpOptions): number {
  return 2 + options.engines
}

/** Pure: the words each part is started with. */
export function planParts(settled: UpSettled): UpPlan {
  const { options, data, ports } = settled
  const [adminPort = 0, routerAdminPort = 0, ...enginePorts] = ports
  const adminUrl = `http://127.0.0.1:${adminPort}`
  const common = options.config === null ? [] : ['--config', options.config]
  const optional = (flag: string, value: string | number | null): string[] =>
    value === null ? [] : [flag, String(value)]
  const daemon: PartPlan = {
    name: 'daemon',
    readyMsMax: 60_000,
    words: ['daemon', '--data', data, '--admin-port', String(adminPort), '--ready-json', '--parent-pipe']
      .concat(optional('--host-bytes', options.hostBytes))
      .concat(optional('--nvme-bytes', options.nvmeBytes))
      .concat(optional('--s3', options.s3))
      // A server of one's own has no buckets at first; on AWS a mistyped name must not make one.
      .concat(options.s3?.includes('endpoint=') === true ? ['--s3-create-bucket'] : [])
      .concat(optional('--secret-file', options.secretFile))
      .concat(common),
  }
  const workers = enginePorts.slice(0, options.engines).map((port, i) => ({
    name: `engine-${i + 1}`,
    url: `http://127.0.0.1:${port}`,
  }))
  const threads = Math.max(1, Math.floor(settled.coreCount / options.engines))
  const engines = (socket: string): PartPlan[] =>
    workers.map(({ name, url }) => ({
      name,
      readyMsMax: 120_000,
      words: ['engine', 'llama', '--name', name, '--listen', url.replace('http://', ''), '--daemon', socket]
        .concat(['--model', settled.model, '--llama-server', settled.llamaServer])
        .concat(['--context', String(options.context), '--parallel', String(options.parallel)])
        .concat(['--threads', String(threads), '--data', join(data, name), '--ready-json', '--parent-pipe']),
    }))
  const loopback = options.host === '127.0.0.1' || options.host === 'localhost' || options.host === '::1'
  const router: PartPlan = {
    name: 'router',
    readyMsMax: 30_000,
    words: [
      'router',
      '--host',
      options.host,
      '--port',
      String(options.port),
      '--admin-port',
      String(routerAdminPort),
    ]
      .concat(workers.flatMap(({ name, url }) => ['--worker', `${name}=${url}`]))
      .concat(['--daemon', adminUrl, '--any-model', '--ready-json', '--parent-pipe'])
      .concat(optional('--keys-file', options.keysFile))
      // Choosing a worker is for the one person at this machine, not for clients with keys.
      .concat(loopback && options.keysFile === null ? ['--allow-worker-choice'] : [])
      .concat(common),
  }
  const host = options.host.includes(':') ? `[${options.host}]` : options.host
  return { daemon, engines, router, workers, adminUrl, routerUrl: `http://${host}:${options.port}` }
}
