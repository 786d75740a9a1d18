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

/** Which numbers a shadow holds, and whether it is full. */
class Places {
  readonly #capacity: number
  readonly #resident: Uint8Array
  #count = 0

  constructor(capacityBlocks: number, numberMax: number) {
    this.#capacity = capacityBlocks
    this.#resident = new Uint8Array(numberMax)
  }

  get isFull(): boolean {
    return this.#count >= this.#capacity
  }

  holds(number: Row): boolean {
    return this.#resident[number] === 1
  }

  take(number: Row): void {
    this.#resident[number] = 1
    this.#count += 1
  }

  give(number: Row): void {
    this.#resident[number] = 0
    this.#count -= 1
  }
}

/** The shadow of a flat policy, leaf-first. */
export class FlatShadow implements Shadow {
  readonly #policy: FlatPolicy
  readonly #places: Places

  constructor(policy: FlatPolicy, capacityBlocks: number, numberMax: number) {
    this.#policy = policy
    this.#places = new Places(capacityBlocks, numberMax)
  }

  holds(number: Row): boolean {
    return this.#places.holds(number)
  }

  serve(numbers: Int32Array, count: number): void {
    for (let at = count - 1; at >= 0; at -= 1) {
      const number = numbers[at] as number
      if (number === noRow) continue
      if (this.#places.holds(number)) this.#policy.touch(number)
      else this.#bringIn(number)
    }
  }

  #bringIn(number: Row): void {
    this.#policy.miss(number)
    if (this.#places.isFull) {
      const victim = this.#policy.victim(holdsNothing, number)
      this.#policy.drop(victim, true)
      this.#places.give(victim)
    }
    this.#policy.add(number)
    this.#places.take(number)
  }

  forget(number: Row): void {
    if (this.#places.holds(number)) {
      this.#policy.drop(number, false)
      this.#places.give(number)
    }
    this.#policy.forget(number)
  }
}

/** The shadow of a policy that knows chains. */
export class TreeShadow implements Shadow {
  readonly #policy: EvictionPolicy
  readonly #places: Places

  constructor(policy: EvictionPolicy, capacityBlocks: number, numberMax: number) {
    this.#policy = policy
    this.#places = new Places(capacityBlocks, numberMax)
  }

  holds(number: Row): boolean {
    return this.#places.holds(number)
  }

  serve(numbers: Int32Array, count: number, nowMs: number): void {
    const ready = leadingIn(this, numbers, count)
    this.#policy.onVisit(numbers, count, ready, nowMs)
    for (let at = ready; at < count; at += 1) {
      const number = numbers[at] as number
      // A block behind one without a number could not be reached.
      if (number === noRow) break
      if (this.#places.holds(number)) continue
      if (this.#places.isFull) {
        const victim = this.#policy.victim(holdsNothing, nowMs)
        if (victim === noRow) break
        this.#policy.onDrop(victim, true, nowMs)
        this.#places.give(victim)
      }
      this.#policy.onAdd(number, at === 0 ? noRow : (numbers[at - 1] as number), at, count, nowMs)
      this.#places.take(number)
    }
    this.#policy.onVisitEnd()
  }

  forget(number: Row, nowMs: number): void {
    if (!this.#places.holds(number)) return
    this.#policy.onDrop(number, false, nowMs)
    this.#places.give(number)
  }
}
