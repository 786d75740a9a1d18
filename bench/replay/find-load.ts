import { realWorld } from '../../tiers/block/clock.ts'
import { closedLoop, type Drive, type Hit, openLoop, SessionQueue, type Shot } from './drive.ts'
import { bestLoad, nextLoad, type SearchEnd, type SearchSetting } from './load-search.ts'
import { type Measured, measure } from './measure.ts'

/** What a load has to reach: so large a share of its requests has the first token within the goal, failed ones counted. */
export type LoadGoal = { readonly ttftSeconds: number; readonly share: number }

/** One load, held for a while. */
export type LoadStep = {
  readonly load: number
  readonly measured: Measured
  readonly hits: readonly Hit[]
  /** Requests whose first token came within the goal, of all that were sent. */
  readonly withinShare: number
  readonly good: boolean
  /** It was ended early: the goal could not be met any more. */
  readonly isCut: boolean
}

export type LoadFound = {
  readonly steps: readonly LoadStep[]
  readonly best: number | null
  /** `trace` when it had no more requests, `interrupted` on Ctrl-C: then the best load is a lower bound. */
  readonly ended: SearchEnd | 'trace' | 'interrupted'
}

type Setting = {
  readonly mode: 'open' | 'closed'
  readonly search: SearchSetting
  readonly goal: LoadGoal
  readonly stepMs: number
  readonly inFlightMax: number
  readonly think: number
}

/** Requests that a load must have sent before it is judged. Why: a share of fewer says nothing. */
const stepRequestsMin = 10
/** Shares are sums of tenths: nine of ten are 90 %. */
const rounding = 1e-9

/** Raises the load step by step until the goal is missed, then looks between. Each step goes on in the trace where the last one
 *  ended and begins with an idle server: what an overloaded step left behind is waited for. */
export async function findLoad(
  shots: readonly Shot[],
  setting: Setting,
  drive: Omit<Drive, 'onHit'>,
  onStep: (step: LoadStep) => void,
): Promise<LoadFound> {
  const steps: LoadStep[] = []
  const left = new TraceLeft(shots)
  for (;;) {
    const next = nextLoad(steps, setting.search)
    if (next.as === 'end') return { steps, best: bestLoad(steps), ended: next.why }
    const run = new StepRun(setting.goal, drive)
    if (setting.mode === 'open') await run.open(left, next.load, setting)
    else await run.closed(left, next.load, setting)
    if (drive.stop.aborted) return { steps, best: bestLoad(steps), ended: 'interrupted' }
    const step = run.ended(next.load)
    if (step === null) return { steps, best: bestLoad(steps), ended: 'trace' }
    steps.push(step)
    onStep(step)
  }
}

/** The requests that were not sent yet. */
class TraceLeft {
  readonly queue: SessionQueue
  readonly #shots: readonly Shot[]
  #next = 0

  constructor(shots: readonly Shot[]) {
    this.#shots = shots
    this.queue = new SessionQueue(shots)
  }

  /** The next so many requests at so many per second: the trace's own gaps, stretched. */
  take(count: number, perSecond: number): readonly Shot[] {
    const slice = this.#shots.slice(this.#next, this.#next + count)
    this.#next += slice.length
    const fromMs = slice[0]?.dueMs ?? 0
    const spanMs = (slice.at(-1)?.dueMs ?? 0) - fromMs
    const wantedMs = (1_000 * Math.max(0, slice.length - 1)) / perSecond
    return slice.map((shot, at) => {
      const share = spanMs === 0 ? at / Math.max(1, slice.length - 1) : (shot.dueMs - fromMs) / spanMs
      return { ...shot, dueMs: share * wantedMs }
    })
  }
}

/** One step under way. */
class StepRun {
  readonly #goal: LoadGoal
  readonly #drive: Omit<Drive, 'onHit'>
  readonly #stop = new AbortController()
  readonly #hits: Hit[] = []
  #late = 0
  #isCut = false
  /** The trace ended before the load was held for its time. */
  #isShort = false

  constructor(goal: LoadGoal, drive: Omit<Drive, 'onHit'>) {
    this.#goal = goal
    this.#drive = drive
  }

  /** The share is decided as soon as too many of the planned requests are late. */
  async open(left: TraceLeft, perSecond: number, { stepMs, inFlightMax }: Setting): Promise<void> {
    const count = Math.max(stepRequestsMin, Math.round((perSecond * stepMs) / 1_000))
    const shots = left.take(count, perSecond)
    if (shots.length < stepRequestsMin) return
    const lateMax = Math.floor((1 - this.#goal.share) * shots.length + rounding)
    await openLoop(
      shots,
      inFlightMax,
      this.#driveUntil(() => {
        this.#isCut ||= this.#late > lateMax && this.#hits.length < shots.length
        return this.#isCut
      }),
    )
  }

  async closed(left: TraceLeft, clients: number, { stepMs, think }: Setting): Promise<void> {
    let isOver = false
    this.#isShort = true
    const isEnough = (): boolean => isOver && this.#hits.length >= stepRequestsMin
    const cancel = realWorld.after(stepMs, () => {
      isOver = true
      this.#isShort = false
      if (isEnough()) this.#stop.abort()
    })
    await closedLoop(left.queue, clients, 0, think, this.#driveUntil(isEnough))
    cancel()
  }

  /** The caller's drive, which also stops when the step has seen enough. */
  #driveUntil(isEnough: () => boolean): Drive {
    const onHit = (hit: Hit): void => {
      this.#hits.push(hit)
      if (!this.#isWithin(hit)) this.#late += 1
      if (isEnough()) this.#stop.abort()
    }
    return { ...this.#drive, stop: AbortSignal.any([this.#drive.stop, this.#stop.signal]), onHit }
  }

  #isWithin({ dueMs, answer }: Hit): boolean {
    if (answer.as === 'failed') return false
    return (answer.firstTokenMs - Math.min(dueMs, answer.sentMs)) / 1_000 <= this.#goal.ttftSeconds
  }

  /** Null when the trace had too little left to say anything. */
  ended(load: number): LoadStep | null {
    if (!this.#isCut && (this.#isShort || this.#hits.length < stepRequestsMin)) return null
    const withinShare = 1 - this.#late / this.#hits.length
    const good = !this.#isCut && withinShare >= this.#goal.share - rounding
    return { load, measured: measure(this.#hits), hits: this.#hits, withinShare, good, isCut: this.#isCut }
  }
}
