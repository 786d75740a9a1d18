import { randomBytes } from 'node:crypto'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { blockHitRates } from '../../bench/plan/default-policy.ts'
import { heldBlocks } from '../../bench/plan/distance.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { pathOf, type TraceTree } from '../../bench/trace/trace.ts'
import type { DaemonStatus } from '../../daemon/status.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { rowMaxFor } from '../../tiers/tier-table.ts'
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

type Test = Parameters<typeof startDaemonProcess>[0]

/** A request's prompt: four tokens that name its block, for each block. */
function tokensOf(tree: TraceTree, request: number): Uint32Array {
  const path = pathOf(tree, request)
  return Uint32Array.from({ length: path.length * 4 }, (_, token) => (path[token >> 2] ?? 0) + 1)
}

/** Resolves when nothing waits to be written to the drive. */
async function written(daemon: DaemonProcess): Promise<void> {
  const waiting = /^terrace_tier_writeback_waiting_blocks\{tier="nvme"\} (\d+)$/m
  for (;;) {
    const metrics = await (await fetch(`${daemon.adminUrl}/metrics`)).text()
    if (Number(waiting.exec(metrics)?.[1] ?? 0) === 0) return
    await setTimeout(2)
  }
}

/** Replays the trace on a daemon of its own; the share of hits and what its tiers hold in the end. Half an hour passes in some
 *  seconds, so with a drive each request waits for what would have been written long ago: otherwise some hundreds of blocks are
 *  always on their way, their victims are still there, and the drive is in effect larger than it is. */
async function replayed(t: Test, tree: TraceTree, words: readonly string[]) {
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, [...smallDaemon(folder), ...words])
  const { peer, where } = await engineAt(daemon, folder)
  const inPlace = new Uint32Array(0)
  let hits = 0
  const beganMs = realWorld.nowMs()
  for (let request = 0; request < tree.requestCount; request += 1) {
    const dueMs = beganMs + (tree.arrivalMs[request] ?? 0) - realWorld.nowMs()
    if (dueMs > 0) await setTimeout(dueMs)
    const tokens = tokensOf(tree, request)
    const blockCount = tokens.length / 4
    const load = { ...where, tokens, firstBlock: 0, blockCount, targets: inPlace, deadlineMs: 10_000 }
    const { readyBlocks } = await peer.value('load', { ...load, prefillMsPerBlock: 0 })
    hits += readyBlocks
    const answerTokens = tree.outputTokens[request] ?? 0
    const left = { firstBlock: readyBlocks, blockCount: blockCount - readyBlocks }
    const rest = { ...left, sources: inPlace, answerTokens }
    if (rest.blockCount === 0) continue
    await peer.value('store', { ...where, tokens, ...rest })
    if (words.includes('--nvme-bytes')) await written(daemon)
  }
  const { tiers } = (await (await fetch(`${daemon.adminUrl}/status`)).json()) as DaemonStatus
  await peer.close()
  return { reached: hits / tree.referenceCount, tiers }
}

const made = makeTrace('made', {
  kinds: workloads,
  spanMs: 1_800_000,
  rate: 0.6,
  blockTokens: 512,
  inputTokensMax: 100_000,
  seed: 11,
})
/** So many times faster than the traffic the replays are, where the machine can; a policy that learns from times sees the same in both. */
const replaySpeed = 200
const tree = { ...made, arrivalMs: made.arrivalMs.map((ms) => ms / replaySpeed) }

/** What each policy is replayed with: the order of use needs no times. */
const trees = { lru: { ...tree, arrivalMs: new Float64Array(tree.requestCount) }, terrace: tree }

async function predicted(capacityBlocks: number) {
  const rates = blockHitRates(tree, await heldBlocks(tree, Int32Array.of(capacityBlocks)), 0)
  if (rates === null) throw new Error('no tier')
  return rates
}

/** In the order of use everything is determined, and the two agree block by block. What is drawn at random is not drawn alike. */
const differenceMax = { lru: 0.0005, terrace: 0.01 }

for (const policy of ['lru', 'terrace'] as const) {
  void t.test(`${policy}, host memory: the daemon reaches what plan predicts`, async (t) => {
    const { reached, tiers } = await replayed(t, trees[policy], ['--policy', policy])
    const held = tiers.host.blockCount
    t.ok(held < tree.nodeCount * 0.9, `the tier is under pressure: ${held} of ${tree.nodeCount} blocks`)
    const wanted = (await predicted(held))[policy]
    t.ok(reached > 0.2, `hits are reached: ${reached.toFixed(4)}`)
    t.ok(
      Math.abs(wanted - reached) < differenceMax[policy],
      `predicted ${wanted.toFixed(4)}, reached ${reached.toFixed(4)}`,
    )
  })

  void t.test(`${policy}, host memory over a drive: so does the lowest tier`, async (t) => {
    const { reached, tiers } = await replayed(t, trees[policy], [
      '--policy',
      policy,
      '--nvme-bytes',
      '128MiB',
    ])
    const nvme = rowMaxFor(128 * 2 ** 20)
    const { blockCount } = tiers.nvme
    t.equal(blockCount, nvme, 'the drive is full')
    t.ok(tiers.host.blockCount < blockCount)
    t.ok(nvme < tree.nodeCount * 0.9, 'the drive is under pressure')
    const wanted = (await predicted(nvme))[policy]
    t.ok(
      Math.abs(wanted - reached) < differenceMax[policy],
      `predicted ${wanted.toFixed(4)}, reached ${reached.toFixed(4)}`,
    )
  })
}
