/** What one worker has on its hands, by the router's own accounting. Nothing is dropped by age: a ticket
 *  counts until its request ends. */
export class WorkerLoad {
  #waitingTokens = 0
  #streams = 0

  /** Prompt tokens sent and not yet computed. */
  get waitingTokens(): number {
    return this.#waitingTokens
  }

  /** Requests under way. */
  get streams(): number {
    return this.#streams
  }

  /** A request goes out that will compute so many prompt tokens. */
  begin(computeTokens: number): LoadTicket {
    this.#waitingTokens += computeTokens
    this.#streams += 1
    let waiting = true
    let open = true
    const prefilled = (): void => {
      if (!waiting) return
      waiting = false
      this.#waitingTokens -= computeTokens
    }
    const end = (): void => {
      prefilled()
      if (!open) return
      open = false
      this.#streams -= 1
    }
    return { prefilled, end }
  }
}

/** Both may be called any number of times; `end` implies `prefilled`. */
type LoadTicket = { readonly prefilled: () => void; readonly end: () => void }

/** How fast a worker computes a prompt, learned from first-token times. Sums that fade: long prompts weigh
 *  more, old ones less. */
export class PrefillRate {
  #tokens: number
  #seconds: number

  constructor() {
    this.#tokens = seedTokens
    this.#seconds = seedTokens / seedTokensPerSecond
  }

  get tokensPerSecond(): number {
    return this.#tokens / this.#seconds
  }

  /** `tokens` were computed in `seconds` with nothing else before them. Short ones say more about the
   *  overhead than about the rate. */
  learn(tokens: number, seconds: number): void {
    if (tokens < learnTokensMin || !(seconds > 0)) return
    this.#tokens = this.#tokens * fade + tokens
    this.#seconds = this.#seconds * fade + seconds
  }
}

/** Before anything was measured: a small model on a few cores. A wrong seed costs order among equals only. */
const seedTokensPerSecond = 1_000
/** The seed's weight: one short prompt outweighs it. */
const seedTokens = 100
const learnTokensMin = 64
/** Half of the weight is gone after about six prompts. */
const fade = 0.9
