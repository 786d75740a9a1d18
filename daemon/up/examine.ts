import { execFile } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { freemem, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { loadNative } from '../../addon/load.ts'
import type { World } from '../../tiers/block/clock.ts'
import { cacheDirectory, dataDirectoryOf } from './fields.ts'
import { getJson } from './http.ts'
import { readUpState } from './state.ts'
import { bytesText } from './table.ts'

/** One thing that was looked at. `absent` is optional and degrades; `needed` stops something from working. */
export type Finding = {
  readonly what: string
  readonly state: 'good' | 'absent' | 'needed'
  readonly found: string
  readonly costs: string
  readonly remedy: string
}
type TierTrouble = { readonly finding: string; readonly says: string }
type Asked = { readonly data: string | null; readonly s3: string | null }

/** Looks at everything, in the order a person would put it right. */
export async function examine(asked: Asked, world: World): Promise<readonly Finding[]> {
  const data = dataDirectoryOf(asked.data)
  return [
    platform(),
    ...(await tools()),
    addon(),
    made(
      'engine',
      join(cacheDirectory, 'engine'),
      'llama-server is built at the first start (about a minute)',
    ),
    made('model', join(cacheDirectory, 'model'), 'the default model is fetched at the first start (94 MB)'),
    directory(data),
    disk(data),
    memory(),
    sharedMemory(),
    lockedMemory(),
    ...devices(),
    bucket(asked.s3),
    await running(data, world),
    ...(await troubles(data, world)),
  ]
}

const good = (what: string, found: string): Finding => ({ what, state: 'good', found, costs: '', remedy: '' })
const absent = (what: string, found: string, costs: string, remedy: string): Finding => ({
  what,
  state: 'absent',
  found,
  costs,
  remedy,
})
const needed = (what: string, found: string, costs: string, remedy: string): Finding => ({
  what,
  state: 'needed',
  found,
  costs,
  remedy,
})

function platform(): Finding {
  const here = `${process.platform} ${process.arch}, Node ${process.versions.node}`
  const fits = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')
  if (fits) return good('platform', here)
  return needed('platform', here, 'nothing runs', 'use Linux on x86-64 or arm64')
}

async function tools(): Promise<Finding[]> {
  const wanted: readonly [string, string, string][] = [
    ['g++', 'the addon and the engine cannot be built', 'apt-get install g++ make'],
    ['git', 'the engine’s source cannot be unpacked', 'apt-get install git'],
    ['python3', 'model and test servers cannot be fetched', 'apt-get install python3 python3-pip'],
  ]
  return await Promise.all(
    wanted.map(async ([tool, costs, remedy]) => {
      const version = await firstLine(tool, ['--version'])
      return version === null ? needed(tool, 'not found', costs, remedy) : good(tool, version)
    }),
  )
}

function firstLine(tool: string, words: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(tool, [...words], { timeout: 5_000 }, (error, stdout) => {
      resolve(error === null ? (stdout.split('\n')[0] ?? '') : null)
    })
  })
}

function addon(): Finding {
  try {
    const { crc32c, sha256, fileIo, wake } = JSON.parse(loadNative().describe()) as Record<string, unknown>
    return good('addon', `crc32c by ${crc32c}, sha256 by ${sha256}, file I/O by ${fileIo}, wake by ${wake}`)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return needed('addon', why, 'the daemon cannot start', 'sh .ci/setup')
  }
}

function made(what: string, folder: string, otherwise: string): Finding {
  return existsSync(folder) ? good(what, folder) : absent(what, 'not here yet', otherwise, 'npm start')
}

/** The nearest directory above that exists: the one that decides. */
function existing(path: string): string {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}

function directory(data: string): Finding {
  try {
    accessSync(existing(data), constants.W_OK)
  } catch {
    return needed('data', `${data} cannot be written`, 'nothing starts', 'give another with --data')
  }
  return good('data', data)
}

function disk(data: string): Finding {
  const { bavail, bsize } = statfsSync(existing(data))
  const freeBytes = bavail * bsize
  const found = `${bytesText(freeBytes)} free`
  if (freeBytes >= 2 ** 30) return good('disk', found)
  return absent('disk', found, 'a small NVMe tier, or none', 'free some, or give another --data')
}

function memory(): Finding {
  const found = `${bytesText(freemem())} free of ${bytesText(totalmem())}`
  if (freemem() >= 2 ** 30) return good('memory', found)
  return absent(
    'memory',
    found,
    'a small host tier: blocks are read from disk more often',
    'give a smaller --host-bytes, or more memory',
  )
}

function sharedMemory(): Finding {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    const freeBytes = bavail * bsize
    if (freeBytes >= 256 * 2 ** 20) return good('/dev/shm', `${bytesText(freeBytes)} free`)
    return absent(
      '/dev/shm',
      `${bytesText(freeBytes)} free`,
      'slot files of engines go to disk: slower hits',
      'in a container: --shm-size=2g',
    )
  } catch {
    return absent(
      '/dev/shm',
      'not there',
      'slot files of engines go to disk: slower hits',
      'mount a tmpfs at /dev/shm',
    )
  }
}

function lockedMemory(): Finding {
  const line = /Max locked memory\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 'unknown'
  if (line === 'unlimited') return good('locked memory', line)
  return absent(
    'locked memory',
    `${line} bytes`,
    'nothing without a GPU; with one, the host tier cannot be pinned',
    'ulimit -l unlimited',
  )
}

const libraryFolders = [
  '/usr/lib',
  '/usr/lib64',
  '/usr/local/lib',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
]

type GpuDriver = {
  readonly absent?: string
  readonly driver?: string
  readonly devices?: readonly { readonly name: string; readonly multiprocessors: number }[]
}

function library(name: string): string | null {
  const folders = [
    ...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter((path) => path !== ''),
    ...libraryFolders,
  ]
  for (const folder of folders) {
    const path = join(folder, name)
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return path
  }
  return null
}

/** Starts the GPU driver, as the daemon does when the first engine hands GPU memory in. */
function gpus(): Finding {
  const none = 'no engine can hand in GPU memory; engines in host memory are served'
  try {
    const found = JSON.parse(loadNative().describeDevices()) as GpuDriver
    if (found.devices === undefined)
      return absent('CUDA', found.absent ?? 'no driver', none, 'install the NVIDIA driver')
    const names = found.devices.map(
      ({ name, multiprocessors }) => `${name} (${multiprocessors} multiprocessors)`,
    )
    return good('CUDA', `driver ${found.driver}: ${names.join(', ')}`)
  } catch {
    // What is wrong with the addon has a line of its own.
    return absent('CUDA', 'not asked: the addon does not load', none, 'sh .ci/setup')
  }
}

function devices(): Finding[] {
  const nixl = library('libnixl_capi.so')
  const later = 'this release moves blocks between the memories of one node and S3 only'
  return [
    gpus(),
    absent(
      'NIXL',
      nixl === null ? 'not found' : `${nixl}, not used by this release`,
      'no transfers between nodes',
      later,
    ),
  ]
}

function bucket(s3: string | null): Finding {
  if (s3 === null) {
    return absent(
      'S3',
      'not set',
      'blocks do not survive the loss of the disk and are not shared between nodes',
      '--s3 "s3://BUCKET/PREFIX?endpoint=URL"',
    )
  }
  const credentials = process.env.AWS_ACCESS_KEY_ID !== undefined || process.env.AWS_PROFILE !== undefined
  if (credentials) return good('S3', s3.split('?')[0] ?? '')
  return absent(
    'S3',
    'no credentials in the environment',
    'the provider chain is asked (files, instance role)',
    'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  )
}

/** What a running daemon finds wrong with its own tiers: `serving, but ...`. */
async function troubles(data: string, world: World): Promise<Finding[]> {
  const state = readUpState(data)
  const told = state === null ? null : await getJson(`${state.admin}/explain`, world)
  if (told?.as !== 'json') return []
  const { findings = [] } = told.json as { readonly findings?: readonly TierTrouble[] }
  return findings
    .filter(({ finding }) => /_(admits_nothing|resting|small)$/.test(finding))
    .map(({ finding, says }) => absent(finding.replaceAll('_', ' '), says, 'fewer hits', ''))
}

async function running(data: string, world: World): Promise<Finding> {
  const state = readUpState(data)
  if (state === null) return absent('running', 'no terrace up on this data directory', '', 'npm start')
  const health = await getJson(`${state.router}/health`, world)
  if (health.as === 'json') return good('running', `${state.router}, process ${state.processId}`)
  return needed(
    'running',
    `process ${state.processId} does not answer (${health.why})`,
    'requests fail',
    `look at ${join(data, 'logs')}`,
  )
}
