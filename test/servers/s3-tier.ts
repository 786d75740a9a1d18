import { randomBytes } from 'node:crypto'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { realWorld } from '../../tiers/block/clock.ts'
import { type BlockKey, keyAt } from '../../tiers/block/id.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { routeHashAt } from '../../tiers/block/route.ts'
import type { Seal } from '../../tiers/block/seal.ts'
import { s3Metrics } from '../../tiers/s3/metrics.ts'
import { openS3Tier, type S3Options, type S3Tier } from '../../tiers/s3/tier.ts'
import type { HostSpan, ReadResult, ReadWanted, TierChange, WriteWanted } from '../../tiers/tier.ts'
import { type HostMemory, hostMemory } from './host-memory.ts'

/** An S3 tier under test, with the memory it moves bytes to and from. */
export type TierRig = {
  readonly tier: S3Tier
  readonly meter: Meter<typeof s3Metrics>
  readonly memory: HostMemory
  /** What the start found. */
  readonly found: readonly TierChange[]
  /** What changed after it. */
  readonly changes: readonly TierChange[]
  /** Blocks of random bytes that follow each other in one chain. */
  blocks(count: number, payloadBytes: number, namespace?: BlockKey): WriteWanted[]
  /** Reads blocks into fresh spans. */
  read(blocks: readonly WriteWanted[], deadlineMs?: number): Promise<readonly ReadResult[]>
  /** Which of the blocks came back as the bytes that were written, by result. */
  readAndCompare(blocks: readonly WriteWanted[], source: HostMemory): Promise<readonly string[]>
}
type Test = { teardown(run: () => Promise<void>): void }

export const testBucket = 'terrace-blocks'
const region = 'us-east-1'

/** The credentials of the test servers, where the client's default chain finds them. */
export function setCredentials(accessKey: string, secretKey: string): void {
  process.env.AWS_ACCESS_KEY_ID = accessKey
  process.env.AWS_SECRET_ACCESS_KEY = secretKey
  process.env.AWS_EC2_METADATA_DISABLED = 'true'
}

let daemons = 0

export async function tierOf(
  t: Test,
  endpoint: string,
  options: Partial<Omit<S3Options, 'native' | 'meter' | 'url'>> = {},
  prefix = 'kv',
): Promise<TierRig> {
  const memory = hostMemory()
  const meter = new Meter(s3Metrics)
  daemons += 1
  const tier = await openS3Tier({
    url: `s3://${testBucket}/${prefix}?endpoint=${endpoint}`,
    native: memory.native,
    world: realWorld,
    meter,
    daemonId: `daemon${daemons}`,
    bytesMax: 0,
    createBucket: true,
    ...options,
  })
  // A daemon's sockets keep it alive while the tier waits for a time to come; a test has none.
  const alive = setInterval(() => undefined, 60_000)
  t.teardown(async () => {
    clearInterval(alive)
    await tier.close()
    memory.close()
  })
  const changes: TierChange[] = []
  const found: TierChange[] = []
  let heard = found
  tier.onChange((change) => heard.push(change))
  heard = changes
  const read = (
    blocks: readonly WriteWanted[],
    spans: readonly HostSpan[],
    deadlineMs: number,
  ): Promise<readonly ReadResult[]> =>
    tier.read(
      blocks.map((block, i) => readWanted(block, spans[i] ?? block.from)),
      realWorld.nowMs() + deadlineMs,
    )
  const spansOf = (blocks: readonly WriteWanted[]): HostSpan[] =>
    blocks.map((block) => memory.span(block.seal.payloadBytes))
  return {
    tier,
    meter,
    memory,
    found,
    changes,
    blocks: (count, payloadBytes, namespace = randomKey()) =>
      randomChain(memory, count, payloadBytes, namespace),
    read: (blocks, deadlineMs = 10_000) => read(blocks, spansOf(blocks), deadlineMs),
    readAndCompare: async (blocks, source) => {
      const spans = spansOf(blocks)
      const results = await read(blocks, spans, 10_000)
      return results.map((result, i) => {
        const [span, block] = [spans[i], blocks[i]]
        if (result.as !== 'found' || span === undefined || block === undefined) return result.as
        const same = Buffer.compare(memory.bytesOf(span), source.bytesOf(block.from)) === 0
        return same ? 'found' : 'other bytes'
      })
    },
  }
}

export function nth(blocks: readonly WriteWanted[], i: number): WriteWanted {
  const block = blocks[i]
  if (block === undefined) throw new RangeError(`no block ${i}`)
  return block
}

/** What a caller wants of a block that it wrote. */
export function readWanted(block: WriteWanted, into: HostSpan): ReadWanted {
  const { key, namespace, layout, payloadBytes, checksum } = block.seal
  return {
    wanted: { key, namespace, layout, payloadBytes, checksum, generation: null },
    namespace: block.namespace,
    into,
  }
}

export function randomKey(): BlockKey {
  return keyAt(randomBytes(32), 0)
}

function randomChain(
  memory: HostMemory,
  count: number,
  payloadBytes: number,
  namespace: BlockKey,
): WriteWanted[] {
  let parent: BlockKey | null = null
  return Array.from({ length: count }, (_, position) => {
    const from = memory.span(payloadBytes)
    const payload = memory.bytesOf(from)
    payload.set(randomBytes(payloadBytes))
    const seal: Seal = {
      key: randomKey(),
      parent,
      namespace,
      layout: '00112233445566ff',
      position,
      blockTokens: 16,
      payloadBytes,
      checksum: memory.sum(payload),
      generation: 7,
      route: routeHashAt(randomBytes(8), 0),
    }
    parent = seal.key
    return { seal, namespace: 0 as WriteWanted['namespace'], from }
  })
}

/** The bucket as an operator's tool sees it. */
export function bucketOf(t: Test, endpoint: string, prefix = 'kv') {
  const client = new S3Client({ endpoint, region, forcePathStyle: true })
  t.teardown(async () => client.destroy())
  const names = async (): Promise<string[]> => {
    const listed = await client.send(new ListObjectsV2Command({ Bucket: testBucket, Prefix: `${prefix}/` }))
    return (listed.Contents ?? []).map((object) => object.Key ?? '')
  }
  const bytes = async (name: string): Promise<Uint8Array> => {
    const read = await client.send(new GetObjectCommand({ Bucket: testBucket, Key: name }))
    return (await read.Body?.transformToByteArray()) ?? new Uint8Array()
  }
  return {
    client,
    names,
    bytes,
    packs: async () => (await names()).filter((name) => name.includes('/packs/')),
    put: async (name: string, body: Uint8Array): Promise<void> => {
      await client.send(new PutObjectCommand({ Bucket: testBucket, Key: name, Body: body }))
    },
  }
}
