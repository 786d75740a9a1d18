/** Limits that the client keeps by itself: requests per second, and prompt tokens per second. A request that has to wait for
 *  its turn is due only then: what is measured is the server, not the limit. Pure: times come from the caller, in order. */
export class Pace {
  readonly #msPerRequest: number
  readonly #msPerToken: number
  #freeMs = 0

  /** Null for no limit. */
  constructor(requestsPerSecond: number | null, tokensPerSecond: number | null) {
    this.#msPerRequest = requestsPerSecond === null ? 0 : 1_000 / requestsPerSecond
    this.#msPerToken = tokensPerSecond === null ? 0 : 1_000 / tokensPerSecond
  }

  /** When a request of so many tokens that could go now may go. The next one waits until this one's share is over. */
  take(nowMs: number, tokens: number): number {
    const atMs = Math.max(nowMs, this.#freeMs)
    this.#freeMs = atMs + Math.max(this.#msPerRequest, tokens * this.#msPerToken)
    return atMs
  }
}
