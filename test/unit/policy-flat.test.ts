import t from 'tap'
import { noNotes, noRow } from '../../tiers/policy/eviction.ts'
import { policyNamed } from '../../tiers/policy/register.ts'

function policyOf(name: string) {
  const policy = policyNamed(name)?.make({ rowMax: 8, capacityBlocks: 8, chance: () => 0 })
  if (policy === undefined) throw new Error(`no policy ${name}`)
  return policy
}

/** Brings in a chain of three, root first or tail first, and answers who would leave first. */
function firstOut(name: string, addOrder: readonly number[]): number {
  const policy = policyOf(name)
  policy.onVisit(Int32Array.of(noRow, noRow, noRow), 3, 0, 0)
  for (const at of addOrder) policy.onAdd(at, at - 1, at, 3, 0, 100 + at)
  policy.onVisitEnd()
  return policy.victim(() => false, 1)
}

void t.test('the order of touching is the policy’s, whatever the order of the calls', async (t) => {
  t.equal(firstOut('lru', [0, 1, 2]), 2)
  t.equal(firstOut('lru', [2, 1, 0]), 2)
  t.equal(firstOut('lru-root-first', [0, 1, 2]), 0)
  t.equal(firstOut('lru-root-first', [2, 1, 0]), 0)
})

void t.test('a hit prefix is newer than the tail that came with it', async (t) => {
  const policy = policyOf('lru')
  policy.onVisit(Int32Array.of(noRow), 1, 0, 0)
  policy.onAdd(0, noRow, 0, 1, 0, 100)
  policy.onVisitEnd()
  policy.onVisit(Int32Array.of(0, noRow), 2, 1, 1)
  policy.onAdd(1, 0, 1, 2, 1, 101)
  policy.onVisitEnd()
  t.equal(
    policy.victim(() => false, 2),
    1,
  )
})

void t.test('ghosts recognise a block that comes back in another row', async (t) => {
  const policy = policyOf('2q')
  const bring = (row: number, name: number): void => {
    policy.onVisit(Int32Array.of(noRow), 1, 0, 0, { ...noNotes, names: Float64Array.of(name) })
    policy.onAdd(row, noRow, 0, 1, 0, name)
    policy.onVisitEnd()
  }
  for (let row = 0; row < 4; row += 1) bring(row, 100 + row)
  const row = policy.victim(() => false, 0)
  policy.onDrop(row, true, 0)
  bring(7, 100 + row)
  const order: number[] = []
  for (let left = 4; left > 0; left -= 1) {
    const victim = policy.victim(() => false, 0)
    order.push(victim)
    policy.onDrop(victim, true, 0)
  }
  t.equal(order.indexOf(7) > order.indexOf(1), true, 'it went to the main queue and outlives a fresh block')
  t.equal(
    policy.victim(() => false, 0),
    noRow,
  )
})
