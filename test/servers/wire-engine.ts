import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadNative } from '../../addon/load.ts'
import type { Ask } from '../../tiers/block/wire.ts'
import type { DaemonProcess } from './daemon-process.ts'
import { smallNamespace, smallPlace, tokensOf, WirePeer } from './wire-peer.ts'

const blockBytes = 1_024
const regionBlocks = 64
const blockTokens = 4
const none = new Uint32Array(0)

/** An engine with a region of random blocks that the daemon has mapped. */
export type WireEngine = {
  readonly peer: WirePeer
  readonly namespace: number
  readonly range: Pick<Ask<'store'>, 'namespace' | 'region' | 'place'>
  /** The pieces of one block, in the order of the layout. */
  block(index: number): string
  /** All blocks of a prompt, from the region's first ones. */
  storeOf(tokens: Uint32Array): Ask<'store'>
  /** The same into the region's blocks from `firstTarget` on. */
  loadOf(tokens: Uint32Array, firstTarget?: number): Ask<'load'>
}

/** Attaches an engine to a daemon. Its region is a file in `folder`. */
export async function engineAt(
  daemon: Pick<DaemonProcess, 'socket' | 'door'>,
  folder: string,
  worker = 'worker-1',
): Promise<WireEngine> {
  const peer = await WirePeer.attached(daemon.socket, worker)
  const { namespace } = await peer.value('openNamespace', smallNamespace())
  const byteCount = regionBlocks * blockBytes
  const file = join(folder, `region-${worker}`)
  writeFileSync(file, randomBytes(byteCount))
  const descriptor = openSync(file, 'r+')
  const token = new Uint8Array(randomBytes(16))
  loadNative().handDescriptor(daemon.door, token, descriptor)
  const { region } = await peer.value('attachRegion', { kind: 'shared', byteCount, writable: 1, token })
  closeSync(descriptor)
  const place = smallPlace(regionBlocks)
  const range = { namespace, region, place }
  return {
    peer,
    namespace,
    range,
    block: (index) => {
      const bytes = readFileSync(file)
      const pieces = place.planes.flatMap(({ baseOffset, layerStride, blockStride }) =>
        [0, 1].map((layer) => {
          const at = baseOffset + layer * layerStride + index * blockStride
          return bytes.subarray(at, at + 256).toString('hex')
        }),
      )
      return pieces.join()
    },
    storeOf: (tokens) => ({
      ...range,
      tokens,
      firstBlock: 0,
      blockCount: tokens.length / blockTokens,
      sources: none,
      answerTokens: 0,
    }),
    loadOf: (tokens, firstTarget = 0) => {
      const blockCount = tokens.length / blockTokens
      const targets = tokensOf(blockCount, firstTarget)
      return {
        ...range,
        tokens,
        firstBlock: 0,
        blockCount,
        targets,
        deadlineMs: 10_000,
        prefillMsPerBlock: 0,
      }
    },
  }
}
