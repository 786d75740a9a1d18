import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { seededChance } from '../../bench/simulate/chance.ts'
import { noNotes, noRow } from '../../tiers/policy/eviction.ts'
import { policies } from '../../tiers/policy/register.ts'

const rowMax = 32
/** Policies that remember absent blocks have up to 131,104 numbers for them; each of these visits would lose one. */
const count = 1_000_000
/** Heap that may be gained over the second half, when everything that grows to its bound has done so: a leak of a few bytes per
 *  visit is more. */
const heapBytesMax = 2 * 2 ** 20

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that are still reachable. */
function heapBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}

const holdsNothing = (): boolean => false

for (const entry of policies.filter(({ name }) => !/-root-first$|^hazard-(90|256)$/.test(name))) {
  void t.test(`${entry.name}: blocks that never come back leave nothing behind`, async (t) => {
    const policy = entry.make({ rowMax, capacityBlocks: rowMax, chance: seededChance(3) })
    const rows = new Int32Array(2)
    const names = new Float64Array(2)
    const notes = { ...noNotes, names }
    let rootRow: number = noRow
    const free = Array.from({ length: rowMax }, (_, row) => row)
    let heapAtHalf = 0
    for (let visit = 0; visit < count; visit += 1) {
      if (visit === count / 2) heapAtHalf = heapBytes()
      names[0] = 1
      names[1] = 10 + visit
      rows[0] = rootRow
      rows[1] = noRow
      policy.onVisit(rows, 2, rootRow === noRow ? 0 : 1, visit, notes)
      for (let at = rootRow === noRow ? 0 : 1; at < 2; at += 1) {
        if (free.length === 0) {
          const victim = policy.victim(holdsNothing, visit)
          if (victim === noRow) break
          policy.onDrop(victim, true, visit)
          if (victim === rootRow) rootRow = noRow
          free.push(victim)
        }
        const row = free.pop() ?? noRow
        policy.onAdd(row, at === 0 ? noRow : rootRow, at, 2, visit, names[at])
        if (at === 0) rootRow = row
      }
      policy.onVisitEnd()
    }
    t.ok(heapBytes() - heapAtHalf < heapBytesMax, 'the heap does not grow')
    let resident = 0
    for (
      let row = policy.victim(holdsNothing, count);
      row !== noRow;
      row = policy.victim(holdsNothing, count)
    ) {
      policy.onDrop(row, true, count)
      resident += 1
      if (resident > rowMax) break
    }
    t.equal(resident, rowMax - free.length, 'every resident row, and no other, is named in the end')
  })
}
