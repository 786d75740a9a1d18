import { randomBytes } from 'node:crypto'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { heldBlocks } from '../../bench/plan/distance.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { pathOf, type TraceTree } from '../../bench/trace/trace.ts'
import type { DaemonStatus } from '../../daemon/status.ts'
import {
  type DaemonProcess,
  shortFolder,
  smallDaemon,
  startDaemonProcess,
} from '../servers/daemon-process.ts'
import { WirePeer } from '../servers/wire-peer.ts'

t.setTimeout(120_000)

/** Blocks of 4 tokens and 16 KiB, so that the smallest host tier holds only some thousands. */
const pieceBytes = 4_096
const layout = {
  blockTokens: 4,
  dtype: 'f16' as const,
  planes: [
    { name: 'k', layerCount: 2, pieceBytes },
    { name: 'v', layerCount: 2, pieceBytes },
  ],
}

/** Blocks of the engine's region: the longest prompt. What lies in it does not matter here, only what is held. */
const regionBlocks = 256

/** An engine with a region that the daemon has mapped. */
async function engineAt(daemon: DaemonProcess, folder: string) {
  const peer = await WirePeer.attached(daemon.socket, 'engine')
  const fields = {
    tenant: 'default',
    model: 'm',
    revision: 'r',
    adapter: '',
    engine: 'e',
    rankIndex: 0,
    rankCount: 1,
    epoch: '',
    layout,
  }
  const { namespace } = await peer.value('openNamespace', fields)
  const byteCount = regionBlocks * pieceBytes * 4
  const file = join(folder, 'region')
  writeFileSync(file, randomBytes(byteCount))
  const descriptor = openSync(file, 'r+')
  const token = new Uint8Array(randomBytes(16))
  loadNative().handDescriptor(daemon.door, token, descriptor)
  const { region } = await peer.value('attachRegion', { kind: 'shared', byteCount, writable: 1, token })
  closeSync(descriptor)
  const layerStride = regionBlocks * pieceBytes
  const planes = [0, 2].map((layer) => ({
    baseOffset: layer * layerStride,
    layerStride,
    blockStride: pieceBytes,
  }))
  return { peer, where: { namespace, region, place: { planes } } }
}

/** A request's prompt: four tokens that name its block, for each block. */
function tokensOf(tree: TraceTree, request: number): Uint32Array {
  const path = pathOf(tree, request)
  return Uint32Array.from({ length: path.length * 4 }, (_, token) => (path[token >> 2] ?? 0) + 1)
}

void t.test('the hit rate that plan predicts is the one that the real daemon reaches', async (t) => {
  const kinds = workloads.filter(({ name }) => name === 'chat' || name === 'agent')
  const recipe = { kinds, spanMs: 900_000, rate: 0.8, blockTokens: 512, inputTokensMax: 100_000, seed: 11 }
  const tree = makeTrace('made', recipe)
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, smallDaemon(folder))
  const { peer, where } = await engineAt(daemon, folder)
  const inPlace = new Uint32Array(0)
  let hits = 0
  for (let request = 0; request < tree.requestCount; request += 1) {
    const tokens = tokensOf(tree, request)
    const blockCount = tokens.length / 4
    const load = { ...where, tokens, firstBlock: 0, blockCount, targets: inPlace, deadlineMs: 10_000 }
    const { readyBlocks } = await peer.value('load', { ...load, prefillMsPerBlock: 0 })
    hits += readyBlocks
    const rest = { firstBlock: readyBlocks, blockCount: blockCount - readyBlocks, sources: inPlace }
    if (rest.blockCount > 0) await peer.value('store', { ...where, tokens, ...rest })
  }
  const status = (await (await fetch(`${daemon.adminUrl}/status`)).json()) as DaemonStatus
  const { host } = status.tiers
  await peer.close()
  t.ok(
    host.blockCount < tree.nodeCount * 0.9,
    `the tier is under pressure: ${host.blockCount} of ${tree.nodeCount} blocks`,
  )
  const held = await heldBlocks(tree, Int32Array.of(host.blockCount))
  const [predicted, reached] = [(held.hits[0] ?? 0) / tree.referenceCount, hits / tree.referenceCount]
  t.ok(reached > 0.3, `hits are reached: ${reached.toFixed(4)}`)
  t.ok(
    Math.abs(predicted - reached) < 0.01,
    `predicted ${predicted.toFixed(4)}, reached ${reached.toFixed(4)}`,
  )
})
