import type { Arena } from './arena.ts'
import { noRow, type Row } from './policy/eviction.ts'
import type { BlockTable } from './table.ts'

/** Names the blocks that have to go so that one more slot of a size can be had. The policy decides inside a size
 *  class. Between
 *  classes: one without any segment takes over the emptiest one of the others, and one whose evictions keep hitting blocks
 *  fresher than the other classes' victims gets a segment of theirs after as many evictions as the segment would
 *  have saved. */
export class VictimChooser {
  readonly #table: BlockTable
  readonly #arena: Arena
  /** Per slot size: evictions at which a block of another class was the older one. */
  readonly #envy = new Map<number, number>()

  constructor(table: BlockTable, arena: Arena) {
    this.#table = table
    this.#arena = arena
  }

  /** Rows to give up, or none when everything is held. */
  choose(slotBytes: number, nowMs: number): Row[] {
    const { segmentBytes } = this.#arena
    if (slotBytes > segmentBytes) return []
    if (this.#arena.segmentsOf(slotBytes) === 0) return this.#takeOver(slotBytes)
    const mine = this.#table.victim(nowMs, (held) => this.#slotBytesAt(held.state.slot.index) === slotBytes)
    if (!this.#arena.hasOthers(slotBytes)) return mine === noRow ? [] : [mine]
    const oldest = this.#table.victim(nowMs)
    // Another block of the same size says nothing: a policy that draws at random names a different one each time.
    if (oldest !== noRow && this.#slotBytesOf(oldest) !== slotBytes) {
      const envy = (this.#envy.get(slotBytes) ?? 0) + 1
      this.#envy.set(slotBytes, envy)
      if (envy >= Math.floor(segmentBytes / slotBytes)) {
        this.#envy.set(slotBytes, 0)
        const segment = this.#arena.segmentOf(this.#table.at(oldest).state.slot.index)
        const rows = this.#rowsIn(segment)
        if (rows !== null) return rows
      }
    }
    return mine === noRow ? [] : [mine]
  }

  #takeOver(slotBytes: number): Row[] {
    for (const segment of this.#arena.othersByUse(slotBytes)) {
      const rows = this.#rowsIn(segment)
      if (rows !== null) return rows
    }
    return []
  }

  /** The blocks of a segment, or null when one of them is in use. */
  #rowsIn(segment: number): Row[] | null {
    const rows: Row[] = []
    for (const slot of this.#arena.slotsIn(segment)) {
      const row = this.#table.rowAt(slot.index)
      const state = row === noRow ? null : this.#table.at(row).state
      if (state?.at !== 'sealed' || state.pins > 0) return null
      rows.push(row)
    }
    return rows
  }

  #slotBytesOf(row: Row): number {
    return this.#slotBytesAt(this.#table.at(row).state.slot.index)
  }

  #slotBytesAt(index: Parameters<Arena['segmentOf']>[0]): number {
    return this.#arena.slotBytesOf(this.#arena.segmentOf(index))
  }
}
