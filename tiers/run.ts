import { availableParallelism } from 'node:os'
import {
  completionNumbers,
  type Native,
  operations,
  type QueueHandle,
  statuses,
  stepNumbers,
} from '../addon/native.ts'
import { assert } from './block/assert.ts'
import type { World } from './block/clock.ts'
import { copyMsMax, queueStepsMax, segmentBytes } from './block/limits.ts'
import { sealByteCount } from './block/seal.ts'
import { Budget } from './budget.ts'
import type { StoreMeter } from './metrics.ts'

/** One copy, as data. Offsets and counts are bytes; for an engine's place `source` or `target` is a block index. */
export type Step = {
  readonly operation: keyof typeof operations
  readonly sourceRegion: number
  readonly source: number
  readonly targetRegion: number
  readonly target: number
  readonly byteCount: number
  readonly place: number
  /** What the payload must sum to, or -1 when any sum will do. */
  readonly checksum: number
  /** Header to write; null for the other operations. */
  readonly seal: Uint8Array | null
}

/** How a step ended. `overdue` is no end: the copy may still touch its slots until `ended`. */
export type StepDone =
  | { readonly as: 'ok'; readonly checksum: number; readonly header: Uint8Array }
  | { readonly as: 'failed'; readonly why: string }
  | { readonly as: 'overdue'; readonly ended: Promise<Ended> }
export type Ended = Exclude<StepDone, { as: 'overdue' }>

const lanes = ['copy', 'read', 'write', 'pin'] as const
export type Lane = (typeof lanes)[number]
const laneOf: Readonly<Record<keyof typeof operations, Lane>> = {
  gather: 'copy',
  scatter: 'copy',
  copy: 'copy',
  sum: 'copy',
  read: 'read',
  write: 'write',
  flush: 'write',
  pin: 'pin',
}
/** A thread sums what it has copied, which takes longer than the copy: with a GPU, eight keep its link busy. */
const copyThreads = Math.min(8, Math.max(2, Math.floor(availableParallelism() / 2)))
/** Threads, steps and bytes in flight per lane. Why apart: a slow write must not delay a copy that an engine waits
 *  for; reads and writes are bounded so that what is in flight ends well within `copyMsMax` on a slow disk. */
const laneSizes: Readonly<Record<Lane, { threads: number; stepsMax: number; bytesMax: number }>> = {
  copy: { threads: copyThreads, stepsMax: 512, bytesMax: 2 ** 30 },
  read: { threads: 8, stepsMax: 64, bytesMax: 64 * 2 ** 20 },
  write: { threads: 2, stepsMax: 16, bytesMax: 64 * 2 ** 20 },
  pin: { threads: 1, stepsMax: 1, bytesMax: segmentBytes },
}
for (const { stepsMax } of Object.values(laneSizes)) {
  assert(stepsMax <= queueStepsMax, 'a lane never asks more of its queue than fits')
}
const drainBatch = 256
const noHeader = new Uint8Array(0)

type Waiting = { readonly step: Step; readonly settle: (done: StepDone) => void }
type InFlight = Waiting & {
  readonly header: Uint8Array
  readonly dueMs: number
  /** Set once the watchdog gave the step up. */
  late: ((ended: Ended) => void) | null
}

/** Packs steps into the native queues and hands out their ends. It decides nothing: what a failure means is the
 *  caller's affair. */
export class Runner {
  readonly #native: Native
  readonly #world: World
  readonly #meter: StoreMeter
  readonly #lanes: Readonly<Record<Lane, LaneQueue>>
  readonly #regions = new Map<number, { steps: number; idle: (() => void)[] }>()

  constructor(native: Native, world: World, meter: StoreMeter) {
    this.#native = native
    this.#world = world
    this.#meter = meter
    const lane = (name: Lane): LaneQueue => new LaneQueue(native, world, name, (line) => this.#strange(line))
    this.#lanes = { copy: lane('copy'), read: lane('read'), write: lane('write'), pin: lane('pin') }
  }

  /** Never rejects. */
  async run(step: Step): Promise<StepDone> {
    const lane = this.#lanes[laneOf[step.operation]]
    const regions = [step.sourceRegion, step.targetRegion]
    for (const region of regions) this.#busy(region).steps += 1
    const release = (ended: Ended): Ended => {
      for (const region of regions) this.#idle(region)
      if (ended.as === 'ok') {
        if (step.operation === 'pin') return ended
        this.#meter.add('terrace_tier_moved_bytes_total', { step: step.operation }, step.byteCount)
      } else {
        this.#meter.add('terrace_tier_steps_failed_total', {
          step: step.operation,
          why: ended.why.startsWith('refused') ? 'refused' : ended.why,
        })
      }
      return ended
    }
    const done = await lane.run(step)
    if (done.as !== 'overdue') return release(done)
    this.#meter.add('terrace_tier_steps_overdue_total', { step: step.operation })
    return { as: 'overdue', ended: done.ended.then(release) }
  }

  /** As `run`, but waits for the end of an overdue step too: for copies after which somebody else owns the memory. */
  async runToEnd(step: Step): Promise<Ended> {
    const done = await this.run(step)
    return done.as === 'overdue' ? done.ended : done
  }

  /** Milliseconds that so many more bytes take on the lane, from measured rate and queue. */
  msOf(lane: Lane, byteCount: number): number | null {
    return this.#lanes[lane].msOf(byteCount, this.#world.nowMs())
  }

  inFlight(): number {
    return lanes.reduce((sum, lane) => sum + this.#lanes[lane].count, 0)
  }

  uses(region: number): boolean {
    return this.#regions.has(region)
  }

  /** Resolves when no step uses the region. */
  async whenIdle(region: number): Promise<void> {
    const use = this.#regions.get(region)
    if (use === undefined) return
    await new Promise<void>((resolve) => use.idle.push(resolve))
  }

  async close(): Promise<void> {
    await Promise.all(lanes.map((lane) => this.#native.closeQueue(this.#lanes[lane].queue)))
    for (const lane of lanes) this.#lanes[lane].stop()
  }

  #strange(_line: 'unknown_ticket'): void {
    this.#meter.add('terrace_tier_completions_ignored_total', {})
  }

  #busy(region: number): { steps: number; idle: (() => void)[] } {
    let use = this.#regions.get(region)
    if (use === undefined) {
      use = { steps: 0, idle: [] }
      this.#regions.set(region, use)
    }
    return use
  }

  #idle(region: number): void {
    const use = this.#busy(region)
    use.steps -= 1
    if (use.steps > 0) return
    this.#regions.delete(region)
    for (const resolve of use.idle) resolve()
  }
}

/** One native queue with its waiting line, its budget and its watchdog. */
class LaneQueue {
  readonly queue: QueueHandle
  readonly #native: Native
  readonly #world: World
  readonly #strange: (what: 'unknown_ticket') => void
  readonly #budget: Budget
  readonly #waiting: Waiting[] = []
  readonly #inFlight = new Map<number, InFlight>()
  readonly #completions = new Float64Array(drainBatch * completionNumbers)
  #waitingBytes = 0
  #nextTicket = 1
  #flushing = false
  #cancelWatch: (() => void) | null = null
  #stopped = false

  constructor(native: Native, world: World, lane: Lane, strange: (what: 'unknown_ticket') => void) {
    const sizes = laneSizes[lane]
    this.#native = native
    this.#world = world
    this.#strange = strange
    this.#budget = new Budget(sizes.stepsMax, sizes.bytesMax)
    this.queue = native.openQueue(sizes.threads, () => this.#drain())
  }

  get count(): number {
    return this.#inFlight.size + this.#waiting.length
  }

  msOf(byteCount: number, nowMs: number): number | null {
    return this.#budget.msOf(byteCount, nowMs, this.#waitingBytes)
  }

  run(step: Step): Promise<StepDone> {
    if (this.#stopped) return Promise.resolve({ as: 'failed', why: 'closed' })
    return new Promise((settle) => {
      this.#waiting.push({ step, settle })
      this.#waitingBytes += step.byteCount
      if (this.#flushing) return
      this.#flushing = true
      queueMicrotask(() => {
        this.#flushing = false
        this.#submit()
      })
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancelWatch?.()
    this.#drain()
    for (const waiting of this.#waiting.splice(0)) waiting.settle({ as: 'failed', why: 'closed' })
    for (const [ticket, flight] of this.#inFlight) this.#end(ticket, flight, { as: 'failed', why: 'closed' })
  }

  #submit(): void {
    const nowMs = this.#world.nowMs()
    const batch: Waiting[] = []
    for (const next of this.#waiting) {
      if (!this.#budget.admits(next.step.byteCount)) break
      this.#budget.start(next.step.byteCount, nowMs)
      batch.push(next)
    }
    if (batch.length === 0) return
    const steps = new Float64Array(batch.length * stepNumbers)
    const seals = new Uint8Array(batch.length * sealByteCount)
    const firstTicket = this.#nextTicket
    for (const [i, { step }] of batch.entries()) packStep(step, firstTicket + i, i, steps, seals)
    this.#nextTicket += batch.length
    const handed = this.#hand(batch.length, steps, seals)
    for (const [i, waiting] of batch.entries()) {
      if (i >= handed.taken) {
        this.#budget.end(waiting.step.byteCount, 0, nowMs)
        continue
      }
      this.#waitingBytes -= waiting.step.byteCount
      const header = hasHeader(waiting.step)
        ? seals.subarray(i * sealByteCount, (i + 1) * sealByteCount)
        : noHeader
      this.#inFlight.set(firstTicket + i, { ...waiting, header, dueMs: nowMs + copyMsMax, late: null })
    }
    this.#waiting.splice(0, handed.taken)
    if (handed.refused !== null) this.#refuseFirst(handed.refused)
    this.#watch()
    if (this.#inFlight.size === 0 && this.#waiting.length > 0) this.#world.after(1, () => this.#submit())
  }

  /** Gives the steps to the native side. When it refuses to read them they go one by one, so that one bad step
   *  spoils no other:
   *  `refused` then tells about the first step that was not taken. */
  #hand(count: number, steps: Float64Array, seals: Uint8Array): { taken: number; refused: string | null } {
    try {
      return { taken: this.#native.submit(this.queue, steps, count, seals), refused: null }
    } catch (error) {
      if (count > 1) return this.#hand(1, steps, seals)
      return { taken: 0, refused: error instanceof Error ? error.message : 'unknown' }
    }
  }

  #refuseFirst(why: string): void {
    const refused = this.#waiting.shift()
    assert(refused !== undefined, 'a refused step was waiting')
    this.#waitingBytes -= refused.step.byteCount
    refused.settle({ as: 'failed', why: `refused: ${why}` })
    queueMicrotask(() => this.#submit())
  }

  #drain(): void {
    for (;;) {
      const count = this.#native.drain(this.queue, this.#completions)
      for (let i = 0; i < count; i++) this.#complete(i * completionNumbers)
      if (count < drainBatch) break
    }
    if (!this.#stopped) this.#submit()
  }

  #complete(at: number): void {
    const [ticket = 0, status = 0, byteCount = 0, checksum = 0] = this.#completions.subarray(
      at,
      at + completionNumbers,
    )
    const flight = this.#inFlight.get(ticket)
    if (flight === undefined) {
      this.#strange('unknown_ticket')
      return
    }
    this.#end(ticket, flight, endedOf(flight, status, byteCount, checksum))
  }

  #end(ticket: number, flight: InFlight, ended: Ended): void {
    this.#inFlight.delete(ticket)
    const { byteCount } = flight.step
    this.#budget.end(byteCount, ended.as === 'ok' ? byteCount : 0, this.#world.nowMs())
    if (flight.late !== null) flight.late(ended)
    else flight.settle(ended)
  }

  /** One timer for the oldest step in flight. */
  #watch(): void {
    if (this.#cancelWatch !== null || this.#stopped) return
    let dueMs = Number.POSITIVE_INFINITY
    for (const flight of this.#inFlight.values()) {
      if (flight.late !== null) continue
      dueMs = flight.dueMs
      break
    }
    if (dueMs === Number.POSITIVE_INFINITY) return
    this.#cancelWatch = this.#world.after(Math.max(1, dueMs - this.#world.nowMs()), () => {
      this.#cancelWatch = null
      this.#giveUpOverdue()
      this.#watch()
    })
  }

  #giveUpOverdue(): void {
    const nowMs = this.#world.nowMs()
    for (const flight of this.#inFlight.values()) {
      if (flight.dueMs > nowMs) break
      if (flight.late !== null) continue
      const ended = new Promise<Ended>((resolve) => {
        flight.late = resolve
      })
      flight.settle({ as: 'overdue', ended })
    }
  }
}

function hasHeader(step: Step): boolean {
  return step.operation === 'read' || step.operation === 'write'
}

function packStep(step: Step, ticket: number, i: number, steps: Float64Array, seals: Uint8Array): void {
  if (step.seal !== null) seals.set(step.seal, i * sealByteCount)
  steps.set(
    [
      operations[step.operation],
      ticket,
      step.sourceRegion,
      step.source,
      step.targetRegion,
      step.target,
      step.byteCount,
      step.place,
      step.checksum,
      hasHeader(step) ? i * sealByteCount : -1,
    ],
    i * stepNumbers,
  )
}

/** A count that is not the wanted one is a failure, whatever the status says. */
function endedOf(flight: InFlight, status: number, byteCount: number, checksum: number): Ended {
  if (status === statuses.ok && byteCount === flight.step.byteCount) {
    return { as: 'ok', checksum, header: flight.header }
  }
  if (status === statuses.checksum) return { as: 'failed', why: 'checksum' }
  if (status === statuses.closed) return { as: 'failed', why: 'closed' }
  if (status === statuses.ok || status === statuses.short) return { as: 'failed', why: 'short' }
  return { as: 'failed', why: `errno_${-status}` }
}
