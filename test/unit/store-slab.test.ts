import t from 'tap'
import type { BlockKey, SlotIndex } from '../../tiers/block/id.ts'
import { namespacesMax } from '../../tiers/block/limits.ts'
import type { RouteHash } from '../../tiers/block/route.ts'
import { decodeRecord, encodeRecord } from '../../tiers/catalog.ts'
import { decodeNamespaces } from '../../tiers/namespace-file.ts'
import {
  copyOffset,
  decodeTable,
  encodeTable,
  newerTable,
  newTable,
  segmentCountOf,
  tableCopyBytes,
  withSlotPages,
} from '../../tiers/slab.ts'
import { layoutOf, namespaceOf } from '../sim/engine.ts'

const slabId = 'abcdefghijklmnop'

void t.test('a segment table comes back as it was written; its copies take turns', async (t) => {
  const first = newTable(2 ** 30, slabId)
  const pages = first.slotPages.slice()
  pages[3] = 360
  const second = withSlotPages(first, pages)
  t.same(decodeTable(encodeTable(second)), { as: 'table', table: second })
  t.not(copyOffset(first), copyOffset(second))
  t.equal(segmentCountOf(second, 2 ** 30), 15)
  const [old, young] = [decodeTable(encodeTable(first)), decodeTable(encodeTable(second))]
  t.same(newerTable(old, young), young)
  t.same(newerTable(young, old), young)
  t.same(newerTable({ as: 'damaged' }, young), young)
  t.same(newerTable(young, { as: 'damaged' }), young)
  t.same(newerTable({ as: 'damaged' }, { as: 'damaged' }), { as: 'damaged' })
})

void t.test('every flipped bit of a table, and every cut, is found', async (t) => {
  const bytes = encodeTable(newTable(2 ** 24, slabId))
  let believed = 0
  for (let at = 0; at < 64; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] ?? 0) ^ (1 << bit)
      if (decodeTable(flipped).as === 'table') believed += 1
    }
  }
  for (const length of [0, 1, 4_096, tableCopyBytes - 1]) {
    if (decodeTable(bytes.slice(0, length)).as === 'table') believed += 1
  }
  t.equal(believed, 0)
})

void t.test('a catalog record with any bit flipped is no record', async (t) => {
  const seal = {
    key: 'k'.repeat(32) as BlockKey,
    parent: 'p'.repeat(32) as BlockKey,
    namespace: 'n'.repeat(32) as BlockKey,
    layout: '0123456789abcdef',
    position: 7,
    blockTokens: 16,
    payloadBytes: 12_345,
    checksum: 99,
    generation: 3,
    route: 'fedcba9876543210' as RouteHash,
  }
  const entry = { seal, index: 17 as SlotIndex }
  const record = encodeRecord(entry)
  t.same(decodeRecord(record), entry)
  let believed = 0
  for (let bit = 0; bit < record.length * 8; bit++) {
    const flipped = record.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    if (decodeRecord(flipped) !== null) believed += 1
  }
  t.equal(believed, 0)
  t.equal(decodeRecord(record.slice(1)), null)
})

void t.test('the list of namespaces: whole ones only, whatever the file holds', async (t) => {
  const good = namespaceOf('a', layoutOf(4, 2, 700))
  const file = (namespaces: unknown, version: unknown = 1) => JSON.stringify({ version, namespaces })
  t.same(decodeNamespaces(file([good, good])), [good, good])
  t.same(decodeNamespaces(file([{ ...good, tenant: 5 }, { ...good, layout: null }, null, good])), [good])
  t.same(decodeNamespaces(file([{ ...good, model: '' }])), [])
  t.same(decodeNamespaces(file([{ ...good, rank: { index: 2, count: 1 } }])), [])
  for (const text of ['', '{', 'null', '[]', file('x'), file([good], 2), '{"version":1}']) {
    t.same(decodeNamespaces(text), [], text)
  }
  t.equal(decodeNamespaces(file(new Array(namespacesMax + 5).fill(good))).length, namespacesMax)
})
