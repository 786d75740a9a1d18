import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { seaweedOf } from '../servers/seaweed.ts'

void t.test('the test server keeps what it stored over a kill', async (t) => {
  const seaweed = await seaweedOf(t)
  const client = new S3Client({
    endpoint: seaweed.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: seaweed.accessKey, secretAccessKey: seaweed.secretKey },
  })
  t.teardown(() => client.destroy())
  await client.send(new CreateBucketCommand({ Bucket: 'kept' }))
  await client.send(new PutObjectCommand({ Bucket: 'kept', Key: 'a', Body: 'still here' }))
  await seaweed.kill()
  await seaweed.revive()
  // Its parts find each other some time after the first one answers.
  let text = ''
  for (let tries = 0; tries < 100 && text === ''; tries++) {
    text = await client.send(new GetObjectCommand({ Bucket: 'kept', Key: 'a' })).then(
      async ({ Body }) => (await Body?.transformToString()) ?? '',
      () => new Promise<string>((resolve) => setTimeout(() => resolve(''), 200)),
    )
  }
  t.equal(text, 'still here')
})
