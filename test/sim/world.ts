import type { World } from '../../tiers/block/clock.ts'

/** Pseudo-random numbers in [0, 1) that repeat for a seed. */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type Due = { readonly atMs: number; readonly order: number; readonly run: () => void; cancelled: boolean }

/** Simulated time without progress after which an open promise counts as hanging, in milliseconds. */
const hangMs = 120_000

/** A world whose time moves only from one due event to the next: a run of hours takes seconds and repeats from its seed. */
export class SimWorld implements World {
  readonly chance: () => number
  #nowMs = 1_000
  #order = 0
  #progressMs = 0
  #heap: Due[] = []
  steps = 0

  constructor(seed: number) {
    this.chance = chanceOf(seed)
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  random(): number {
    return this.chance()
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  after(ms: number, run: () => void): () => void {
    const due: Due = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, run, cancelled: false }
    this.#push(due)
    return () => {
      due.cancelled = true
    }
  }

  /** Forgets everything that is due: the process died. */
  die(): void {
    this.#heap = []
  }

  /** Runs due events until the promise ends. Fails when nothing is due any more: that is a hang. */
  async until<Value>(work: Promise<Value>): Promise<Value> {
    let ended = false
    const mark = (): void => {
      ended = true
    }
    work.then(mark, mark)
    this.progressed()
    for (;;) {
      await settled()
      if (ended) return work
      if (!this.#next() || this.#nowMs - this.#progressMs > hangMs)
        throw new Error('the simulated system hangs: a promise never ends')
    }
  }

  /** Something that was waited for has ended. */
  progressed(): void {
    this.#progressMs = this.#nowMs
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    await this.until(this.sleep(ms))
  }

  #next(): boolean {
    for (;;) {
      const due = this.#pop()
      if (due === undefined) return false
      if (due.cancelled) continue
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      this.steps += 1
      due.run()
      return true
    }
  }

  #push(due: Due): void {
    const heap = this.#heap
    let at = heap.push(due) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      if (!before(due, heap[up] as Due)) break
      heap[at] = heap[up] as Due
      at = up
    }
    heap[at] = due
  }

  #pop(): Due | undefined {
    const heap = this.#heap
    const [top] = heap
    const last = heap.pop()
    if (top === undefined || last === undefined || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child += 1
      if (!before(heap[child] as Due, last)) break
      heap[at] = heap[child] as Due
      at = child
    }
    heap[at] = last
    return top
  }
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

/** Every promise that can go on has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
