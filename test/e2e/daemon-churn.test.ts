import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import type { DaemonStatus } from '../../daemon/status.ts'
import { type DaemonProcess, shortFolder, startDaemonProcess } from '../servers/daemon-process.ts'
import { smallNamespace, WirePeer } from '../servers/wire-peer.ts'

/** Engines come, store, load, and vanish in the middle of it, over tiers that are far too small: no byte may ever be wrong, and
 *  nothing of a vanished engine may stay. */

t.setTimeout(120_000)

const pieceBytes = 64 * 1_024
const blockBytes = 4 * pieceBytes
const regionBlocks = 24
const engineCount = 3
const roundsPerEngine = 90
const layout = {
  blockTokens: 4,
  dtype: 'f16',
  planes: [
    { name: 'k', layerCount: 2, pieceBytes },
    { name: 'v', layerCount: 2, pieceBytes },
  ],
}
const layerStride = regionBlocks * pieceBytes
const place = {
  planes: [
    { baseOffset: 0, layerStride, blockStride: pieceBytes },
    { baseOffset: 2 * layerStride, layerStride, blockStride: pieceBytes },
  ],
}

/** A generator of whole numbers below a bound that a seed repeats. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Prompts of one family share their first blocks, as conversations do. */
function promptOf(family: number, blocks: number, turn: number): Uint32Array {
  return Uint32Array.from({ length: blocks * 4 }, (_, i) =>
    i < 16 ? family * 1_000 + i : turn * 100_000 + i,
  )
}

/** The bytes a block must have: made from its whole prefix, so that another block's bytes never pass. */
function pieceOf(tokens: Uint32Array, block: number, piece: number): Buffer {
  const prefix = Buffer.from(tokens.slice(0, (block + 1) * 4).buffer)
  const mark = createHash('sha256').update(prefix).update(String(piece)).digest()
  return Buffer.alloc(pieceBytes, mark)
}

function offsetsOf(index: number): readonly number[] {
  return place.planes.flatMap(({ baseOffset }) =>
    [0, 1].map((layer) => baseOffset + layer * layerStride + index * pieceBytes),
  )
}

class Engine {
  readonly #daemon: DaemonProcess
  readonly #file: number
  #peer: WirePeer | null = null
  #namespace = 0
  #region = 0

  constructor(daemon: DaemonProcess, path: string) {
    this.#daemon = daemon
    writeFileSync(path, Buffer.alloc(regionBlocks * blockBytes))
    this.#file = openSync(path, 'r+')
  }

  async attach(): Promise<WirePeer> {
    const peer = await WirePeer.attached(this.#daemon.socket)
    const { namespace } = await peer.value('openNamespace', { ...smallNamespace(), layout })
    const token = new Uint8Array(randomBytes(16))
    loadNative().handDescriptor(this.#daemon.door, token, this.#file)
    const wanted = { kind: 'shared', byteCount: regionBlocks * blockBytes, writable: 1, token } as const
    const { region } = await peer.value('attachRegion', wanted)
    this.#peer = peer
    this.#namespace = namespace
    this.#region = region
    return peer
  }

  get #range() {
    return { namespace: this.#namespace, region: this.#region, place, firstBlock: 0 }
  }

  /** Stores a prompt; with `leave` the engine vanishes while it is stored. */
  async store(tokens: Uint32Array, leave: boolean): Promise<number> {
    const peer = this.#peer ?? (await this.attach())
    const blockCount = tokens.length / 4
    for (let block = 0; block < blockCount; block++) {
      for (const [piece, at] of offsetsOf(block).entries())
        writeSync(this.#file, pieceOf(tokens, block, piece), 0, pieceBytes, at)
    }
    const answer = peer.ask('store', {
      ...this.#range,
      tokens,
      blockCount,
      sources: new Uint32Array(0),
      answerTokens: 0,
    })
    if (leave) await this.leave()
    const stored = await answer
    return stored.as === 'value' ? stored.value.storedBlocks : 0
  }

  /** Loads a prompt into clean memory; returns how many blocks came, and how many of them are wrong. */
  async load(
    tokens: Uint32Array,
    leave: boolean,
  ): Promise<{ readonly came: number; readonly wrong: number }> {
    const peer = this.#peer ?? (await this.attach())
    const blockCount = tokens.length / 4
    const empty = Buffer.alloc(pieceBytes)
    for (let block = 0; block < blockCount; block++) {
      for (const at of offsetsOf(block)) writeSync(this.#file, empty, 0, pieceBytes, at)
    }
    const limits = { deadlineMs: 10_000, prefillMsPerBlock: 0 }
    const answer = peer.ask('load', {
      ...this.#range,
      tokens,
      blockCount,
      targets: new Uint32Array(0),
      ...limits,
    })
    if (leave) await this.leave()
    const loaded = await answer
    if (loaded.as !== 'value') return { came: 0, wrong: 0 }
    const bytes = Buffer.alloc(pieceBytes)
    let wrong = 0
    for (let block = 0; block < loaded.value.readyBlocks; block++) {
      for (const [piece, at] of offsetsOf(block).entries()) {
        readSync(this.#file, bytes, 0, pieceBytes, at)
        if (!bytes.equals(pieceOf(tokens, block, piece))) wrong += 1
      }
    }
    return { came: loaded.value.readyBlocks, wrong }
  }

  async leave(): Promise<void> {
    await this.#peer?.close()
    this.#peer = null
  }

  async close(): Promise<void> {
    await this.leave()
    closeSync(this.#file)
  }
}

void t.test('engines that come and go over tiers that are too small', async (t) => {
  const folder = shortFolder(t)
  const words = ['--data', join(folder, 'data'), '--secret-file', join(folder, 'secret')]
  const daemon = await startDaemonProcess(t, [...words, '--host-bytes', '64MiB', '--nvme-bytes', '128MiB'])
  let came = 0
  let wrong = 0
  let stored = 0
  const runs = Array.from({ length: engineCount }, async (_, number) => {
    const next = seeded(number + 1)
    const engine = new Engine(daemon, join(folder, `region-${number}`))
    for (let round = 0; round < roundsPerEngine; round++) {
      const tokens = promptOf(next(6), 2 + next(regionBlocks - 2), next(8))
      const leave = next(8) === 0
      if (next(2) === 0) stored += await engine.store(tokens, leave)
      else {
        const loaded = await engine.load(tokens, leave)
        came += loaded.came
        wrong += loaded.wrong
      }
    }
    await engine.close()
  })
  await Promise.all(runs)
  t.equal(wrong, 0, 'no wrong byte')
  t.ok(came > 50 && stored > 100, `the road was used: ${stored} stored, ${came} loaded`)
  let status = await statusOf(daemon)
  for (let i = 0; i < 100 && status.sessions.length > 0; i++) status = await statusOf(daemon)
  t.equal(status.sessions.length, 0)
  t.strictSame(status.asks.failedByCode, {}, 'no ask failed')
  t.ok(status.tiers.host.usedBytes <= status.tiers.host.capacityBytes)
  t.ok(status.tiers.nvme.usedBytes <= status.tiers.nvme.capacityBytes)
  t.equal(await daemon.stop(), 0)
  t.notMatch(daemon.output(), /ask_failed|broken|uncaught|overdue/)
})

void t.test('kill -9 in the middle of stores: the next start serves no wrong byte', async (t) => {
  const folder = shortFolder(t)
  const words = ['--data', join(folder, 'data'), '--secret-file', join(folder, 'secret')]
  words.push('--host-bytes', '64MiB', '--nvme-bytes', '128MiB')
  const next = seeded(99)
  const prompts = Array.from({ length: 24 }, () => promptOf(next(6), 2 + next(regionBlocks - 2), next(8)))
  let came = 0
  for (let life = 0; life < 3; life++) {
    const daemon = await startDaemonProcess(t, words)
    const engine = new Engine(daemon, join(folder, 'region'))
    for (const prompt of prompts) {
      const loaded = await engine.load(prompt, false)
      t.equal(loaded.wrong, 0)
      came += loaded.came
    }
    const storing = (async () => {
      for (const prompt of prompts) await engine.store(prompt, false)
    })()
    await sleep(150 + next(300))
    await daemon.stop('SIGKILL')
    await storing.catch(() => undefined)
    await engine.close()
  }
  t.ok(came > 0, 'some of it survived')
})

async function statusOf(daemon: DaemonProcess): Promise<DaemonStatus> {
  return (await (await fetch(`${daemon.adminUrl}/status`)).json()) as DaemonStatus
}
