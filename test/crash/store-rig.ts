import { openSync } from 'node:fs'
import { loadNative } from '../../addon/load.ts'
import { realWorld, type World } from '../../tiers/block/clock.ts'
import type { NamespaceId } from '../../tiers/block/id.ts'
import { blockBytesOf } from '../../tiers/block/layout.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import type { ColdTier } from '../../tiers/tier.ts'
import type { TieredStore } from '../../tiers/tiered-store.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'

/** One store over the real addon and the real file system, with one engine of a few blocks attached. */
export const rigLayout = layoutOf(4, 3, 6_000)
export const rigNamespace = namespaceOf('a', rigLayout)
const blockMax = 64

export type Rig = {
  readonly store: TieredStore
  readonly meter: Meter<typeof storeMetrics>
  readonly engine: SimEngine
  readonly checker: ServedChecker
  readonly id: NamespaceId
  readonly region: number
  readonly end: () => Promise<void>
}

export async function openRig(
  dataDirectory: string,
  sizes: { hostBytes?: number; nvmeBytes?: number; s3?: ColdTier; world?: World } = {},
): Promise<Rig> {
  const native = loadNative()
  const meter = new Meter(storeMetrics)
  const store = await openStore({
    native,
    world: sizes.world ?? realWorld,
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory,
    hostBytes: sizes.hostBytes ?? 8 * 2 ** 20,
    nvmeBytes: sizes.nvmeBytes ?? 16 * 2 ** 20,
    s3: sizes.s3 ?? null,
    policy: 'lru',
    meter,
  })
  const checker = new ServedChecker()
  const byteCount = blockMax * blockBytesOf(rigLayout)
  const own = native.openMemory(byteCount)
  const engine = new SimEngine(rigNamespace, blockMax, checker, native.windowOf(own, 0, byteCount))
  // A second descriptor of the same memory, as another process would hand it in.
  const descriptor = openSync(`/proc/self/fd/${native.descriptorOf(own)}`, 'r+')
  const region = store.attachRegion(descriptor, byteCount, true)
  const id = store.openNamespace(rigNamespace)
  if (id === null) throw new Error('no namespace')
  const end = async (): Promise<void> => {
    await store.close(realWorld.nowMs() + 2_000)
    native.closeRegion(own)
  }
  return { store, meter, engine, checker, id, region, end }
}

/** A prompt of so many blocks; prompts with another `first` share nothing. */
export function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count * rigLayout.blockTokens }, (_, i) => first + i)
}

export async function keep({ engine, store, id, region }: Rig, tokens: Uint32Array): Promise<void> {
  const count = tokens.length / rigLayout.blockTokens
  engine.compute(tokens, 0, count, 0)
  await engine.store(store, id, region, tokens, 0, count)
}

/** Loads a chain and checks every block that came against what is computed for it. */
export async function fetchBack({ engine, store, id, region, checker }: Rig, tokens: Uint32Array) {
  const count = tokens.length / rigLayout.blockTokens
  engine.compute(tokens, 0, count, 0)
  for (let block = 0; block < count; block++)
    checker.stored(engine.nameOf(tokens, block), engine.sumOf(block))
  engine.wipe()
  const answer = await engine.load(store, id, region, tokens, count, realWorld.nowMs() + 5_000)
  engine.check(tokens, answer.readyBlocks)
  return answer
}
