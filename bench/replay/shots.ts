import type { TraceTree } from '../trace/trace.ts'
import { ramped, type Shot } from './drive.ts'

export type ShotTimes = {
  /** Times are divided by it. */
  readonly speedup: number
  /** The rate rises from nothing to full within this time. */
  readonly rampMs: number
  /** Factor for prompt lengths. */
  readonly scale: number
}

/** The requests of a trace, in the order of their times. */
export function shotsOf(tree: TraceTree, { speedup, rampMs, scale }: ShotTimes): Shot[] {
  const shots: Shot[] = []
  const lastOfSession = new Map<number, number>()
  for (let request = 0; request < tree.requestCount; request += 1) {
    const session = tree.session?.[request] ?? -1
    const atMs = tree.arrivalMs[request] ?? 0
    const toldMs = tree.delayMs?.[request] ?? -1
    const beforeMs = lastOfSession.get(session) ?? atMs
    const tokens = Math.max(1, Math.round((tree.inputTokens[request] ?? 0) * scale))
    const delayMs = toldMs < 0 ? atMs - beforeMs : toldMs
    shots.push({ dueMs: atMs / speedup, session, delayMs, request, tokens })
    lastOfSession.set(session, atMs)
  }
  const startMs = shots[0]?.dueMs ?? 0
  return shots
    .map((shot) => ({ ...shot, dueMs: ramped(shot.dueMs - startMs, rampMs) }))
    .sort((a, b) => a.dueMs - b.dueMs)
}
