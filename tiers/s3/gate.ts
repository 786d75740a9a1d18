import { assert } from '../block/assert.ts'
import type { World } from '../block/clock.ts'

/** Who waits for a request: an engine, or nobody. */
export type Urgency = 'read' | 'background'
type Waiter = { readonly enter: (entered: boolean) => void }

/** Lets so many requests run at once; reads first, background work on at most half of the places. */
export class Gate {
  readonly #world: World
  readonly #places: number
  readonly #waiting: Readonly<Record<Urgency, Set<Waiter>>> = { read: new Set(), background: new Set() }
  #running = 0
  #background = 0

  constructor(world: World, places: number) {
    assert(places >= 2, 'reads and background work both need a place')
    this.#world = world
    this.#places = places
  }

  /** Resolves to whether a place was had before the deadline. Whoever had one must `leave`. */
  enter(urgency: Urgency, deadlineMs: number): Promise<boolean> {
    if (this.#free(urgency)) {
      this.#take(urgency)
      return Promise.resolve(true)
    }
    const leftMs = deadlineMs - this.#world.nowMs()
    if (leftMs <= 0) return Promise.resolve(false)
    return new Promise((resolve) => {
      const cancel = this.#world.after(leftMs, () => {
        this.#waiting[urgency].delete(waiter)
        resolve(false)
      })
      const waiter: Waiter = {
        enter: (entered) => {
          cancel()
          resolve(entered)
        },
      }
      this.#waiting[urgency].add(waiter)
    })
  }

  leave(urgency: Urgency): void {
    this.#running -= 1
    if (urgency === 'background') this.#background -= 1
    assert(this.#running >= 0 && this.#background >= 0, 'only who entered leaves')
    for (const next of ['read', 'background'] as const) {
      for (const waiter of this.#waiting[next]) {
        if (!this.#free(next)) break
        this.#waiting[next].delete(waiter)
        this.#take(next)
        waiter.enter(true)
      }
    }
  }

  #free(urgency: Urgency): boolean {
    if (this.#running >= this.#places) return false
    return urgency === 'read' || this.#background < this.#places / 2
  }

  #take(urgency: Urgency): void {
    this.#running += 1
    if (urgency === 'background') this.#background += 1
  }
}
