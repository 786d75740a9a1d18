import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { DaemonStatus } from '../../daemon/status.ts'
import {
  type DaemonProcess,
  shortFolder,
  smallDaemon,
  startDaemonProcess,
} from '../servers/daemon-process.ts'
import { smallDisk } from '../servers/small-disk.ts'
import { engineAt, type WireEngine } from '../servers/wire-engine.ts'
import { tokensOf } from '../servers/wire-peer.ts'

/** A drive without room, under a daemon that serves: every ask is answered, the failure is counted by its reason, and with room
 *  again blocks go down again. */

t.setTimeout(120_000)

const nvmeBytes = 64 * 2 ** 20
const promptBlocks = 10

/** The tokens of one prompt; no two share a block. */
function prompt(number: number): Uint32Array {
  return tokensOf(4 * promptBlocks, 10_000 * number)
}

function wordsOf(folder: string): string[] {
  const sockets = ['--socket', join(folder, 'daemon.sock')]
  return [...smallDaemon(folder).slice(0, -2), '--nvme-bytes', String(nvmeBytes), ...sockets]
}

async function metric(daemon: DaemonProcess, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`${daemon.adminUrl}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith(name) && line.includes(labels))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

const onDrive = (daemon: DaemonProcess) => metric(daemon, 'terrace_tier_resident_blocks', 'nvme')

async function reaches(what: () => Promise<number>, wanted: number): Promise<number> {
  let found = await what()
  for (let i = 0; i < 300 && found < wanted; i++) {
    await sleep(50)
    found = await what()
  }
  return found
}

/** Stores prompts one after the other, and loads each again: all of it is answered, whatever the drive does. */
async function served(t: Test, { peer, storeOf, loadOf }: WireEngine, numbers: readonly number[]) {
  for (const number of numbers) {
    const stored = await peer.value('store', storeOf(prompt(number)))
    t.match(stored, { storedBlocks: promptBlocks, droppedBlocks: 0 }, `prompt ${number} is stored`)
    const loaded = await peer.value('load', loadOf(prompt(number), 20))
    t.match(loaded, { readyBlocks: promptBlocks, stop: 'complete' }, `prompt ${number} is loaded`)
  }
}

/** After a restart everything that reached the drive comes from there, as it was stored. */
async function isWarm(
  t: Test,
  daemon: DaemonProcess,
  folder: string,
  wanted: string[],
  numbers: readonly number[],
) {
  const reader = await engineAt(daemon, folder, 'reader')
  for (const number of numbers) {
    const loaded = await reader.peer.value('load', reader.loadOf(prompt(number), 20))
    t.match(loaded, { readyBlocks: promptBlocks, byTier: { nvme: promptBlocks } }, `prompt ${number} is warm`)
    const found = Array.from({ length: promptBlocks }, (_, i) => reader.block(20 + i))
    t.strictSame(found, wanted, `prompt ${number} has its bytes`)
  }
  t.equal(await metric(daemon, 'terrace_tier_damaged_blocks_total'), 0, 'nothing is damaged')
}

function blocksOf(engine: WireEngine): string[] {
  return Array.from({ length: promptBlocks }, (_, i) => engine.block(i))
}

void t.test('the drive runs full under a daemon', async (t) => {
  const folder = shortFolder(t)
  mkdirSync(join(folder, 'data'))
  const disk = await smallDisk(t, join(folder, 'data'), nvmeBytes + 2 ** 20)
  if (disk === null) {
    t.skip('no user of this machine may mount a tmpfs', () => undefined)
    return
  }
  const daemon = await startDaemonProcess(t, wordsOf(folder), {}, disk.lead)
  const engine = await engineAt(daemon, folder)
  await served(t, engine, [1])
  t.equal(await reaches(() => onDrive(daemon), promptBlocks), promptBlocks)
  t.equal(await metric(daemon, 'terrace_tier_catalog_on'), 1)
  disk.fill()
  const during = Array.from({ length: 40 }, (_, i) => 2 + i)
  await served(t, engine, during)
  t.equal((await fetch(`${daemon.adminUrl}/health`)).status, 200)
  const blocks = promptBlocks * (1 + during.length)
  t.equal(await reaches(() => onDrive(daemon), blocks), blocks, 'the slab has its room since the start')
  const failed = await reaches(() => metric(daemon, 'terrace_tier_catalog_failed_total', 'no_space'), 1)
  t.equal(failed, 1, 'the catalog has not: counted, with the reason')
  disk.free()
  await served(t, engine, [100])
  t.equal(await reaches(() => onDrive(daemon), blocks + promptBlocks), blocks + promptBlocks)
  const wanted = blocksOf(engine)
  await engine.peer.close()
  t.equal(await daemon.stop(), 0)
  const next = await startDaemonProcess(t, wordsOf(folder), {}, disk.lead)
  t.equal(await metric(next, 'terrace_tier_catalog_on'), 1, 'the next start makes the catalog anew')
  await isWarm(t, next, folder, wanted, [1, 2, 41, 100])
  t.equal(await next.stop(), 0)
})

void t.test('a drive that takes nothing more for a while', async (t) => {
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, wordsOf(folder))
  const engine = await engineAt(daemon, folder)
  await served(t, engine, [1])
  t.equal(await reaches(() => onDrive(daemon), promptBlocks), promptBlocks)
  t.equal(limitFiles(daemon.pid, '4096'), 0, 'no write behind the first page of a file')
  await served(t, engine, [2, 3, 4])
  const why = 'step="write",why="errno_27"'
  t.ok(
    (await reaches(() => metric(daemon, 'terrace_tier_steps_failed_total', why), 1)) > 0,
    'counted as EFBIG',
  )
  t.ok((await reaches(() => metric(daemon, 'terrace_tier_rests_total', 'nvme'), 1)) > 0, 'the tier rests')
  const resting = async (): Promise<number> => {
    const status = (await (await fetch(`${daemon.adminUrl}/status`)).json()) as DaemonStatus
    return status.tiers.nvme.state === 'resting' ? 1 : 0
  }
  t.equal(await reaches(resting, 1), 1, 'and status says so')
  t.equal(await onDrive(daemon), promptBlocks, 'what was written before stays')
  t.equal((await fetch(`${daemon.adminUrl}/health`)).status, 200)
  t.equal(limitFiles(daemon.pid, 'unlimited'), 0)
  await served(t, engine, [5])
  t.ok((await reaches(() => onDrive(daemon), 2 * promptBlocks)) >= 2 * promptBlocks, 'blocks go down again')
  const wanted = blocksOf(engine)
  await engine.peer.close()
  t.equal(await daemon.stop(), 0)
  t.notMatch(daemon.output(), /uncaught|broken/)
  const next = await startDaemonProcess(t, wordsOf(folder))
  await isWarm(t, next, folder, wanted, [1, 5])
})

/** Sets how long files may get for a running process. */
function limitFiles(pid: number, bytes: string): number | null {
  return spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]).status
}
