import { type EvictionPolicy, noRow, type Row } from './eviction.ts'
import { type FlatPolicy, holdsNothing } from './flat.ts'

/** A cache without data: it is fed every request and knows what it would hold. A number is a block for as long as it is
 *  not forgotten. */
export interface Shadow {
  holds(number: Row): boolean
  /** A request uses the chain `numbers[0..count)`; `noRow` where a block has no number. */
  serve(numbers: Int32Array, count: number, nowMs: number): void
  /** The number will mean another block. */
  forget(number: Row, nowMs: number): void
}

/** Leading blocks of a chain that a shadow holds. */
export function leadingIn(shadow: Shadow, numbers: Int32Array, count: number): number {
  let leading = 0
  while (leading < count && numbers[leading] !== noRow && shadow.holds(numbers[leading] as number)) {
    leading += 1
  }
  return leading
}

/** The shadow of a flat policy, leaf-first. */
export class FlatShadow implements Shadow {
  readonly #policy: FlatPolicy
  readonly #capacity: number
  readonly #resident: Uint8Array
  #count = 0

  constructor(policy: FlatPolicy, capacityBlocks: number, numberMax: number) {
    this.#policy = policy
    this.#capacity = capacityBlocks
    this.#resident = new Uint8Array(numberMax)
  }

  holds(number: Row): boolean {
    return this.#resident[number] === 1
  }

  serve(numbers: Int32Array, count: number): void {
    for (let at = count - 1; at >= 0; at -= 1) {
      const number = numbers[at] as number
      if (number === noRow) continue
      if (this.#resident[number] === 1) this.#policy.touch(number)
      else this.#bringIn(number)
    }
  }

  #bringIn(number: Row): void {
    this.#policy.miss(number)
    if (this.#count < this.#capacity) this.#count += 1
    else {
      const victim = this.#policy.victim(holdsNothing, number)
      this.#policy.drop(victim, true)
      this.#resident[victim] = 0
    }
    this.#policy.add(number)
    this.#resident[number] = 1
  }

  forget(number: Row): void {
    if (this.#resident[number] === 1) {
      this.#policy.drop(number, false)
      this.#resident[number] = 0
      this.#count -= 1
    }
    this.#policy.forget(number)
  }
}

/** The shadow of a policy that knows chains. */
export class TreeShadow implements Shadow {
  readonly #policy: EvictionPolicy
  readonly #capacity: number
  readonly #resident: Uint8Array
  #count = 0

  constructor(policy: EvictionPolicy, capacityBlocks: number, numberMax: number) {
    this.#policy = policy
    this.#capacity = capacityBlocks
    this.#resident = new Uint8Array(numberMax)
  }

  holds(number: Row): boolean {
    return this.#resident[number] === 1
  }

  serve(numbers: Int32Array, count: number, nowMs: number): void {
    const ready = leadingIn(this, numbers, count)
    this.#policy.onVisit(numbers, count, ready, nowMs)
    for (let at = ready; at < count; at += 1) {
      const number = numbers[at] as number
      // A block behind one without a number could not be reached.
      if (number === noRow) break
      if (this.#resident[number] === 1) continue
      if (this.#count < this.#capacity) this.#count += 1
      else {
        const victim = this.#policy.victim(holdsNothing, nowMs)
        if (victim === noRow) break
        this.#policy.onDrop(victim, true, nowMs)
        this.#resident[victim] = 0
      }
      this.#policy.onAdd(number, at === 0 ? noRow : (numbers[at - 1] as number), at, count, nowMs)
      this.#resident[number] = 1
    }
    this.#policy.onVisitEnd()
  }

  forget(number: Row, nowMs: number): void {
    if (this.#resident[number] === 0) return
    this.#policy.onDrop(number, false, nowMs)
    this.#resident[number] = 0
    this.#count -= 1
  }
}
