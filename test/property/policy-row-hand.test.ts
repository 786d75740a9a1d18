import fc from 'fast-check'
import t from 'tap'
import { noRow } from '../../tiers/policy/eviction.ts'
import { RowHand } from '../../tiers/policy/row-hand.ts'
import { RowLists } from '../../tiers/policy/row-lists.ts'

const rowMax = 12
const list = 1

/** A list with a hand, and the same in plain arrays: what a round has still to show, and what came since it began. */
class Round {
  readonly lists = new RowLists(rowMax, 1)
  readonly hand = new RowHand(this.lists, list)
  ahead: number[] = []
  behind: number[] = []

  add(row: number): void {
    if (this.lists.listOf(row) === list) return
    this.lists.pushHead(list, row)
    this.#newest(row)
  }

  remove(row: number): void {
    if (this.lists.listOf(row) !== list) return
    this.hand.leaves(row)
    this.lists.remove(row)
    this.#takeOut(row)
  }

  refresh(row: number): void {
    if (this.lists.listOf(row) !== list) return
    this.hand.leaves(row)
    this.lists.refresh(list, row)
    this.#takeOut(row)
    this.#newest(row)
  }

  #takeOut(row: number): void {
    this.ahead = this.ahead.filter((other) => other !== row)
    this.behind = this.behind.filter((other) => other !== row)
  }

  /** With nothing ahead a new round begins at the oldest. */
  #newest(row: number): void {
    if (this.ahead.length > 0) this.ahead.push(row)
    else this.behind.push(row)
  }

  wanted(): number {
    if (this.ahead.length === 0) {
      this.ahead = this.behind
      this.behind = []
    }
    const row = this.ahead.shift()
    if (row === undefined) return noRow
    this.behind.push(row)
    return row
  }
}

const step = fc.tuple(fc.constantFrom('add', 'next', 'remove', 'refresh'), fc.nat({ max: rowMax - 1 }))

void t.test('a hand shows every row once a round, from old to new, whatever moves meanwhile', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const round = new Round()
      for (const [kind, row] of steps) {
        if (kind === 'add') round.add(row)
        if (kind === 'remove') round.remove(row)
        if (kind === 'refresh') round.refresh(row)
        if (kind === 'next' && round.hand.next() !== round.wanted()) return false
      }
      return true
    }),
    { seed: 5, numRuns: 1_000 },
  )
  t.pass()
})
