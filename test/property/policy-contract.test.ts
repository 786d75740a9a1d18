import t from 'tap'
import { seededChance } from '../../bench/simulate/chance.ts'
import { type EvictionPolicy, noNotes, noRow } from '../../tiers/policy/eviction.ts'
import { policies } from '../../tiers/policy/register.ts'

const rowMax = 96
const visits = 3_000

/** A small block table that drives a policy as the daemon does: rows are reused, some are held. */
class Table {
  readonly policy: EvictionPolicy
  readonly rowOf = new Map<number, number>()
  readonly nameOf = new Map<number, number>()
  readonly free = Array.from({ length: rowMax }, (_, row) => row)
  readonly held = new Set<number>()
  /** What went wrong, in words. */
  readonly wrong: string[] = []

  constructor(policy: EvictionPolicy) {
    this.policy = policy
  }

  visit(names: readonly number[], nowMs: number, treeAware: boolean): void {
    const rows = Int32Array.from(names, (name) => this.rowOf.get(name) ?? noRow)
    let ready = 0
    while (ready < rows.length && rows[ready] !== noRow) ready += 1
    const notes = { ...noNotes, names: Float64Array.from(names) }
    this.policy.onVisit(rows, rows.length, ready, nowMs, notes)
    const path = new Set(rows)
    names.forEach((name, at) => {
      if (this.rowOf.has(name)) return
      if (this.free.length === 0 && !this.evict(nowMs, treeAware ? path : new Set())) return
      const row = this.free.pop() ?? noRow
      this.rowOf.set(name, row)
      this.nameOf.set(row, name)
      path.add(row)
      const parent = at === 0 ? noRow : (this.rowOf.get(names[at - 1] ?? -1) ?? noRow)
      this.policy.onAdd(row, parent, at, names.length, nowMs, name)
    })
    this.policy.onVisitEnd()
  }

  evict(nowMs: number, path: ReadonlySet<number>): boolean {
    const row = this.policy.victim((candidate) => this.held.has(candidate), nowMs)
    if (row === noRow) return false
    if (!this.nameOf.has(row)) this.wrong.push(`named row ${row}, which is not resident`)
    if (this.held.has(row)) this.wrong.push(`named row ${row}, which is held`)
    if (path.has(row)) this.wrong.push(`named row ${row} of the path being served`)
    this.drop(row, true, nowMs)
    return true
  }

  drop(row: number, evicted: boolean, nowMs: number): void {
    this.policy.onDrop(row, evicted, nowMs)
    const name = this.nameOf.get(row)
    this.nameOf.delete(row)
    if (name !== undefined) this.rowOf.delete(name)
    this.free.push(row)
  }
}

/** Chains over a small tree of names, so that rows, names and prefixes come back often. */
function chainOf(chance: () => number): number[] {
  const length = 1 + (chance() % 12)
  const names = [chance() % 3]
  while (names.length < length) names.push((names.at(-1) ?? 0) * 3 + 3 + (chance() % 2))
  return names
}

for (const entry of policies) {
  void t.test(`${entry.name} keeps the contract`, async (t) => {
    const chance = seededChance(11)
    const treeAware = entry.kind !== 'list'
    const table = new Table(entry.make({ rowMax, capacityBlocks: rowMax, chance: seededChance(5) }))
    let nowMs = 0
    for (let visit = 0; visit < visits; visit += 1) {
      nowMs += chance() % 5_000
      table.held.clear()
      for (const row of table.nameOf.keys()) if (chance() % 16 === 0) table.held.add(row)
      table.visit(chainOf(chance), nowMs, treeAware)
      const [some] = table.nameOf.keys()
      if (some !== undefined && chance() % 8 === 0) table.drop(some, false, nowMs)
    }
    t.same(table.wrong.slice(0, 3), [])
    table.held.clear()
    let named = 0
    while (table.nameOf.size > 0 && table.evict(nowMs, new Set())) named += 1
    t.equal(table.nameOf.size, 0, 'outside a visit every resident row is named in the end')
    t.ok(named > 0, 'something was resident')
    t.equal(
      table.policy.victim(() => false, nowMs),
      noRow,
      'an empty policy names nothing',
    )
  })

  void t.test(`${entry.name} names nothing when all is held`, async (t) => {
    const table = new Table(entry.make({ rowMax, capacityBlocks: rowMax, chance: seededChance(5) }))
    table.visit([0, 3, 12], 0, true)
    t.equal(
      table.policy.victim(() => true, 1),
      noRow,
    )
    t.not(
      table.policy.victim(() => false, 1),
      noRow,
    )
  })
}
