import type { Slot } from './block/id.ts'
import { leaseMsMax } from './block/limits.ts'
import type { Row } from './policy/eviction.ts'

/** A promise that a slot is not reused while a copy may touch it. It carries the slot and generation it was given for, and a
 *  deadline on the monotonic clock: a lease that outlives it shows a copy that never came back. */
export type Lease = {
  readonly number: number
  readonly row: Row
  readonly slot: Slot
  readonly untilMs: number
}

/** The leases that are out. Ending one twice, or one that was never given, does nothing: late completions are expected. */
export class LeaseBook {
  readonly #out = new Map<number, Lease>()
  #next = 1
  /** Leases up to this number were told as overdue. */
  #told = 0

  get count(): number {
    return this.#out.size
  }

  give(row: Row, slot: Slot, nowMs: number): Lease {
    const lease = { number: this.#next, row, slot, untilMs: nowMs + leaseMsMax }
    this.#next += 1
    this.#out.set(lease.number, lease)
    return lease
  }

  /** Whether the lease was still out. */
  end(lease: Lease): boolean {
    return this.#out.delete(lease.number)
  }

  /** Leases past their deadline that were not told before. They stay out: only the end of their copy frees the slot. */
  newlyOverdue(nowMs: number): Lease[] {
    const late: Lease[] = []
    for (const lease of this.#out.values()) {
      if (lease.untilMs > nowMs) break
      if (lease.number > this.#told) late.push(lease)
    }
    this.#told = late.at(-1)?.number ?? this.#told
    return late
  }
}
