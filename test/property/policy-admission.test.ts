import fc from 'fast-check'
import t from 'tap'
import { BlockPast } from '../../tiers/policy/block-past.ts'
import { Ghosts } from '../../tiers/policy/ghosts.ts'
import { WriteBudget } from '../../tiers/policy/write-budget.ts'

const dayMs = 86_400_000

void t.test(
  'a budget that is kept holds in every window: n days never write more than n + 1 days’ bytes',
  async () => {
    const asks = fc.array(
      fc.record({
        // Bursts, and pauses of hours.
        afterMs: fc.oneof(fc.integer({ min: 0, max: 1_000 }), fc.integer({ min: 0, max: dayMs })),
        byteCount: fc.integer({ min: 1, max: 400 }),
      }),
      { maxLength: 120 },
    )
    fc.assert(
      fc.property(asks, (wanted) => {
        const perDay = 1_000
        const budget = new WriteBudget(perDay, 0)
        const written: { readonly atMs: number; readonly byteCount: number }[] = []
        let nowMs = 0
        for (const { afterMs, byteCount } of wanted) {
          nowMs += afterMs
          if (budget.usedWith(byteCount, nowMs) > 1) continue
          budget.wrote(byteCount, nowMs)
          written.push({ atMs: nowMs, byteCount })
        }
        return written.every((first, from) => {
          let sum = 0
          return written.slice(from).every(({ atMs, byteCount }) => {
            sum += byteCount
            return sum <= perDay * (1 + (atMs - first.atMs) / dayMs) + 1e-6
          })
        })
      }),
    )
  },
)

void t.test('what is used up comes back with time, all of it within a day', async (t) => {
  const budget = new WriteBudget(1_000, 0)
  budget.wrote(1_000, 0)
  t.equal(budget.usedWith(0, 0), 1)
  t.equal(budget.usedWith(0, dayMs / 4), 0.75)
  t.equal(budget.usedWith(0, dayMs * 9), 0, 'and no more than all')
  t.equal(budget.usedWith(1_500, dayMs * 9), 1.5)
})

/** What happened to a few blocks, in any order. */
const history = fc.array(
  fc.record({
    block: fc.integer({ min: 0, max: 11 }),
    what: fc.constantFrom('used' as const, 'known' as const, 'evicted' as const),
  }),
  { maxLength: 200 },
)

void t.test(
  'the past of blocks: exact as long as it is remembered, bounded, oldest forgotten first',
  async () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 12 }), (steps, blocksMax) => {
        const past = new BlockPast<number>(blocksMax)
        let kept: { block: number; uses: number; known: boolean; evicted: boolean }[] = []
        for (const { block, what } of steps) {
          if (what === 'used') past.used([block])
          if (what === 'known') past.known([block])
          if (what === 'evicted') past.evicted(block)
          const old = kept.find((one) => one.block === block) ?? {
            block,
            uses: 0,
            known: false,
            evicted: false,
          }
          const next = {
            block,
            uses: old.uses + (what === 'used' ? 1 : 0),
            known: old.known || what === 'known',
            evicted: old.evicted || what === 'evicted',
          }
          kept = [...kept.filter((one) => one.block !== block), next].slice(-blocksMax)
        }
        if (past.blockCount !== kept.length) return false
        return Array.from({ length: 12 }, (_, block) => block).every((block) => {
          const told = past.factsOf(block)
          const one = kept.find((candidate) => candidate.block === block)
          return (
            told.uses === (one?.uses ?? 0) &&
            told.knownPrefix === (one?.known ?? false) &&
            told.evictedBefore === (one?.evicted ?? false)
          )
        })
      }),
    )
  },
)

void t.test('ghosts: one kind at a time, taken once, as many as are allowed', async (t) => {
  const ghosts = new Ghosts<number>()
  for (let block = 0; block < 5; block += 1) ghosts.add(block, 'evicted', 3)
  t.same(
    [0, 1, 2, 3, 4].map((block) => ghosts.take(block)),
    [null, null, 'evicted', 'evicted', 'evicted'],
  )
  t.equal(ghosts.take(4), null, 'a wish is counted once')
  ghosts.add(7, 'evicted', 3)
  ghosts.add(7, 'refused', 3)
  t.equal(ghosts.take(7), 'refused', 'what happened last')
  t.equal(ghosts.take(7), null)
  ghosts.add(8, 'refused', 2)
  ghosts.add(9, 'refused', 2)
  ghosts.add(8, 'refused', 2)
  ghosts.add(10, 'refused', 2)
  t.same(
    [8, 9, 10].map((block) => ghosts.take(block)),
    ['refused', null, 'refused'],
    'gone again is young again',
  )
})
