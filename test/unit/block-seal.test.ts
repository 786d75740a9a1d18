import t from 'tap'
import { type BlockKey, keyAt } from '../../tiers/block/id.ts'
import type { RouteHash } from '../../tiers/block/route.ts'
import {
  damageOf,
  readSeal,
  type Seal,
  type SealWanted,
  sealByteCount,
  writeSeal,
} from '../../tiers/block/seal.ts'

const keyOf = (byte: number): BlockKey => keyAt(new Uint8Array(32).fill(byte), 0)
const seal: Seal = {
  key: keyOf(1),
  parent: keyOf(2),
  namespace: keyOf(3),
  layout: '0123456789abcdef',
  position: 4,
  blockTokens: 64,
  payloadBytes: 2 ** 33 + 5,
  checksum: 0x89abcdef,
  generation: 6,
  route: 'fedcba9876543210' as RouteHash,
}
const wanted: SealWanted = {
  key: seal.key,
  namespace: seal.namespace,
  layout: seal.layout,
  payloadBytes: seal.payloadBytes,
  generation: seal.generation,
  checksum: seal.checksum,
}
const bytes = new Uint8Array(sealByteCount)
writeSeal(seal, bytes, 0)

void t.test('reads what it wrote, at any offset', (t) => {
  const shifted = new Uint8Array(sealByteCount + 9)
  writeSeal(seal, shifted, 9)
  t.same(readSeal(shifted, 9), { as: 'seal', seal })
  t.equal(damageOf(readSeal(shifted, 9), wanted, seal.checksum), null)
  const root = { ...seal, position: 0, parent: null }
  writeSeal(root, shifted, 9)
  t.same(readSeal(shifted, 9), { as: 'seal', seal: root })
  t.end()
})

void t.test('every flipped bit of the header is refused', (t) => {
  let refused = 0
  for (let bit = 0; bit < sealByteCount * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    if (damageOf(readSeal(flipped, 0), wanted, seal.checksum) !== null) refused++
  }
  t.equal(refused, sealByteCount * 8)
  t.end()
})

void t.test('every truncation is refused', (t) => {
  for (let length = 0; length < sealByteCount; length++) {
    t.equal(readSeal(bytes.subarray(0, length), 0).as, 'damaged', `${length} bytes`)
  }
  t.end()
})

void t.test('a valid block in the wrong place is refused, and the first wrong field is named', (t) => {
  const read = readSeal(bytes, 0)
  const cases: readonly [Partial<SealWanted>, string][] = [
    [{ key: keyOf(9) }, 'wrong_key'],
    [{ namespace: keyOf(9) }, 'wrong_namespace'],
    [{ layout: 'ffffffffffffffff' }, 'wrong_layout'],
    [{ payloadBytes: 5 }, 'length'],
    [{ generation: 5 }, 'stale_generation'],
    [{ checksum: 1 }, 'payload_checksum'],
  ]
  for (const [other, why] of cases) t.equal(damageOf(read, { ...wanted, ...other }, seal.checksum), why)
  t.equal(damageOf(read, wanted, 1), 'payload_checksum', 'the bytes that were read decide')
  t.equal(damageOf(read, { ...wanted, generation: null, checksum: null }, seal.checksum), null)
  t.end()
})
