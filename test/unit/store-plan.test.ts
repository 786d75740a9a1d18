import t from 'tap'
import { Budget } from '../../tiers/budget.ts'
import { bestCut, type MsOf } from '../../tiers/policy/cost.ts'
import { planDemotion, planLoad } from '../../tiers/policy/plan.ts'

const perMb = (rates: Record<string, number>): MsOf => {
  return (tier, byteCount) =>
    rates[tier] === undefined ? null : (byteCount / 2 ** 20) * (rates[tier] as number)
}
const mb = 2 ** 20

void t.test('a prefix is loaded as far as that is quicker than computing it', async (t) => {
  const msOf = perMb({ host: 1, nvme: 4, s3: 50 })
  const sources = ['host', 'host', 'nvme', 'nvme', 's3', 's3'] as const
  t.match(bestCut(sources, mb, 10, 10_000, msOf), { blocks: 4, ends: 'cost' }, 's3 costs more than it saves')
  t.match(
    bestCut(['host', 'host', 's3'], mb, 30, 10_000, msOf),
    { blocks: 2 },
    'the third saves less than it costs',
  )
  t.match(bestCut(sources, mb, 200, 10_000, msOf), { blocks: 6, ends: 'nothing' })
  t.match(bestCut(sources, mb, 0.5, 10_000, msOf), { blocks: 0, loadMs: 0, ends: 'cost' })
  t.match(bestCut(sources, mb, 0, 10_000, msOf), { blocks: 6 }, 'no price of computing: load')
  t.match(bestCut(sources, mb, 0, 8, msOf), { blocks: 3, ends: 'deadline' })
  t.match(
    bestCut(sources, mb, 10, 10_000, () => null),
    { blocks: 6 },
    'nothing measured: load',
  )
  t.match(
    bestCut(sources, mb, 0, 0, () => null),
    { blocks: 0, ends: 'deadline' },
  )
})

void t.test('a cheap far block behind dear ones still pays when enough of them follow', async (t) => {
  const msOf = perMb({ host: 1, s3: 15 })
  t.equal(bestCut(['s3', 'host', 'host', 'host', 'host'], mb, 10, 10_000, msOf).blocks, 5)
})

void t.test('a plan ends at the first gap, in groups that the host slots can carry', async (t) => {
  const base = { blockBytes: mb, prefillMsPerBlock: 0, leftMs: 1_000, msOf: () => null }
  const plan = planLoad({ ...base, sources: ['host', 'nvme', 'nvme', null, 'host'], hostSlots: 8 })
  t.match(plan, { blocks: 3, stop: 'absent' })
  t.same(
    plan.groups.map(({ first, sources }) => [first, sources.length]),
    [
      [0, 2],
      [2, 1],
    ],
  )
  t.match(planLoad({ ...base, sources: ['host', 'host'], hostSlots: 8 }), { blocks: 2, stop: 'complete' })
  t.match(planLoad({ ...base, sources: [null, 'host'], hostSlots: 8 }), { groups: [], stop: 'absent' })
  t.match(planLoad({ ...base, sources: ['host'], leftMs: -1, hostSlots: 8 }), {
    groups: [],
    stop: 'deadline',
  })
  t.match(planLoad({ ...base, sources: ['host'], hostSlots: 1 }).groups, [{ first: 0 }])
})

void t.test('a demotion takes along the ancestors that the tier below lacks, root first', async (t) => {
  t.same(
    planDemotion(['a', 'b', 'c'], (key) => key === 'b'),
    ['a', 'c'],
  )
})

void t.test('a link admits so much at once, measures what it carried, and forgets old rates', async (t) => {
  const budget = new Budget(2, 3 * mb)
  t.equal(budget.msOf(mb, 0), null)
  t.equal(budget.admits(99 * mb), true, 'one step always passes')
  budget.start(2 * mb, 0)
  t.equal(budget.admits(2 * mb), false)
  t.equal(budget.admits(mb), true)
  budget.start(mb, 0)
  t.equal(budget.admits(1), false, 'steps are bounded too')
  budget.end(2 * mb, 2 * mb, 20)
  budget.end(mb, mb, 30)
  t.equal(Math.round(budget.msOf(10 * mb, 30) ?? 0), 100)
  t.equal(Math.round(budget.msOf(10 * mb, 30, 10 * mb) ?? 0), 200, 'behind what waits')
  t.equal(budget.msOf(mb, 100_000), null, 'too old to be believed')
  const batch = new Budget(64, 64 * mb)
  for (let i = 0; i < 32; i++) batch.start(mb, 0)
  for (let i = 0; i < 32; i++) batch.end(mb, mb, 16 + i * 0.001)
  t.equal(Math.round(batch.msOf(32 * mb, 20) ?? 0), 16, 'ends told in one batch are one measurement')
})
