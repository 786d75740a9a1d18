import { type EvictionPolicy, noRow, type PolicySizes, type Row } from './eviction.ts'
import type { FlatPolicy, TouchOrder } from './flat.ts'

/** Numbers that a policy with ghost memory may still remember, per block of capacity.
 *  Why 3: the longest ghost memory (ARC) is as long as the tier itself, and names in between are recycled. */
const namesPerBlock = 3

/** A flat policy behind the daemon's interface. It gives every block name a number of its own that outlives the
 *  residence, so that ghost lists recognise a block that comes back in another row. */
export class FlatEviction implements EvictionPolicy {
  readonly name: string
  readonly #flat: FlatPolicy
  readonly #order: TouchOrder
  /** Per row: the number the flat policy knows it by, or -1. */
  readonly #numberOf: Int32Array
  readonly #rowOf: Int32Array
  readonly #nameOf: Float64Array
  readonly #numbers = new Map<number, number>()
  #clockHand = 0
  /** What the visit does, until it ends. */
  readonly #steps: { readonly number: number; readonly position: number; readonly isNew: boolean }[] = []
  /** Added in this visit and not told to the flat policy yet. */
  readonly #pending = new Set<number>()

  constructor(name: string, order: TouchOrder, sizes: PolicySizes, make: (numberMax: number) => FlatPolicy) {
    this.name = name
    this.#order = order
    const numberMax = namesPerBlock * sizes.rowMax + 1
    this.#flat = make(numberMax)
    this.#numberOf = new Int32Array(sizes.rowMax).fill(-1)
    this.#rowOf = new Int32Array(numberMax).fill(noRow)
    this.#nameOf = new Float64Array(numberMax).fill(-1)
  }

  onVisit(rows: Int32Array, count: number): void {
    for (let at = 0; at < count; at += 1) {
      const row = rows[at] as number
      const number = row === noRow ? -1 : (this.#numberOf[row] as number)
      if (number >= 0) this.#steps.push({ number, position: at, isNew: false })
    }
  }

  reorder(rows: Int32Array, count: number): void {
    for (let step = 0; step < count; step += 1) {
      const row = rows[this.#order === 'leaf-first' ? count - 1 - step : step] as number
      const number = row === noRow ? -1 : (this.#numberOf[row] as number)
      if (number >= 0) this.#flat.reorder?.(number)
    }
  }

  onAdd(row: Row, _parent: Row, position: number, _chainLength: number, _nowMs: number, name?: number): void {
    const number = this.#take(name)
    this.#numberOf[row] = number
    this.#rowOf[number] = row
    this.#steps.push({ number, position, isNew: true })
    this.#pending.add(number)
  }

  /** Touches and adds in the policy's order of positions, whatever the order of the calls was. */
  onVisitEnd(): void {
    const sign = this.#order === 'leaf-first' ? -1 : 1
    this.#steps.sort((a, b) => sign * (a.position - b.position))
    for (const { number, isNew } of this.#steps) {
      if (this.#rowOf[number] === noRow) continue
      const isPending = this.#pending.has(number)
      if (isNew && isPending) {
        this.#pending.delete(number)
        this.#flat.miss(number)
        this.#flat.add(number)
      } else if (!isNew && !isPending) {
        this.#flat.touch(number)
      }
    }
    this.#steps.length = 0
    this.#pending.clear()
  }

  onDrop(row: Row, evicted: boolean): void {
    const number = this.#numberOf[row] as number
    if (number < 0) return
    this.#numberOf[row] = -1
    this.#rowOf[number] = noRow
    if (!this.#pending.delete(number)) this.#flat.drop(number, evicted)
  }

  victim(held: (row: Row) => boolean): Row {
    const number = this.#flat.victim((candidate) => held(this.#rowOf[candidate] as number), noRow)
    return number === noRow ? noRow : (this.#rowOf[number] as number)
  }

  /** The number of a name: the remembered one, or the next that no resident block uses. */
  #take(name: number | undefined): number {
    const known = name === undefined ? undefined : this.#numbers.get(name)
    if (known !== undefined && this.#rowOf[known] === noRow) return known
    let number = this.#clockHand
    while (this.#rowOf[number] !== noRow) number = (number + 1) % this.#rowOf.length
    this.#clockHand = (number + 1) % this.#rowOf.length
    this.#flat.forget(number)
    const old = this.#nameOf[number] as number
    if (this.#numbers.get(old) === number) this.#numbers.delete(old)
    this.#nameOf[number] = name ?? -1
    if (name !== undefined) this.#numbers.set(name, number)
    return number
  }
}
