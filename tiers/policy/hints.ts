import type { HintClass } from './eviction.ts'

/** Upper edges of the hint classes, in milliseconds: a tool call comes back, a human reads, a human thinks. */
const soonMs = 30_000
const minutesMs = 300_000

/** The class of an expected time to the next request; `never` when the session is over. */
export function hintClassOf(expectNextMs: number | null): HintClass {
  if (expectNextMs === null) return 'never'
  if (expectNextMs < soonMs) return 'soon'
  return expectNextMs < minutesMs ? 'minutes' : 'later'
}

/** What a router sees of a response when it ends. */
export type FinishedResponse = {
  /** `tool_calls` means that the agent is about to answer by itself. */
  readonly finish: 'tool_calls' | 'stop' | 'length' | 'cancelled' | 'unknown'
  readonly hasTools: boolean
  /** Tokens of the answer, or null when they were not counted. */
  readonly answerTokens: number | null
}

/** Gaps of one kind that are kept per session, newest last. Why 7: a median that follows a change within four. */
const gapsKept = 7
/** Gaps of the kind that it takes to go by them. */
const gapsMin = 3
/** Sessions remembered, the least recently used is forgotten first. */
const sessionsMax = 65_536
type Kind = 'tool' | 'human'

/** Answers below this many tokens are taken for tool calls when nothing says how the response finished. Why: a call is a name
 *  and some arguments; what is written for a reader is longer. */
const callTokensMax = 100

/** Expected time to the next request of a session that has no history, in milliseconds: a tool runs, a human reads. */
const usualMs: Readonly<Record<Kind, number>> = { tool: 10_000, human: 120_000 }

function kindOf({ finish, answerTokens }: FinishedResponse): Kind {
  if (finish !== 'unknown') return finish === 'tool_calls' ? 'tool' : 'human'
  return answerTokens !== null && answerTokens < callTokensMax ? 'tool' : 'human'
}

type Session = { readonly gaps: Record<Kind, number[]>; lastMs: number; kind: Kind }

/** Infers when a session comes back from what a router sees: how responses finish or how long they are, and the past gaps of
 *  the session of the same kind (after a tool call, after an answer). A session with few gaps of its own is taken for a
 *  usual one of its kind. */
export class HintGuesser {
  readonly #sessions = new Map<number, Session>()

  /** A request of the session arrives. */
  arrived(session: number, nowMs: number): void {
    const known = this.#sessions.get(session)
    if (known === undefined) return
    const gapMs = nowMs - known.lastMs
    push(known.gaps[known.kind], gapMs)
  }

  /** Its response ended. Answers the expected time to the next request. */
  finished(session: number, nowMs: number, response: FinishedResponse): number {
    const kind = kindOf(response)
    const known = this.#sessions.get(session) ?? { gaps: { tool: [], human: [] }, lastMs: nowMs, kind }
    // Reinsertion keeps the map in order of use.
    this.#sessions.delete(session)
    this.#sessions.set(session, known)
    known.lastMs = nowMs
    known.kind = kind
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= sessionsMax) break
      this.#sessions.delete(oldest)
    }
    const gaps = known.gaps[kind]
    const ownMs = gaps.length < gapsMin ? null : medianOf(gaps)
    return ownMs ?? usualMs[kind]
  }
}

function push(gaps: number[], gapMs: number): void {
  gaps.push(gapMs)
  if (gaps.length > gapsKept) gaps.shift()
}

function medianOf(gaps: readonly number[]): number | null {
  return [...gaps].sort((a, b) => a - b)[gaps.length >> 1] ?? null
}
