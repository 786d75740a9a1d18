/** What the adapter counts, since its start. Denominators: tokens of every kind are of prompts that were understood. */
export type Counters = {
  requests: number
  /** Requests by how their prompt was treated: tokens, unknown, several, kv_off, refused, full. */
  readonly requestsBy: Record<string, number>
  promptTokens: number
  readonly tokensFrom: { engine: number; host: number; nvme: number; s3: number; computed: number }
  /** Why the rest of a prompt was not cached. */
  readonly reasons: Record<string, number>
  blocksStored: number
  blocksAlready: number
  /** Blocks and saves that did not reach the daemon, by reason. */
  readonly drops: Record<string, number>
  saves: number
  tenantChanges: number
  clientsGone: number
  enginesGone: number
  wrongGuesses: number
  /** Answers put together from a stream, and requests whose stream did not tell the answer, by reason. */
  composed: number
  readonly askedAgain: Record<string, number>
}

export function newCounters(): Counters {
  return {
    requests: 0,
    requestsBy: {},
    promptTokens: 0,
    tokensFrom: { engine: 0, host: 0, nvme: 0, s3: 0, computed: 0 },
    reasons: {},
    blocksStored: 0,
    blocksAlready: 0,
    drops: {},
    saves: 0,
    tenantChanges: 0,
    clientsGone: 0,
    enginesGone: 0,
    wrongGuesses: 0,
    composed: 0,
    askedAgain: {},
  }
}

export function bump(table: Record<string, number>, name: string, count = 1): void {
  table[name] = (table[name] ?? 0) + count
}
