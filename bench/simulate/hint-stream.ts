import { type HintClass, noNotes, type VisitNotes } from '../../tiers/policy/eviction.ts'
import { HintGuesser, hintClassOf } from '../../tiers/policy/hints.ts'
import type { Trace } from '../trace/trace.ts'

/** What a policy is told of requests beside their blocks: nothing; what can be inferred, which is how long their answers were (as
 *  the daemon tells it) or, where a trace does not say, a guess from past gaps; and with it the future of each session (with a
 *  share of requests told wrongly). */
export type HintSource =
  | { readonly from: 'nowhere' }
  | { readonly from: 'past' }
  | { readonly from: 'future'; readonly wrongPercent: number }

const hintCodes: readonly HintClass[] = ['none', 'soon', 'minutes', 'later', 'never']

/** What a policy gets to see of a request, by the codes of a stream: hints that were told, then the same as guesses. */
const hintNotes: readonly VisitNotes[] = [false, true].flatMap((hintIsGuess) =>
  hintCodes.map((hint) => ({ ...noNotes, hint, hintIsGuess })),
)

/** The words of `--hints`. */
export const hintWords = 'none, inferred, told, told:20 (percent wrong)'
/** What is heard unless told otherwise. Why not nothing: the daemon hears lengths of answers too. */
export const usualHints = 'inferred'

export function hintSourceNamed(text: string): HintSource | null {
  if (text === 'none') return { from: 'nowhere' }
  if (text === 'inferred') return { from: 'past' }
  const told = /^told(?::([0-9]{1,2}|100))?$/.exec(text)
  return told === null ? null : { from: 'future', wrongPercent: Number(told[1] ?? 0) }
}

/** What a policy gets to hear of a trace. */
export type Hints = {
  /** A hint per request, as an index into the notes below; null for none. It is one per session, as real hints are: about
   *  the next request that continues this one, not about each block. */
  readonly codes: Uint8Array | null
  readonly answers: 'told' | 'untold'
}

/** What the daemon's policies hear. */
export const answersOnly: Hints = { codes: null, answers: 'told' }

/** What is heard of one request when it comes. */
export const notesOf = (hints: Hints, request: number): VisitNotes =>
  hintNotes[hints.codes?.[request] ?? 0] ?? noNotes

/** What is heard of the length of its answer; 0 for nothing. */
export const answerOf = (hints: Hints, trace: Trace, request: number): number =>
  hints.answers === 'told' ? (trace.outputTokens[request] as number) : 0

export function hintStream(trace: Trace, source: HintSource): Hints {
  switch (source.from) {
    case 'nowhere':
      return { codes: null, answers: 'untold' }
    case 'past':
      return { codes: guessed(trace), answers: 'told' }
    case 'future':
      return { codes: told(trace, source.wrongPercent), answers: 'told' }
  }
}

/** The deepest block that the next turn can share: the partial tail never comes back. */
function anchorOf(trace: Trace, request: number): number {
  const from = trace.starts[request] as number
  const to = trace.starts[request + 1] as number
  if (to === from) return -1
  const whole = (trace.inputTokens[request] as number) % trace.blockTokens === 0
  return trace.refs[to - from > 1 && !whole ? to - 2 : to - 1] as number
}

function told(trace: Trace, wrongPercent: number): Uint8Array {
  const codes = new Uint8Array(trace.requestCount)
  const nextOf = new Int32Array(trace.nodeCount).fill(-1)
  for (let request = trace.requestCount - 1; request >= 0; request -= 1) {
    const anchor = anchorOf(trace, request)
    const next = anchor < 0 ? -1 : (nextOf[anchor] as number)
    const gapMs = next < 0 ? null : (trace.arrivalMs[next] as number) - (trace.arrivalMs[request] as number)
    codes[request] = codeOf(hintClassOf(gapMs))
    const mixed = Math.imul(request, 2_654_435_761) >>> 0
    // A wrong hint is any of the four classes, by a fixed hash.
    if (mixed % 100 < wrongPercent) codes[request] = 1 + ((mixed >>> 8) % 4)
    for (let at = trace.starts[request] as number; at < (trace.starts[request + 1] as number); at += 1) {
      nextOf[trace.refs[at] as number] = request
    }
  }
  return codes
}

const codeOf = (hint: HintClass): number => hintCodes.indexOf(hint)

/** What gaps let guess of requests whose answers are of unknown length; null when there are none. Sessions go by their number, or
 *  by the chain when the trace names none. */
function guessed(trace: Trace): Uint8Array | null {
  if (!trace.outputTokens.includes(0)) return null
  const codes = new Uint8Array(trace.requestCount)
  const guesser = new HintGuesser()
  const sessionAt = new Int32Array(trace.nodeCount).fill(-1)
  for (let request = 0; request < trace.requestCount; request += 1) {
    const nowMs = trace.arrivalMs[request] as number
    const session = trace.session?.[request] ?? chainSession(trace, request, sessionAt)
    guesser.arrived(session, nowMs)
    const told = trace.outputTokens[request] as number
    const answerTokens = told === 0 ? null : told
    const expectMs = guesser.finished(session, nowMs, { finish: 'unknown', hasTools: false, answerTokens })
    if (answerTokens === null) codes[request] = hintCodes.length + codeOf(hintClassOf(expectMs))
    const anchor = anchorOf(trace, request)
    if (anchor >= 0) sessionAt[anchor] = session
  }
  return codes
}

/** The session whose last anchor lies deepest in this chain, or a new one named after the request. */
function chainSession(trace: Trace, request: number, sessionAt: Int32Array): number {
  for (let at = (trace.starts[request + 1] as number) - 1; at >= (trace.starts[request] as number); at -= 1) {
    const session = sessionAt[trace.refs[at] as number] as number
    if (session >= 0) return session
  }
  return trace.requestCount + request
}
