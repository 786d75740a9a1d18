import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { DaemonStatus } from '../../daemon/status.ts'
import {
  type DaemonProcess,
  shortFolder,
  smallDaemon,
  startDaemonProcess,
} from '../servers/daemon-process.ts'
import { engineAt } from '../servers/wire-engine.ts'
import { tokensOf } from '../servers/wire-peer.ts'

/** The rule in front of a real daemon's drive, from its configuration to its counters. */

t.setTimeout(120_000)

/** Longest wait for blocks that are on their way to the drive, in milliseconds. */
const writtenMsMax = 20_000

async function nvmeOf(daemon: DaemonProcess): Promise<DaemonStatus['tiers']['nvme']> {
  const response = await fetch(`${daemon.adminUrl}/status`)
  return ((await response.json()) as DaemonStatus).tiers.nvme
}

async function nvmeWith(daemon: DaemonProcess, blockCount: number): Promise<DaemonStatus['tiers']['nvme']> {
  for (let waitedMs = 0; waitedMs < writtenMsMax; waitedMs += 50) {
    const nvme = await nvmeOf(daemon)
    if (nvme.blockCount >= blockCount) return nvme
    await sleep(50)
  }
  return await nvmeOf(daemon)
}

void t.test(
  'write-through with a rule: the second use writes; status and metrics say what was refused',
  async (t) => {
    const folder = shortFolder(t)
    const rule = ['--nvme-bytes', '64MiB', '--nvme-admission', 'used-twice']
    const daemon = await startDaemonProcess(t, [...smallDaemon(folder), ...rule])
    const engine = await engineAt(daemon, folder)
    const prompt = tokensOf(16)
    t.match(await engine.peer.value('store', engine.storeOf(prompt)), { storedBlocks: 4 })
    t.match(await nvmeOf(daemon), {
      blockCount: 0,
      admission: { rule: 'used-twice', offeredBlocks: 4, refusedBlocksByWhy: { seldom_used: 4 } },
    })
    t.match(await engine.peer.value('load', engine.loadOf(prompt)), { readyBlocks: 4 })
    t.equal((await nvmeWith(daemon, 4)).blockCount, 4)
    const metrics = await (await fetch(`${daemon.adminUrl}/metrics`)).text()
    t.match(metrics, /^terrace_tier_refused_blocks_total\{tier="nvme",why="seldom_used"\} 4$/m)
    t.match(metrics, /^terrace_tier_offered_blocks_total\{tier="nvme"\} 8$/m)
    await engine.peer.close()
  },
)

void t.test(
  'demote, by the config file: written at a stop, read by the next life; the budget shows',
  async (t) => {
    const folder = shortFolder(t)
    mkdirSync(join(folder, 'data'), { recursive: true, mode: 0o700 })
    const file = join(folder, 'terrace.json')
    const fields = { nvmeBytes: '64MiB', nvmeDemotion: 'demote', nvmeWriteBytesPerDay: '1MiB' }
    writeFileSync(file, JSON.stringify({ daemon: fields }))
    // The command line goes before the file: its own size of the drive has to go.
    const words = smallDaemon(folder).slice(0, -2)
    const daemon = await startDaemonProcess(t, [...words, '--config', file])
    const engine = await engineAt(daemon, folder)
    const prompt = tokensOf(16)
    await engine.peer.value('store', engine.storeOf(prompt))
    await sleep(300)
    t.match(await nvmeOf(daemon), {
      blockCount: 0,
      admission: { rule: 'all', offeredBlocks: 0, budgetUsed: 0 },
    })
    await engine.peer.close()
    t.equal(await daemon.stop(), 0)
    const next = await startDaemonProcess(t, [...words, '--config', file])
    t.equal((await nvmeOf(next)).blockCount, 4)
    const again = await engineAt(next, folder)
    t.match(await again.peer.value('load', again.loadOf(prompt)), { readyBlocks: 4 })
    await again.peer.close()
  },
)
