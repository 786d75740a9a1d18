import fc from 'fast-check'
import t from 'tap'
import { seededChance } from '../../bench/simulate/chance.ts'
import { noRow } from '../../tiers/policy/eviction.ts'
import { LeafPool } from '../../tiers/policy/leaf-pool.ts'
import { LeafTree } from '../../tiers/policy/leaf-tree.ts'

const rowMax = 24

/** A tree with a pool over it, as a policy keeps them; the worth of a row is what the test says. */
class Tier {
  readonly tree = new LeafTree(rowMax)
  readonly worths = new Float64Array(rowMax)
  readonly pool: LeafPool
  readonly held = new Set<number>()
  atMs = 0

  constructor(draws: number, kept: number) {
    const shape = { draws, kept }
    this.pool = new LeafPool(rowMax, this.tree, shape, seededChance(3), (row) => this.worths[row] as number)
  }

  add(row: number, parent: number, worth: number): void {
    if (this.tree.isResident(row)) return
    this.pool.remove(parent)
    this.tree.add(row, parent)
    this.worths[row] = worth
    this.pool.add(row)
  }

  drop(row: number): void {
    if (!this.tree.isResident(row)) return
    this.pool.remove(row)
    const parent = this.tree.drop(row)
    if (parent !== noRow) this.pool.add(parent)
  }

  visitEnd(): void {
    this.tree.unmark(() => {})
  }

  use(row: number, worth: number): void {
    this.pool.expire()
    this.worths[row] = worth
    if (this.tree.isResident(row)) this.tree.mark(row)
  }

  poorest(): number {
    return this.pool.poorest((row) => this.held.has(row), this.atMs)
  }

  mayLeave(row: number): boolean {
    return this.tree.mayLeave(row) && !this.held.has(row)
  }
}

const rows = fc.nat({ max: rowMax - 1 })
const worth = fc.integer({ min: 0, max: 9 })
const step = fc.oneof(
  fc.tuple(fc.constant('add' as const), rows, fc.integer({ min: -1, max: rowMax - 1 }), worth),
  fc.tuple(fc.constant('use' as const), rows, fc.constant(0), worth),
  fc.tuple(fc.constant('hold' as const), rows, fc.constant(0), worth),
  fc.tuple(fc.constant('drop' as const), rows, fc.constant(0), worth),
  fc.tuple(fc.constant('evict' as const), rows, fc.constant(0), worth),
)

void t.test('whoever is named is a leaf that may leave, and somebody is while there is one', async (t) => {
  const shape = fc.record({
    draws: fc.integer({ min: 1, max: 8 }),
    kept: fc.integer({ min: 1, max: 8 }),
  })
  fc.assert(
    fc.property(shape, fc.array(step, { maxLength: 200, size: 'max' }), ({ draws, kept }, steps) => {
      const tier = new Tier(draws, kept)
      for (const [kind, row, parent, worth] of steps) {
        if (kind === 'add') tier.add(row, parent === row ? noRow : parent, worth)
        if (kind === 'use') tier.use(row, worth)
        if (kind === 'drop') tier.drop(row)
        if (kind === 'hold' && !tier.held.delete(row)) tier.held.add(row)
        if (kind === 'evict') {
          const named = tier.poorest()
          if (named === noRow) {
            for (let left = 0; left < rowMax; left += 1) if (tier.mayLeave(left)) return false
          } else {
            if (!tier.mayLeave(named)) return false
            tier.drop(named)
          }
          tier.visitEnd()
        }
        tier.atMs += worth
      }
      return true
    }),
    { seed: 11, numRuns: 400 },
  )
  t.pass()
})

/** Rows without parents, of which a pool of two has looked at all. */
function looked(worths: readonly number[]): Tier {
  const tier = new Tier(64, 2)
  for (const [row, worth] of worths.entries()) tier.add(row, noRow, worth)
  tier.visitEnd()
  tier.poorest()
  return tier
}

void t.test('what is kept is looked at again', async (t) => {
  const used = looked([5, 1, 2, 4])
  t.equal(used.poorest(), 1)
  used.use(1, 9)
  used.visitEnd()
  t.equal(used.poorest(), 2, 'it was used')

  const aged = looked([5, 1, 2, 4])
  aged.worths[2] = 0
  aged.atMs += 1
  t.equal(aged.poorest(), 2, 'time has passed')

  const grown = looked([5, 1, 2, 4])
  grown.add(7, 1, 0)
  t.equal(grown.poorest(), 2, 'it is no leaf any more')

  const busy = looked([5, 1, 2, 4])
  busy.held.add(1)
  t.equal(busy.poorest(), 2, 'it is held')
  busy.held.add(2)
  t.equal(busy.poorest(), 3, 'as all that was kept')
})

void t.test('what is kept need not be drawn again', async (t) => {
  const tier = new Tier(1, 4)
  for (let row = 0; row < 20; row += 1) tier.add(row, noRow, row < 4 ? row : 50 + row)
  tier.visitEnd()
  for (let draw = 0; draw < 200; draw += 1) tier.poorest()
  const named: number[] = []
  for (let at = 0; at < 4; at += 1) {
    named.push(tier.poorest())
    tier.drop(named.at(-1) ?? noRow)
  }
  t.same(named, [0, 1, 2, 3], 'the poorest of all that were drawn')
})
