import fc from 'fast-check'
import t from 'tap'
import { modelSeed, PrefixIndex } from '../../router/prefix-index.ts'
import type { RouteHash } from '../../tiers/block/route.ts'

const models = ['small', 'large']
const seeds = models.map(modelSeed)
const holderCount = 6
/** Few names that share their low bits, so that places collide and runs get long. */
const hashOf = (n: number): RouteHash =>
  `${(n % 3).toString(16).padStart(8, '0')}${((n * 16) >>> 0).toString(16).padStart(8, '0')}` as RouteHash

type Op =
  | {
      readonly kind: 'add' | 'remove'
      readonly model: number
      readonly block: number
      readonly holder: number
    }
  | { readonly kind: 'clear'; readonly holder: number }
  | { readonly kind: 'sweep'; readonly steps: number }

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom('add' as const, 'add' as const, 'remove' as const),
      model: fc.integer({ min: 0, max: 1 }),
      block: fc.integer({ min: 0, max: 60 }),
      holder: fc.integer({ min: 0, max: holderCount - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('clear' as const),
      holder: fc.integer({ min: 0, max: holderCount - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('sweep' as const), steps: fc.integer({ min: 1, max: 300 }) }),
  },
)

void t.test('after any order of stores, removals, clearings and sweeps the index says what sets say', (t) => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
      const index = new PrefixIndex(2 ** 20)
      const holders = Array.from({ length: holderCount }, () => index.newHolder())
      const naive = new Map<string, Set<number>>()
      for (const entry of ops) {
        if (entry.kind === 'sweep') {
          for (let i = 0; i < entry.steps; i++) index.sweepStep()
          continue
        }
        const holder = holders[entry.holder] ?? 0
        if (entry.kind === 'clear') {
          index.retire(holder)
          holders[entry.holder] = index.newHolder()
          for (const held of naive.values()) held.delete(entry.holder)
          continue
        }
        const seed = seeds[entry.model] ?? modelSeed('')
        const name = `${entry.model}/${entry.block}`
        const held = naive.get(name) ?? new Set()
        naive.set(name, held)
        if (entry.kind === 'add') {
          index.add(seed, hashOf(entry.block), holder)
          held.add(entry.holder)
        } else {
          index.remove(seed, hashOf(entry.block), holder)
          held.delete(entry.holder)
        }
      }
      while (index.sweepStep());
      let blocks = 0
      for (const [name, held] of naive) {
        const [model, block] = name.split('/').map(Number)
        const set = index.setOf(seeds[model ?? 0] ?? modelSeed(''), hashOf(block ?? 0))
        if (held.size > 0) blocks += 1
        if (index.holdersOf(set).length !== held.size) return false
        for (const [i, holder] of holders.entries()) if (index.has(set, holder) !== held.has(i)) return false
      }
      return index.blockCount === blocks
    }),
    { numRuns: 400 },
  )
  t.pass('400 histories')
  t.end()
})

/** Well-spread names, as real ones are. */
function name(n: number): RouteHash {
  const mixed = BigInt.asUintN(64, BigInt(n + 1) * 0x9e37_79b9_7f4a_7c15n)
  return mixed.toString(16).padStart(16, '0') as RouteHash
}

void t.test('a full index stays within its bytes, forgets what was not asked for, and never invents', (t) => {
  const bytesMax = 2 ** 20
  const index = new PrefixIndex(bytesMax)
  const seed = modelSeed('m')
  const holder = index.newHolder()
  const asked = 500
  for (let n = 0; n < asked; n++) index.add(seed, name(n), holder)
  for (let n = asked; n < 200_000; n++) {
    index.add(seed, name(n), holder)
    // What requests keep asking for must survive the flood.
    if (n % 50 === 0) for (let k = 0; k < asked; k++) index.setOf(seed, name(k))
  }
  t.ok(index.byteCount <= bytesMax, `${index.byteCount} bytes`)
  t.equal(index.blockCount + index.evictedCount, 200_000)
  const kept = Array.from({ length: asked }, (_, n) => index.setOf(seed, name(n)) !== 0).filter(Boolean)
  t.equal(kept.length, asked, 'everything asked for is still there')
  let found = 0
  for (let n = 0; n < 200_000; n++) if (index.has(index.setOf(seed, name(n)), holder)) found += 1
  t.equal(found, index.blockCount)
  for (let n = 200_000; n < 210_000; n++) if (index.setOf(seed, name(n)) !== 0) t.fail('never stored')
  t.end()
})

void t.test('more sets of holders than there is room for: refused and counted, never wrong', (t) => {
  const index = new PrefixIndex(2 ** 20)
  const seed = modelSeed('m')
  const holders = Array.from({ length: 12 }, () => index.newHolder())
  const truth = new Map<number, Set<number>>()
  for (let n = 0; n < 4_096; n++) {
    const block = name(n)
    for (const [i, holder] of holders.entries()) {
      if ((n >> i) % 2 === 0) continue
      index.add(seed, block, holder)
      truth.set(n, (truth.get(n) ?? new Set()).add(holder))
    }
    const set = index.setOf(seed, block)
    for (const holder of index.holdersOf(set)) if (!truth.get(n)?.has(holder)) t.fail('invented')
  }
  t.ok(index.refusedCount > 0)
  t.ok(index.byteCount <= 2 ** 20)
  t.end()
})
