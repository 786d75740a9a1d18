import t from 'tap'
import { KvFailure } from '../../tiers/block/failures.ts'
import { locationText, parseS3Url } from '../../tiers/s3/url.ts'

void t.test('what an operator may write', (t) => {
  t.same(parseS3Url('s3://blocks/kv/prod/?endpoint=http://127.0.0.1:9000&region=eu-west-1'), {
    bucket: 'blocks',
    prefix: 'kv/prod',
    endpoint: 'http://127.0.0.1:9000',
    region: 'eu-west-1',
    pathStyle: true,
  })
  t.match(parseS3Url('s3://blocks?region=us-east-2'), { prefix: '', endpoint: null, pathStyle: false })
  t.match(parseS3Url('s3://blocks/?endpoint=https%3A%2F%2Fs3.example.com&path-style=false'), {
    endpoint: 'https://s3.example.com',
    pathStyle: false,
  })
  t.equal(locationText(parseS3Url('s3://blocks/kv?region=eu-west-1')), 's3://blocks/kv at AWS eu-west-1')
  t.end()
})

void t.test('what is wrong is named, and secrets are not repeated', (t) => {
  for (const [url, why] of [
    ['http://blocks', /form s3:\/\/bucket/],
    ['s3://', /bucket must be/],
    ['s3://UPPER', /bucket must be/],
    ['s3://key:hidden@blocks/kv', /must not carry credentials/],
    ['s3://blocks/a//b', /prefix must be/],
    ['s3://blocks/a b', /prefix must be/],
    ['s3://blocks/kv?endpont=http://x', /unknown parameter "endpont"/],
    ['s3://blocks/kv?region=a&region=b', /given twice/],
    ['s3://blocks/kv?region=Not%20One', /region must be/],
    ['s3://blocks/kv?endpoint=ftp://x', /endpoint must be an http/],
    ['s3://blocks/kv?endpoint=http://u:hidden@x', /endpoint must not carry credentials/],
    ['s3://blocks/kv?endpoint=http://x/path', /only scheme, host and port/],
    ['s3://blocks/kv?path-style=maybe', /path-style must be/],
  ] as const) {
    try {
      parseS3Url(url)
      t.fail(`${url} was taken`)
    } catch (error) {
      t.ok(error instanceof KvFailure && error.code === 'KVT_CONFIG_BAD', url)
      t.match(String(error), why, url)
      t.notMatch(String(error), /hidden/, url)
    }
  }
  t.end()
})
