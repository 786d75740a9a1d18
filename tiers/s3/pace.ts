import { assert } from '../block/assert.ts'
import type { World } from '../block/clock.ts'
import { s3BytesPerSecondMin, s3RateWindowMs } from '../block/limits.ts'
import { Late } from './refusal.ts'

/** Watches one request: a total time, and a floor under its rate while bytes should flow. The client has no limit of its
 *  own that a server could not stretch: each byte would reset its idle timer. */
export class Pace {
  readonly #controller = new AbortController()
  readonly #world: World
  readonly #recent: number[] = Array.from({ length: ticksPerWindow }, () => Number.POSITIVE_INFINITY)
  readonly #end: (why: Late) => void
  readonly ended: Promise<never>
  #cancelTotal: () => void = () => undefined
  #cancelTick: () => void = () => undefined
  #bytes = 0
  #flowing: boolean

  constructor(
    world: World,
    total: { readonly ms: number; readonly fault: 'store' | 'caller' },
    flow: 'flowing' | 'waiting',
  ) {
    assert(total.ms > 0, 'a request has time left')
    this.#world = world
    this.#flowing = flow === 'flowing'
    let reject: (why: Late) => void = () => undefined
    this.ended = new Promise<never>((_, no) => {
      reject = no
    })
    this.ended.catch(() => undefined)
    this.#end = reject
    this.#cancelTotal = world.after(total.ms, () => {
      this.stop(`no end within ${Math.round(total.ms)} ms`, total.fault)
    })
    this.#tick()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Counts bytes that came or went. */
  moved(byteCount: number): void {
    this.#bytes += byteCount
  }

  /** From now on only the total counts: everything is sent, and the store works on it. */
  wait(): void {
    this.#flowing = false
  }

  stop(why: string, fault: 'store' | 'caller'): void {
    if (this.signal.aborted) return
    const late = new Late(why, fault)
    this.#controller.abort(late)
    this.#end(late)
    this.done()
  }

  done(): void {
    this.#cancelTotal()
    this.#cancelTick()
  }

  /** Ticks count, not the time between them: a process that was held up itself must not blame the store. */
  #tick(): void {
    this.#cancelTick = this.#world.after(tickMs, () => {
      this.#recent.shift()
      this.#recent.push(this.#bytes)
      this.#bytes = 0
      const inWindow = this.#recent.reduce((sum, bytes) => sum + bytes, 0)
      if (this.#flowing && inWindow < floorBytes) {
        this.stop(`fewer than ${s3BytesPerSecondMin} bytes per second`, 'store')
        return
      }
      this.#tick()
    })
  }
}

const ticksPerWindow = 8
const tickMs = s3RateWindowMs / ticksPerWindow
const floorBytes = (s3BytesPerSecondMin * s3RateWindowMs) / 1_000
