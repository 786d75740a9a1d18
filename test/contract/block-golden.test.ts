import { createHash, createHmac } from 'node:crypto'
import t from 'tap'
import { keyAt, keyFromHex, keyHex, keyPrefix, keysIn } from '../../tiers/block/id.ts'
import { chainBytes, chainSecretOf, foreignKey } from '../../tiers/block/key.ts'
import { blockBytesOf, type Layout, layoutFingerprint } from '../../tiers/block/layout.ts'
import { type Namespace, namespaceFingerprint, namespaceText } from '../../tiers/block/namespace.ts'
import { routeHashes, routeSecretOf } from '../../tiers/block/route.ts'
import { readSeal, type Seal, sealByteCount, writeSeal } from '../../tiers/block/seal.ts'
import { encodeAnswer, encodeAsk } from '../../tiers/block/wire.ts'

/** Bytes that must never change without a new version: other daemons, stored blocks and other languages rely on them. */

const golden = {
  layout: '4fe5c50c5b8d4d15',
  namespace: 'ec4b717637c8d2b3ac031a330297232b2c42cb27bbe6d14be14f2093807f7168',
  keys: [
    'e898afaf158b6287615b3b0de74a29de1f9a2c5ed941debd1cb52321d0ac222c',
    'd998b3668b1269302a52536053c57babc88106b9543d6ed16d5ed76a6325a2e4',
  ],
  foreign: '55b263c21a558abcc9a67fc23cb77f2a999752c339edd06d75ed6f0dec11d427',
  routes: ['d1fa360817514d9a', 'd1ff712491819025'],
  seal: 'ac453a71bf096144faee81ed641dfa07c7072e84434599f1e5f9fc3953825094',
  hello: '1b0000000100000001000000010001006301006501007709000000',
  loadAnswer: '25000000860000000500000003000000000000000100000002000000000000000103000000',
}

const layout: Layout = {
  blockTokens: 64,
  dtype: 'f16',
  planes: [
    { name: 'k', layerCount: 30, pieceBytes: 24_576 },
    { name: 'v', layerCount: 30, pieceBytes: 24_576 },
  ],
}
const namespace: Namespace = {
  tenant: 'default',
  model: 'smollm2',
  revision: 'b179c952',
  adapter: '',
  engine: 'llama.cpp v0.5.0',
  layout,
  rank: { index: 0, count: 1 },
  epoch: '',
}
const secret = new Uint8Array(32).map((_, i) => i)
const tokens = Uint32Array.from({ length: 130 }, (_, i) => i * 3 + 1)

void t.test('layout and namespace', (t) => {
  t.equal(blockBytesOf(layout), 1_474_560)
  t.equal(layoutFingerprint(layout), golden.layout)
  t.equal(
    namespaceText(namespace),
    `terrace-namespace-1|7:default|7:smollm2|8:b179c952|0:|16:llama.cpp v0.5.0|16:${golden.layout}|3:0/1|0:`,
  )
  t.equal(Buffer.from(namespaceFingerprint(namespace)).toString('hex'), golden.namespace)
  t.end()
})

void t.test('key chain, against the platform and against itself of yesterday', (t) => {
  const chainSecret = chainSecretOf(secret, namespace)
  const label = Buffer.concat([Buffer.from('terrace-key-1'), Buffer.from(golden.namespace, 'hex')])
  t.same(Buffer.from(chainSecret), createHmac('sha256', secret).update(label).digest())
  const keys = keysIn(chainBytes(chainSecret, tokens, 64))
  let parent = Buffer.alloc(32)
  for (const [i, key] of keys.entries()) {
    const block = Buffer.from(tokens.slice(i * 64, (i + 1) * 64).buffer)
    parent = createHmac('sha256', chainSecret).update(parent).update(block).digest()
    t.equal(keyHex(key), parent.toString('hex'), `block ${i}`)
  }
  t.same(keys.map(keyHex), golden.keys)
  t.equal(keyFromHex(golden.keys[0] ?? ''), keys[0])
  t.equal(keyFromHex('00'), null)
  t.equal(keyPrefix(keys[0] ?? keyAt(new Uint8Array(32), 0)), golden.keys[0]?.slice(0, 12))
  t.equal(keyHex(foreignKey(chainSecret, Uint8Array.of(1, 2, 3))), golden.foreign)
  t.end()
})

void t.test('route hashes', (t) => {
  t.same(routeHashes(routeSecretOf(secret, 'default', ''), tokens, 64), golden.routes)
  t.end()
})

void t.test('seal', (t) => {
  const keys = keysIn(chainBytes(chainSecretOf(secret, namespace), tokens, 64))
  const seal: Seal = {
    key: keys[1] ?? keyAt(new Uint8Array(32), 0),
    parent: keys[0] ?? null,
    namespace: keyAt(namespaceFingerprint(namespace), 0),
    layout: layoutFingerprint(layout),
    position: 1,
    blockTokens: 64,
    payloadBytes: 1_474_560,
    checksum: 0xdeadbeef,
    generation: 7,
    route: routeHashes(routeSecretOf(secret, 'default', ''), tokens, 64)[1] ?? ('' as never),
  }
  const bytes = new Uint8Array(sealByteCount)
  writeSeal(seal, bytes, 0)
  t.equal(createHash('sha256').update(bytes).digest('hex'), golden.seal)
  t.same(readSeal(bytes, 0), { as: 'seal', seal })
  t.end()
})

void t.test('frames', (t) => {
  const hello = encodeAsk('hello', 1, { version: 1, client: 'c', engine: 'e', worker: 'w', processId: 9 })
  t.equal(Buffer.from(hello).toString('hex'), golden.hello)
  const answer = encodeAnswer('load', 5, {
    readyBlocks: 3,
    byTier: { hbm: 0, host: 1, nvme: 2, s3: 0 },
    stop: 'absent',
    knownBlocks: 3,
  })
  t.equal(Buffer.from(answer).toString('hex'), golden.loadAnswer)
  t.end()
})
