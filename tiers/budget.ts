/** Share of a new measurement in the running rate. Why: a few batches forget a cold start, one slow batch does not rule. */
const rateShare = 0.25
/** Bytes that make a measurement. Why: the latency of one small copy says nothing about a link. */
const measureBytes = 1 * 2 ** 20
/** Shortest time that makes a measurement while the link stays busy, in milliseconds. Why: ends are told in batches, and
 *  the time between two ends of one batch is none. */
const measureMsMin = 20
/** Milliseconds a measured rate is believed. Why: a link that looked too slow is tried again, else a bad moment
 *  would last. */
const rateMsMax = 60_000

/** What one link may carry at once, and what it was seen to carry. Pure: the caller brings the time. */
export class Budget {
  readonly #stepsMax: number
  readonly #bytesMax: number
  #steps = 0
  #bytes = 0
  #busySinceMs = 0
  #moved = 0
  /** Whether this busy time gave a measurement already. */
  #measured = false
  #bytesPerMs: number | null = null
  #measuredMs = 0

  constructor(stepsMax: number, bytesMax: number) {
    this.#stepsMax = stepsMax
    this.#bytesMax = bytesMax
  }

  get inFlightBytes(): number {
    return this.#bytes
  }

  /** Whether a step of so many bytes may start now. One step is always let through, however large. */
  admits(byteCount: number): boolean {
    if (this.#steps === 0) return true
    return this.#steps < this.#stepsMax && this.#bytes + byteCount <= this.#bytesMax
  }

  start(byteCount: number, nowMs: number): void {
    if (this.#steps === 0) {
      this.#busySinceMs = nowMs
      this.#moved = 0
      this.#measured = false
    }
    this.#steps += 1
    this.#bytes += byteCount
  }

  /** `movedBytes` is 0 for a step that failed: it freed its share but measured nothing. */
  end(byteCount: number, movedBytes: number, nowMs: number): void {
    this.#steps -= 1
    this.#bytes -= byteCount
    this.#moved += movedBytes
    const elapsedMs = nowMs - this.#busySinceMs
    // At the end of a busy time only a window that began with it is whole; the rest of one tells nothing.
    const isWhole = this.#steps === 0 && !this.#measured
    if (elapsedMs <= 0 || this.#moved < measureBytes) return
    if (elapsedMs < measureMsMin && !isWhole) return
    this.#measured = true
    const seen = this.#moved / elapsedMs
    this.#bytesPerMs =
      this.#bytesPerMs === null ? seen : this.#bytesPerMs + rateShare * (seen - this.#bytesPerMs)
    this.#busySinceMs = nowMs
    this.#measuredMs = nowMs
    this.#moved = 0
  }

  /** Milliseconds until so many more bytes are through, behind what waits already; null without a recent measurement. */
  msOf(byteCount: number, nowMs: number, waitingBytes = 0): number | null {
    if (this.#bytesPerMs === null || nowMs - this.#measuredMs > rateMsMax) return null
    return (this.#bytes + waitingBytes + byteCount) / this.#bytesPerMs
  }
}
