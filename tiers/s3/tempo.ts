/** Measured speed of reads: the wait for the first byte, and the rate after it. Recent reads count most. */
export class Tempo {
  #firstMs = 0
  #bytesPerMs = 0
  #measured = false
  #queuedBytes = 0

  /** Bytes of blocks that were asked for and have not come. */
  queued(byteCount: number): void {
    this.#queuedBytes += byteCount
  }

  /** One read came through: so many bytes in so long, the first of them after `firstMs`. */
  measured(byteCount: number, firstMs: number, totalMs: number): void {
    // A whole read in one piece has no time after its first byte: then its total gives the rate.
    const flowMs = totalMs - firstMs > totalMs / 10 ? totalMs - firstMs : totalMs
    const rate = byteCount / Math.max(flowMs, 0.01)
    const weight = this.#measured ? newestWeight : 1
    this.#firstMs += (firstMs - this.#firstMs) * weight
    this.#bytesPerMs += (rate - this.#bytesPerMs) * weight
    this.#measured = true
  }

  /** What a read of so many bytes takes now, in milliseconds; null before any measurement. */
  readMsOf(byteCount: number): number | null {
    if (!this.#measured) return null
    return this.#firstMs + (this.#queuedBytes + byteCount) / this.#bytesPerMs
  }
}

/** Share of the newest read in the average. Why: the last ten reads or so decide, one slow one does not. */
const newestWeight = 0.2
