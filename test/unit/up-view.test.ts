import t from 'tap'
import { statusView } from '../../daemon/up/view.ts'

const state = {
  ...{ processId: 1, router: 'http://r', admin: 'http://a', workers: [], model: 'm', data: '/d' },
  restartCount: 0,
}
const view = (daemon: unknown): string => statusView(state, { daemon, router: null, engines: [] })

void t.test('rules in front of tiers show, with what they refused and the budget', async (t) => {
  const admission = {
    rule: 'used-twice',
    offeredBlocks: 9,
    refusedBlocksByWhy: { seldom_used: 4, budget: 1 },
    budgetUsed: 0.123,
  }
  const shown = view({ tiers: { nvme: { admission }, s3: {} } })
  t.match(
    shown,
    /^rule {6}nvme used-twice: 9 blocks offered, refused seldom_used 4, budget 1, 12 % of the day's write budget$/m,
  )
  t.equal(shown.match(/^rule/gm)?.length, 1)
  const calm = { ...admission, refusedBlocksByWhy: {}, budgetUsed: null }
  t.match(
    view({ tiers: { s3: { admission: calm } } }),
    /^rule {6}s3 used-twice: 9 blocks offered, refused none$/m,
  )
  t.notMatch(view({ tiers: {} }), /^rule/m)
})

void t.test('a daemon of another release, or none, still gives a view', async (t) => {
  for (const daemon of [null, {}, { tiers: 7 }, { tiers: { nvme: { admission: 'x' } } }, 'text']) {
    t.match(view(daemon), /Terrace at http:\/\/r/)
  }
})
