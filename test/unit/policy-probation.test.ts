import t from 'tap'
import { capacityBlocks } from '../../bench/simulate/capacity.ts'
import { seededChance } from '../../bench/simulate/chance.ts'
import { runJob } from '../../bench/simulate/job.ts'
import type { Trace } from '../../bench/trace/trace.ts'
import { noRow } from '../../tiers/policy/eviction.ts'
import { Probation } from '../../tiers/policy/probation.ts'
import { type Learning, ReuseCurves } from '../../tiers/policy/reuse-curves.ts'
import { StopIndex } from '../../tiers/policy/stop-index.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

type Made = { readonly rate: number; readonly writes: number; readonly orphans: number }

/** Host over NVMe: hit rate, and writes to NVMe per distinct block. */
function twoTiers(
  trace: Trace,
  sizes: readonly [string, string],
  policies: readonly [string, string],
  admission: string,
): Made {
  const tier = (level: 0 | 1) => ({
    name: level === 0 ? 'host' : 'nvme',
    policy: policies[level],
    capacityBlocks: capacityBlocks(sizes[level], trace, 'down', null),
  })
  const tiers = [tier(0), tier(1)]
  const job = {
    kind: 'stack',
    policy: '',
    hints: 'inferred',
    tiers,
    admission,
    demotion: 'demote',
    nvmeWritesPerDay: null,
    seed: 7,
  } as const
  const result = runJob(
    trace,
    () => new Int32Array(0),
    job,
    () => true,
  )
  return {
    rate: result.hits / trace.referenceCount,
    writes: (result.tiers?.[1]?.writes ?? Number.NaN) / trace.nodeCount,
    orphans: result.tiers?.[1]?.orphans ?? Number.NaN,
  }
}

/** Writes of write-through per distinct block (the reference tables), and what at most half of them must give. */
const bounds = {
  'mooncake-conversation': { unlimited: 0.3664, throughWrites: 1.0204 },
  'mixed-tenants': { unlimited: 0.7067, throughWrites: 1.0469 },
} as const

for (const [name, { unlimited, throughWrites }] of Object.entries(bounds)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`host 5 % over NVMe 25 % on ${name}: hits with half of the writes`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const { rate, writes } = twoTiers(trace, ['5%', '25%'], ['probation', 'terrace'], 'likely')
    t.ok(rate >= unlimited - 0.02, `${rate.toFixed(4)} of ${unlimited}`)
    t.ok(writes <= 0.5 * throughWrites, `${writes.toFixed(3)} writes for ${throughWrites}`)
  })
}

const chat = sharedTrace('mooncake-conversation')
void t.test(
  'host 2 % over NVMe 4 %: more hits than LRU with fewer writes',
  { skip: chat.skip },
  async (t) => {
    const trace = await loadSharedTrace(chat.path ?? '')
    const lru = twoTiers(trace, ['2%', '4%'], ['lru', 'terrace'], 'likely:0.19')
    const made = twoTiers(trace, ['2%', '4%'], ['probation', 'terrace'], 'likely:0.19')
    t.ok(made.rate > lru.rate + 0.01, `${made.rate.toFixed(4)} for ${lru.rate.toFixed(4)}`)
    t.equal(made.orphans, 0, 'what is below can be used without what is above')
    t.equal(
      twoTiers(trace, ['2%', '4%'], ['probation', 'terrace'], 'likely').orphans,
      0,
      'at a lower bar too',
    )
    t.ok(made.writes < lru.writes, `${made.writes.toFixed(3)} for ${lru.writes.toFixed(3)}`)
  },
)

/** Counts alone decide. */
const plainLearning: Learning = {
  keptShare: 1,
  prior: { hazard: 0, blocks: 1 },
  carriedShare: 0,
  proportionUses: null,
  answerEdges: [],
}

/** One class of blocks, and another of which only the first minute was seen: it is used so many times as often. */
function halfSeen(learning: Partial<Learning>, usedOf100: number): ReuseCurves {
  const curves = new ReuseCurves(Int32Array.of(0, 0, 0), { ...plainLearning, ...learning })
  const [known, young] = [1, 2]
  for (let block = 0; block < 10_000; block += 1) {
    if (block % 10 === 0) curves.reused(known, 30_000)
    else if (block % 10 === 1) curves.reused(known, 600_000)
    else curves.forgotten(known, 3_600_000)
  }
  curves.beginRelearn()
  for (let block = 0; block < 100; block += 1) {
    if (block < usedOf100) curves.reused(young, 30_000)
    else curves.stillOpen(young, 60_000)
  }
  curves.relearn()
  return curves
}

void t.test('a class is expected to stay as much more or less wanted as it was so far', async (t) => {
  const chance = (curves: ReuseCurves): number => curves.chanceOfUse(2, 120_000, 3_000_000)
  const alike = chance(halfSeen({ proportionUses: 1 }, 10))
  t.ok(chance(halfSeen({ proportionUses: 1 }, 40)) > 2 * alike, 'used four times as often')
  t.ok(chance(halfSeen({ proportionUses: 1 }, 1)) < alike / 2, 'used a tenth as often')
  t.equal(chance(halfSeen({}, 40)), chance(halfSeen({}, 1)), 'unless only the ages that were seen tell')
})

void t.test('a class without a past of its own is as its parent, from its first block on', async (t) => {
  const curves = new ReuseCurves(Int32Array.of(0, 0, 1), plainLearning)
  const learn = (usedOf10: number): void => {
    curves.beginRelearn()
    for (let block = 0; block < 10; block += 1) {
      if (block < usedOf10) curves.reused(0, 30_000)
      else curves.stillOpen(0, 60_000)
    }
    curves.relearn()
  }
  learn(5)
  curves.want(2)
  for (const kind of [1, 2]) t.same(curves.hazardsOf(kind), curves.hazardsOf(0), 'when it comes into use')
  const early = curves.worthAt(2, 0)
  t.ok(early > 0)
  learn(1)
  for (const kind of [1, 2]) t.same(curves.hazardsOf(kind), curves.hazardsOf(0), 'and when more is learned')
  t.ok(curves.worthAt(2, 0) < early)
})

void t.test('as many blocks of one age count as if each were told of', async (t) => {
  const chance = (tell: (curves: ReuseCurves) => void): number => {
    const curves = new ReuseCurves(Int32Array.of(0), plainLearning)
    curves.beginRelearn()
    for (let block = 0; block < 20; block += 1) curves.reused(0, 600_000)
    tell(curves)
    curves.relearn()
    return curves.chanceOfUse(0, 0, 3_000_000)
  }
  const each = chance((curves) => {
    for (let block = 0; block < 50; block += 1) curves.stillOpen(0, 900_000)
  })
  t.equal(
    chance((curves) => curves.stillOpen(0, 900_000, 50)),
    each,
  )
  t.ok(each < 0.5 && each > 0)
})

void t.test('what comes of old blocks is assumed from younger ones until it is seen', async (t) => {
  const chance = (carriedShare: number, everUsed: number): number => {
    const prior = { hazard: 0.05, blocks: 100 }
    const curves = new ReuseCurves(Int32Array.of(0), { ...plainLearning, prior, carriedShare })
    curves.beginRelearn()
    for (let block = 0; block < 10_000; block += 1) {
      if (block % everUsed === 0) curves.reused(0, block * 6)
      else curves.stillOpen(0, 60_000)
    }
    curves.relearn()
    return curves.chanceOfUse(0, 120_000, 3_000_000)
  }
  t.ok(chance(0.5, 1_000) < chance(0, 1_000) / 2, 'hardly any came back')
  t.ok(chance(0.5, 1) > 1.1 * chance(0, 1), 'many came back')
})

void t.test('doubt keeps its place longest; certainty pays nothing', async (t) => {
  const curves = new ReuseCurves(Int32Array.of(0, 0, 0, 0), plainLearning)
  const [dead, open, sure] = [1, 2, 3]
  for (let block = 0; block < 1_000; block += 1) {
    curves.forgotten(dead, 600_000)
    if (block % 4 === 0) curves.reused(open, 60_000)
    else curves.forgotten(open, 600_000)
    curves.reused(sure, 500_000)
  }
  curves.beginRelearn()
  curves.relearn()
  const index = new StopIndex(curves)
  index.learned(0.2, 3_600_000)
  t.ok(index.at(open, 1_000) > 10 * index.at(dead, 1_000), 'more than what never returns')
  t.ok(index.at(open, 1_000) > 10 * index.at(sure, 1_000), 'more than what returns, but late')
  t.ok(index.at(open, 30_000) > index.at(open, 120_000), 'less once the usual time of return has passed')
})

void t.test('what the tier below holds leaves first, from anywhere in the chain', async (t) => {
  const below = new Set<number>()
  const policy = new Probation(
    { rowMax: 16, capacityBlocks: 6, chance: seededChance(3), rowsAreNames: true },
    () => {},
  )
  policy.over({ holds: (row) => below.has(row), stayMs: () => 1e6, bar: 0.2 })
  const chain = Int32Array.of(0, 1, 2, 3)
  policy.onVisit(chain, 4, 0, 0)
  for (let at = 0; at < 4; at += 1) policy.onAdd(at, at - 1, at, 4, 0)
  policy.onVisitEnd()
  below.add(0).add(1)
  policy.onStoredBelow(0)
  policy.onStoredBelow(1)
  const first = policy.victim(() => false, 1_000)
  t.ok(below.has(first), `${first} is held below`)
  policy.onDrop(first, true, 1_000)
  const second = policy.victim(() => false, 1_000)
  t.ok(below.has(second), `${second} is held below`)
  below.delete(second)
  const third = policy.victim(() => false, 1_000)
  t.equal(third, 3, 'a block that was lost below counts as a part of the tree again')
  t.equal(
    policy.victim(() => true, 1_000),
    noRow,
  )
})
