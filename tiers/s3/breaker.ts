import type { World } from '../block/clock.ts'
import { s3RestMsMax, tierErrorsMax, tierRestMs } from '../block/limits.ts'

/** Sends the tier to rest after errors in a row, longer each time, so that a broken store costs its callers nothing. */
export class Breaker {
  readonly #world: World
  readonly #onRest: () => void
  #errors = 0
  #rests = 0
  #untilMs = Number.NEGATIVE_INFINITY
  #why = ''

  constructor(world: World, onRest: () => void) {
    this.#world = world
    this.#onRest = onRest
  }

  /** Milliseconds of rest left; 0 while the tier serves. */
  restMs(): number {
    return Math.max(0, this.#untilMs - this.#world.nowMs())
  }

  /** Why it rests; empty while it serves. */
  why(): string {
    return this.restMs() > 0 ? this.#why : ''
  }

  good(): void {
    this.#errors = 0
    this.#rests = 0
  }

  /** Ends the rest: the store was tried from its first call on, and works. */
  wake(): void {
    this.good()
    this.#untilMs = Number.NEGATIVE_INFINITY
  }

  /** One request failed in a way that the next one may share. */
  bad(why: string): void {
    // A request that was under way when the rest began says nothing new.
    if (this.restMs() > 0) return
    this.#errors += 1
    if (this.#errors >= tierErrorsMax) this.rest(why)
  }

  /** Rests now. After the rest one error is enough for the next, until something went well. */
  rest(why: string): void {
    if (this.restMs() > 0) return
    const ms = Math.min(s3RestMsMax, tierRestMs * 2 ** this.#rests) * (0.75 + this.#world.random() / 4)
    this.#untilMs = this.#world.nowMs() + ms
    this.#rests = Math.min(this.#rests + 1, 16)
    this.#errors = tierErrorsMax - 1
    this.#why = why
    this.#onRest()
  }
}
