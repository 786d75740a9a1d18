import { realWorld } from '../../tiers/block/clock.ts'
import type { Answer } from './endpoint.ts'
import type { Pace } from './pace.ts'

/** One request of a replay. */
export type Shot = {
  /** When the trace has it, in milliseconds after the start, already sped up. */
  readonly dueMs: number
  readonly session: number
  /** Client think time before it, in milliseconds. */
  readonly delayMs: number
  readonly request: number
  /** Prompt tokens that will be sent. */
  readonly tokens: number
}

/** What a shot became; `dueMs` is when it should have been sent (in a closed loop: when it was). */
export type Hit = { readonly shot: Shot; readonly dueMs: number; readonly answer: Answer }

export type Drive = {
  readonly nowMs: () => number
  readonly stop: AbortSignal
  readonly pace: Pace
  readonly send: (shot: Shot) => Promise<Answer>
  readonly onHit: (hit: Hit) => void
}

/** Sends each request when the trace has it, however long answers take. Beyond `inFlightMax` requests wait, and their
 *  lateness counts: times from `dueMs` stay honest. */
export async function openLoop(shots: readonly Shot[], inFlightMax: number, drive: Drive): Promise<void> {
  const startMs = drive.nowMs()
  const running = new Set<Promise<void>>()
  for (const shot of shots) {
    const dueMs = drive.pace.take(startMs + shot.dueMs, shot.tokens)
    await pause(dueMs - drive.nowMs(), drive.stop)
    while (running.size >= inFlightMax && !drive.stop.aborted) await Promise.race(running)
    if (drive.stop.aborted) break
    const run = drive.send(shot).then((answer) => {
      drive.onHit({ shot, dueMs, answer })
      running.delete(run)
    })
    running.add(run)
  }
  await Promise.all(running)
}

/** Sessions that wait for a client, in order of their first request; without sessions each request is its own. */
export class SessionQueue {
  readonly #sessions: (readonly Shot[])[]

  constructor(shots: readonly Shot[]) {
    const bySession = new Map<number, Shot[]>()
    for (const shot of shots) {
      const key = shot.session < 0 ? -2 - shot.request : shot.session
      const known = bySession.get(key)
      if (known === undefined) bySession.set(key, [shot])
      else known.push(shot)
    }
    this.#sessions = [...bySession.values()].reverse()
  }

  take(): readonly Shot[] | null {
    return this.#sessions.pop() ?? null
  }

  /** What a client did not get to; another one goes on with it first. */
  putBack(rest: readonly Shot[]): void {
    if (rest.length > 0) this.#sessions.push(rest)
  }
}

/** `clients` clients; each takes the next session, sends its requests one after another with the think time between,
 *  then takes another. Clients start spread over `rampMs`. `think` scales the think times. A stop puts unfinished sessions back. */
export async function closedLoop(
  queue: SessionQueue,
  clients: number,
  rampMs: number,
  think: number,
  drive: Drive,
): Promise<void> {
  const client = async (index: number): Promise<void> => {
    await pause((rampMs * index) / clients, drive.stop)
    while (!drive.stop.aborted) {
      const session = queue.take()
      if (session === null) return
      queue.putBack(session.slice(await sendSession(session, think, drive)))
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)))
}

/** Answers how many of the session's requests were sent. */
async function sendSession(session: readonly Shot[], think: number, drive: Drive): Promise<number> {
  for (const [turn, shot] of session.entries()) {
    if (turn > 0) await pause(shot.delayMs * think, drive.stop)
    const dueMs = drive.pace.take(drive.nowMs(), shot.tokens)
    await pause(dueMs - drive.nowMs(), drive.stop)
    if (drive.stop.aborted) return turn
    drive.onHit({ shot, dueMs, answer: await drive.send(shot) })
  }
  return session.length
}

/** When something due at `dueMs` is due while the rate rises evenly from nothing to full within `rampMs`: the first half
 *  of that time's requests takes all of it. */
export function ramped(dueMs: number, rampMs: number): number {
  return dueMs < rampMs / 2 ? Math.sqrt(2 * rampMs * dueMs) : dueMs + rampMs / 2
}

/** Longest single sleep. Why: Ctrl-C is seen between two of them. */
const sleepMsMax = 100

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  const endMs = realWorld.nowMs() + ms
  for (let left = ms; left > 0 && !stop.aborted; left = endMs - realWorld.nowMs()) {
    await realWorld.sleep(Math.min(left, sleepMsMax))
  }
}
