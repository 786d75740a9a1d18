import { IntColumn } from './trace/column.ts'

/** Gaps up to this are counted to the millisecond; longer ones to the second. Why: 2^25 ms are 9 hours, longer
 *  than most traces, and the counters then take at most 128 MiB whatever the length of the trace. */
const fineMsMax = 2 ** 25

/** A histogram of durations from which quantiles and shares are read exactly, to the millisecond. */
export class GapHistogram {
  count = 0
  readonly #fine = new IntColumn()
  readonly #coarse = new Map<number, number>()

  add(gapMs: number): void {
    this.count += 1
    const ms = Math.round(gapMs)
    if (ms >= fineMsMax) {
      const second = Math.floor(ms / 1_000)
      this.#coarse.set(second, (this.#coarse.get(second) ?? 0) + 1)
      return
    }
    if (ms >= this.#fine.length) {
      this.#fine.reserve(ms + 1)
      this.#fine.length = ms + 1
    }
    this.#fine.items[ms] = (this.#fine.items[ms] ?? 0) + 1
  }

  /** The value at sorted[floor(share * count)], in milliseconds; null when nothing was added. */
  quantileMs(share: number): number | null {
    if (this.count === 0) return null
    const rank = Math.min(this.count - 1, Math.floor(share * this.count))
    let below = 0
    for (let ms = 0; ms < this.#fine.length; ms += 1) {
      below += this.#fine.items[ms] ?? 0
      if (below > rank) return ms
    }
    for (const second of [...this.#coarse.keys()].sort((a, b) => a - b)) {
      below += this.#coarse.get(second) ?? 0
      if (below > rank) return second * 1_000
    }
    return null
  }

  /** How many are at most that long. */
  countUpTo(limitMs: number): number {
    let sum = 0
    const end = Math.min(this.#fine.length, Math.floor(limitMs) + 1)
    for (let ms = 0; ms < end; ms += 1) sum += this.#fine.items[ms] ?? 0
    for (const [second, count] of this.#coarse) if (second * 1_000 <= limitMs) sum += count
    return sum
  }
}
