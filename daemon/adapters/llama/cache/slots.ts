import { engineQueueMax } from '../../../../tiers/block/limits.ts'
import { emptySlot, overlapOf, type SlotContent } from './plan.ts'

/** One slot of the server, given to one request at a time. The holder says what the slot holds before giving it back. */
export type Slot = {
  readonly index: number
  content: SlotContent
  usedCount: number
  /** Its request is answered and it is only being saved: worth waiting for. */
  finishing: boolean
}

/** What a request wants: one slot, the best for its prompt, or all of them (requests that the server spreads over
 *  several). */
export type Wanted =
  | { readonly as: 'one'; readonly tenant: string; readonly prompt: Uint32Array | null }
  | { readonly as: 'all' }

export type Taken =
  | { readonly as: 'slots'; readonly slots: readonly Slot[]; readonly release: () => void }
  | { readonly as: 'full' }
  | { readonly as: 'gone' }

type Waiter = { readonly wanted: Wanted; readonly settle: (taken: Taken) => void }

/** Which request has which slot. Requests wait in order of arrival; the queue is bounded. Invariant: a slot has at
 *  most one holder, and the server never sees two requests for one slot. */
export class SlotTable {
  readonly slots: readonly Slot[]
  readonly #blockTokens: number
  readonly #idle: Set<Slot>
  #waiting: Waiter[] = []
  #uses = 0
  #closed = false

  constructor(slotCount: number, blockTokens: number) {
    this.slots = Array.from({ length: slotCount }, (_, index) => ({
      index,
      content: emptySlot,
      usedCount: 0,
      finishing: false,
    }))
    this.#blockTokens = blockTokens
    this.#idle = new Set(this.slots)
  }

  idleCount(): number {
    return this.#idle.size
  }

  /** Takes those of the idle slots that match, without waiting. */
  takeIdle(matches: (slot: Slot) => boolean): Extract<Taken, { as: 'slots' }> {
    return this.#lend([...this.#idle].filter(matches))
  }

  waitingCount(): number {
    return this.#waiting.length
  }

  /** Waits for its turn; `full` at once when too many wait, `gone` when the signal or the table ends first. */
  take(wanted: Wanted, signal: AbortSignal): Promise<Taken> {
    if (signal.aborted || this.#closed) return Promise.resolve({ as: 'gone' })
    if (this.#waiting.length === 0) {
      const slots = this.#choose(wanted)
      if (slots !== null) return Promise.resolve(this.#lend(slots))
    }
    if (this.#waiting.length >= engineQueueMax) return Promise.resolve({ as: 'full' })
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter)
        waiter.settle({ as: 'gone' })
        this.#serve()
      }
      const waiter: Waiter = {
        wanted,
        settle: (taken) => {
          signal.removeEventListener('abort', leave)
          resolve(taken)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiter)
    })
  }

  /** Ends the table: the server's slots are lost. Those who wait are told. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#waiting.splice(0)) waiter.settle({ as: 'gone' })
  }

  /** The slots for a request, or null when it has to wait. One slot: the idle one that keeps most of the prompt, then
   *  the one used longest ago. A slot that is only being saved is waited for when it keeps more: the next turn of a
   *  conversation comes right behind the answer. */
  #choose(wanted: Wanted): Slot[] | null {
    if (wanted.as === 'all') return this.#idle.size === this.slots.length ? [...this.slots] : null
    let best: Slot | null = null
    let bestKept = -1
    for (const slot of this.#idle) {
      const kept = this.#keptBy(slot, wanted.tenant, wanted.prompt)
      if (best === null || kept > bestKept || (kept === bestKept && slot.usedCount < best.usedCount)) {
        best = slot
        bestKept = kept
      }
    }
    if (best === null) return null
    for (const slot of this.slots) {
      if (slot.finishing && this.#keptBy(slot, wanted.tenant, wanted.prompt) > bestKept) return null
    }
    return [best]
  }

  #keptBy(slot: Slot, tenant: string, prompt: Uint32Array | null): number {
    return prompt === null ? 0 : overlapOf(slot.content, tenant, prompt, this.#blockTokens).kept
  }

  #lend(slots: Slot[]): Extract<Taken, { as: 'slots' }> {
    for (const slot of slots) {
      this.#idle.delete(slot)
      this.#uses += 1
      slot.usedCount = this.#uses
    }
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      for (const slot of slots) {
        slot.finishing = false
        this.#idle.add(slot)
      }
      this.#serve()
    }
    return { as: 'slots', slots, release }
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const waiter = this.#waiting[0]
      const slots = waiter === undefined ? null : this.#choose(waiter.wanted)
      if (waiter === undefined || slots === null) return
      this.#waiting.shift()
      waiter.settle(this.#lend(slots))
    }
  }
}
