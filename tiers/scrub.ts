import { pageRounded } from './arena.ts'
import type { BlockKey } from './block/id.ts'
import { copyMsMax } from './block/limits.ts'
import type { DiskTier } from './disk.ts'
import { dropDamaged, type Parts } from './parts.ts'

/** Payload bytes verified per second. Why: a scrub must never be what an engine waits behind. */
export const scrubBytesPerSecond = 16 * 2 ** 20
/** Pause between two walks over the tier, in milliseconds, and the wait before the first. */
export const scrubPauseMs = 60_000
/** Wait while the links carry anything, in milliseconds. */
const busyMs = 20

/** Verifies the blocks of the drive one by one, slowly, while nobody needs it: damage is found before an engine asks. */
export class Scrub {
  readonly #parts: Parts
  readonly #disk: DiskTier
  #cancel: () => void = () => undefined
  #work: Promise<void> = Promise.resolve()
  #scratch: { readonly region: number; readonly byteCount: number } | null = null
  /** What is left of this walk; blocks that come later are the next one's. */
  #walk: BlockKey[] = []
  #stopped = false

  constructor(parts: Parts, disk: DiskTier) {
    this.#parts = parts
    this.#disk = disk
  }

  start(): void {
    this.#next(scrubPauseMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#work
    this.#freeScratch()
  }

  #next(ms: number): void {
    if (this.#stopped) return
    this.#cancel = this.#parts.world.after(ms, () => {
      this.#work = this.#one()
    })
  }

  async #one(): Promise<void> {
    if (this.#walk.length === 0) this.#walk = this.#disk.keys()
    const key = this.#walk.at(-1)
    if (key !== undefined && this.#parts.runner.inFlight() > 0) {
      this.#next(busyMs)
      return
    }
    const verified = key === undefined ? { as: 'done', restMs: 0 } : await this.#verify(key)
    if (verified.as === 'done') this.#walk.pop()
    this.#next(this.#walk.length === 0 ? scrubPauseMs : verified.restMs)
  }

  /** Reads one block and drops it when it is damaged. `again` says that it is still to be read: the drive did not answer, or there
   *  is no memory to read into. */
  async #verify(key: BlockKey): Promise<{ readonly as: 'done' | 'again'; readonly restMs: number }> {
    const identity = this.#disk.wantedOf(key)
    const opened = identity === null ? null : this.#parts.book.of(identity.namespace)
    // It left meanwhile, or nobody asks for its namespace in this life.
    if (identity === null || opened === null) return { as: 'done', restMs: 1 }
    const { payloadBytes } = identity
    const { fingerprint: namespace, layout } = opened
    const wanted = { key, namespace, layout, payloadBytes, generation: null, checksum: null }
    const region = this.#scratchFor(payloadBytes)
    if (region === null) return { as: 'again', restMs: scrubPauseMs }
    const into = { region, offset: 0, byteCount: payloadBytes }
    const deadlineMs = this.#parts.world.nowMs() + copyMsMax
    const [result] = await this.#disk.read([{ wanted, namespace: opened.id, into }], deadlineMs)
    if (result?.as === 'busy') {
      await result.quiet
      return { as: 'again', restMs: Math.max(busyMs, result.retryAfterMs) }
    }
    if (result?.as === 'damaged') dropDamaged(this.#parts, this.#disk, identity, result.why)
    if (result?.as === 'damaged' || result?.as === 'found')
      this.#parts.meter.add('terrace_tier_scrubbed_blocks_total', {})
    return { as: 'done', restMs: Math.ceil((payloadBytes / scrubBytesPerSecond) * 1_000) }
  }

  /** Memory for one block, or null when there is none to be had. */
  #scratchFor(payloadBytes: number): number | null {
    const byteCount = pageRounded(payloadBytes)
    if (this.#scratch !== null && this.#scratch.byteCount >= byteCount) return this.#scratch.region
    this.#freeScratch()
    try {
      this.#scratch = { region: this.#parts.native.openMemory(byteCount), byteCount }
    } catch {
      return null
    }
    return this.#scratch.region
  }

  #freeScratch(): void {
    if (this.#scratch !== null) this.#parts.native.closeRegion(this.#scratch.region)
    this.#scratch = null
  }
}
