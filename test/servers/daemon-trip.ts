import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DaemonProcess, shortFolder, startDaemonProcess } from './daemon-process.ts'
import { GpuEngine } from './stand-in-gpu.ts'
import { smallNamespace, tokensOf, WirePeer } from './wire-peer.ts'

type Test = { teardown(run: () => void | Promise<void>): void }

const { tensors, tensorBytes, pieceBytes } = GpuEngine
const hostBytes = 64 * 2 ** 20

/** What an engine asks for its tensors: one region of kind device. */
export const deviceRegion = { kind: 'device', byteCount: tensors * tensorBytes, writable: 1 } as const

/** A namespace of which a block is one piece of every tensor. */
export function namespaceOnGpu(): ReturnType<typeof smallNamespace> {
  const small = smallNamespace()
  return {
    ...small,
    layout: { ...small.layout, planes: [{ name: 'kv', layerCount: tensors, pieceBytes }] },
  }
}

/** A daemon that finds the GPU driver by this environment, with memory and a small drive in a folder. */
export async function daemonOnGpu(
  t: Test,
  folder: string,
  environment: Readonly<Record<string, string>>,
): Promise<DaemonProcess> {
  const places = ['--data', join(folder, 'data'), '--secret-file', join(folder, 'secret')]
  const sizes = ['--host-bytes', `${hostBytes}`, '--nvme-bytes', `${4 * hostBytes}`]
  return await startDaemonProcess(t, [...places, ...sizes], environment)
}

/** An engine's session at a daemon, with its GPU memory attached. */
async function attach(daemon: DaemonProcess, engine: GpuEngine) {
  const peer = await WirePeer.attached(daemon.socket)
  const { namespace } = await peer.value('openNamespace', namespaceOnGpu())
  const token = new Uint8Array(randomBytes(16))
  await engine.handIn(daemon.door, token)
  const { region } = await peer.value('attachRegion', { ...deviceRegion, token })
  const place = { planes: [{ baseOffset: 0, layerStride: tensorBytes, blockStride: pieceBytes }] }
  const tokens = tokensOf(16)
  return { peer, range: { namespace, tokens, firstBlock: 0, blockCount: 4, region, place } }
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 800; i++) {
    if (await holds()) return
    await sleep(10)
  }
  throw new Error(`never happened: ${what}`)
}

async function metricOf(daemon: DaemonProcess, line: string): Promise<number> {
  const text = await (await fetch(`${daemon.adminUrl}/metrics`)).text()
  const found = text.split('\n').find((one) => one.startsWith(`${line} `))
  return found === undefined ? Number.NaN : Number(found.slice(line.length + 1))
}

async function checkSame(engine: GpuEngine, sources: Uint32Array, targets: Uint32Array): Promise<void> {
  for (const tensor of [0, 40, tensors - 1]) {
    for (const [i, source] of sources.entries()) {
      const [got, wanted] = [await engine.piece(tensor, targets[i] ?? -1), await engine.piece(tensor, source)]
      assert.equal(got, wanted, `tensor ${tensor}, block ${source} at ${targets[i]}`)
    }
  }
}

/** The way of blocks from an engine's GPU memory to the drive, through a daemon's death, and back to other places of it; then
 *  the engine's death. Says what was seen; throws where anything differs. */
export async function daemonTrip(
  t: Test,
  kind: 'handles' | 'descriptors',
  environment: Readonly<Record<string, string>>,
  mappingsOf: ((pid: number) => number) | null,
): Promise<readonly string[]> {
  const folder = shortFolder(t)
  const engine = await GpuEngine.start(t, environment, kind)
  const first = await daemonOnGpu(t, folder, environment)
  const one = await attach(first, engine)
  const sources = Uint32Array.of(3, 0, 2, 1)
  const stored = await one.peer.value('store', { ...one.range, sources, answerTokens: 0 })
  assert.deepEqual([stored.storedBlocks, stored.drop], [4, 'none'])
  const load = { ...one.range, deadlineMs: 10_000, prefillMsPerBlock: 0 }
  const fromHost = Uint32Array.of(8, 9, 10, 11)
  const near = await one.peer.value('load', { ...load, targets: fromHost })
  assert.deepEqual([near.readyBlocks, near.byTier.host, near.stop], [4, 4, 'complete'])
  await checkSame(engine, sources, fromHost)
  await until('the host memory is page-locked', async () => {
    return (await metricOf(first, 'terrace_tier_pinned_bytes')) === hostBytes
  })
  await until('the blocks are on the drive', async () => {
    return (await metricOf(first, 'terrace_tier_resident_blocks{tier="nvme"}')) === 4
  })
  await first.stop('SIGKILL')

  const second = await daemonOnGpu(t, folder, environment)
  const two = await attach(second, engine)
  const fromDrive = Uint32Array.of(4, 5, 6, 7)
  const { namespace, tokens } = two.range
  await until('the drive is read again', async () => {
    return (await two.peer.value('lookup', { namespace, tokens })).readyBlocks === 4
  })
  const again = { ...load, ...two.range, targets: fromDrive }
  const far = await two.peer.value('load', again)
  assert.deepEqual([far.readyBlocks, far.byTier.nvme, far.stop], [4, 4, 'complete'])
  await checkSame(engine, sources, fromDrive)
  await engine.kill()
  if (mappingsOf !== null) assert.ok(mappingsOf(second.pid) > 0, 'the memory is ours until the session ends')
  await two.peer.close()
  if (mappingsOf !== null) await until('no mapping is left', () => mappingsOf(second.pid) === 0)
  assert.equal(await second.stop(), 0)
  return [
    `${kind}: GPU to host to GPU`,
    `${kind}: kill -9 of the daemon, drive to GPU`,
    `${kind}: kill -9 of the engine`,
  ]
}
