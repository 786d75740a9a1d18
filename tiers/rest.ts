import type { World } from './block/clock.ts'
import { tierErrorsMax, tierRestMs } from './block/limits.ts'

/** Leaves a tier out for a while after errors in a row, so that a sick drive costs misses and not time. */
export class Rest {
  readonly #world: World
  readonly #rested: () => void
  #errors = 0
  #untilMs = Number.NEGATIVE_INFINITY
  #why = ''

  constructor(world: World, rested: () => void) {
    this.#world = world
    this.#rested = rested
  }

  /** Milliseconds until the tier is tried again; 0 while it serves. */
  get leftMs(): number {
    return Math.max(0, this.#untilMs - this.#world.nowMs())
  }

  get why(): string {
    return this.leftMs > 0 ? this.#why : ''
  }

  went(): void {
    this.#errors = 0
  }

  failed(why: string): void {
    this.#errors += 1
    if (this.#errors < tierErrorsMax || this.leftMs > 0) return
    this.#errors = 0
    this.#untilMs = this.#world.nowMs() + tierRestMs
    this.#why = why
    this.#rested()
  }
}
