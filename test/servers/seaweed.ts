import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { type Child, startChild, waitReady } from './child.ts'
import { freePortPairs } from './ports.ts'

/** A real S3 server on loopback, with its own ports and directory. */
export type Seaweed = {
  readonly endpoint: string
  readonly accessKey: string
  readonly secretKey: string
  readonly dir: string
  readonly log: string
  pid(): number
  stop(): Promise<void>
  /** As after a power loss. */
  kill(): Promise<void>
  /** Starts it again on the same ports and data. */
  revive(): Promise<void>
}

const program = resolve(import.meta.dirname, '../../.terrace/servers/bin/weed')
const accessKey = 'terrace-test'
const secretKey = 'terrace-test-secret'

export async function startSeaweed(dir: string): Promise<Seaweed> {
  mkdirSync(dir, { recursive: true })
  const ports = await freePortPairs(5)
  const [s3 = 0, master = 0, volume = 0, filer = 0, admin = 0] = ports
  const endpoint = `http://127.0.0.1:${s3}`
  const log = join(dir, 'weed.log')
  // Every part's port is given: an unset one would take its default, or silently the next free one. Telemetry
  // is on by default.
  const words = [
    'mini',
    '-dir=.',
    '-ip=127.0.0.1',
    '-ip.bind=127.0.0.1',
    `-s3.port=${s3}`,
    `-master.port=${master}`,
    `-volume.port=${volume}`,
    `-filer.port=${filer}`,
    `-admin.port=${admin}`,
    '-s3.localSocket=s3.sock',
    '-filer.localSocket=filer.sock',
    '-webdav=false',
    '-admin.ui=false',
    '-s3.port.iceberg=0',
    '-s3.port.lance=0',
    '-master.telemetry=false',
  ]
  const start = async (): Promise<Child> => {
    const child = startChild({
      program,
      words,
      directory: dir,
      environment: { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey },
      log,
    })
    await waitReady(child, log, async () => (await fetch(`${endpoint}/healthz`)).ok)
    return child
  }
  let child = await start()
  return {
    endpoint,
    accessKey,
    secretKey,
    dir,
    log,
    pid: () => child.pid,
    stop: async () => {
      await child.stop(3_000)
      removeSockets(ports)
    },
    kill: () => child.kill(),
    revive: async () => {
      await child.kill()
      child = await start()
    },
  }
}

/** The sockets of its inner calls, which it puts beside no data of ours and leaves behind when killed. */
function removeSockets(ports: readonly number[]): void {
  for (const part of ['s3', 'master', 'volume', 'filer', 'admin']) {
    for (const port of ports) rmSync(`/tmp/seaweedfs-${part}-grpc-${port + 10_000}.sock`, { force: true })
  }
}

/** What a test needs of tap here. */
type Test = { testdir(): string; teardown(run: () => Promise<void>): void; passing(): boolean }

/** A server for the length of one test. When the test fails, the server's log stays in .terrace/logs. */
export async function seaweedOf(t: Test): Promise<Seaweed> {
  let seaweed: Seaweed | null = null
  let dir = ''
  // Named before the directory is made: handlers run in that order, and the directory's own removes it.
  t.teardown(async () => {
    await seaweed?.stop()
    if (t.passing() || seaweed === null) return
    const logs = resolve(import.meta.dirname, '../../.terrace/logs')
    mkdirSync(logs, { recursive: true })
    copyFileSync(seaweed.log, join(logs, `${basename(dir)}.weed.log`))
  })
  dir = t.testdir()
  seaweed = await startSeaweed(dir)
  return seaweed
}
