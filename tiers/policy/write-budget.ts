const dayMs = 86_400_000

/** Bytes that may be written per day, for drives that wear out. A bucket that a day's allowance fills and time drains evenly:
 *  a quiet night is saved up, an overdrawn budget comes back by the minute and not at midnight. So any window of n days
 *  holds at most n + 1 days' bytes. Pure: the caller tells the time. */
export class WriteBudget {
  readonly #bytesPerDay: number
  #writtenBytes = 0
  #atMs: number

  constructor(bytesPerDay: number, nowMs: number) {
    this.#bytesPerDay = bytesPerDay
    this.#atMs = nowMs
  }

  /** Share of the budget that would be used up after writing so much more; above 1 it is overdrawn. */
  usedWith(byteCount: number, nowMs: number): number {
    return (this.#left(nowMs) + byteCount) / this.#bytesPerDay
  }

  wrote(byteCount: number, nowMs: number): void {
    this.#writtenBytes = this.#left(nowMs) + byteCount
    this.#atMs = nowMs
  }

  #left(nowMs: number): number {
    return Math.max(0, this.#writtenBytes - (this.#bytesPerDay * (nowMs - this.#atMs)) / dayMs)
  }
}
