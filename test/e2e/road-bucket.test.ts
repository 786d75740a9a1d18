import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { stationLog } from '../../daemon/up/document.ts'
import { type Seaweed, startSeaweed } from '../servers/seaweed.ts'
import { ask, System, until } from './system.ts'

/** Two nodes, one bucket, with real engines. */

const bucket = 'terrace-shared'
const question = `${stationLog(14, 99)}\n\nWhat did the tank give on day 3?`

function clientOf(seaweed: Seaweed): S3Client {
  return new S3Client({
    endpoint: seaweed.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: seaweed.accessKey, secretAccessKey: seaweed.secretKey },
  })
}

/** Flips one bit in the middle of every pack. Returns how many. */
async function damagePacks(client: S3Client): Promise<number> {
  const { Contents: objects = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
  let count = 0
  for (const { Key } of objects) {
    if (Key === undefined || !Key.includes('/packs/')) continue
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }))
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array(0)
    for (let offset = 100_000; offset < bytes.length; offset += 200_000)
      bytes[offset] = (bytes[offset] ?? 0) ^ 4
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: bytes }))
    count++
  }
  return count
}

void t.test('the second node hits what the first one stored; damage in the bucket is a miss', async (t) => {
  const directory = t.testdir()
  const seaweed = await startSeaweed(join(directory, 's3'))
  t.teardown(() => seaweed.stop())
  const optionsOf = (node: string) => ({
    directory: join(directory, node),
    words: [
      '--engines',
      '1',
      '--s3',
      `s3://${bucket}/kv?endpoint=${encodeURIComponent(seaweed.endpoint)}`,
    ].concat(['--secret-file', join(directory, 'secret')]),
    environment: { AWS_ACCESS_KEY_ID: seaweed.accessKey, AWS_SECRET_ACCESS_KEY: seaweed.secretKey },
  })
  const first = await System.start(optionsOf('first'))
  t.teardown(() => first.stop())
  const cold = await ask(first, question, null)
  t.equal(cold.cachedTokens, 0)
  t.ok(
    await until(async () => (await first.metric('terrace_tier_resident_blocks', 'tier="s3"')) > 0),
    'blocks reach S3',
  )
  await first.stop()

  const second = await System.start(optionsOf('second'))
  t.teardown(() => second.stop())
  const warm = await ask(second, question, null)
  t.equal(warm.text, cold.text)
  t.ok((warm.from.get('s3') ?? 0) > 0, JSON.stringify([...warm.from]))
  await second.stop()

  t.ok((await damagePacks(clientOf(seaweed))) > 0)
  const third = await System.start(optionsOf('third'))
  t.teardown(() => third.stop())
  const right = await ask(third, question, null)
  t.equal(right.text, cold.text, 'the right answer')
  t.ok((await third.metric('terrace_tier_damaged_blocks_total')) > 0, 'counted')
})
