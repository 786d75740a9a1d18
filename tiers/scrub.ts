import { pageRounded } from './arena.ts'
import type { BlockKey } from './block/id.ts'
import { copyMsMax } from './block/limits.ts'
import type { DiskTier } from './disk.ts'
import { dropDamaged, type Parts } from './parts.ts'

/** Payload bytes verified per second. Why: a scrub must never be what an engine waits behind. */
const bytesPerSecond = 16 * 2 ** 20
/** Pause between two walks over the tier, in milliseconds, and the wait before the first. */
const walkPauseMs = 60_000

/** Verifies the blocks of the drive one by one, slowly, while nobody needs it: damage is found before an engine asks. */
export class Scrub {
  readonly #parts: Parts
  readonly #disk: DiskTier
  #cancel: () => void = () => undefined
  #work: Promise<void> = Promise.resolve()
  #scratch: { readonly region: number; readonly byteCount: number } | null = null
  #walk: BlockKey[] = []
  #stopped = false

  constructor(parts: Parts, disk: DiskTier) {
    this.#parts = parts
    this.#disk = disk
  }

  start(): void {
    this.#next(walkPauseMs)
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
    const key = this.#walk.pop()
    const identity = key === undefined ? null : this.#disk.wantedOf(key)
    const opened = identity === null ? null : this.#parts.book.of(identity.namespace)
    const ends = this.#walk.length === 0
    if (identity === null || opened === null || this.#parts.runner.inFlight() > 0) {
      this.#next(ends ? walkPauseMs : 1)
      return
    }
    const { key: name, payloadBytes } = identity
    const wanted = {
      key: name,
      namespace: opened.fingerprint,
      layout: opened.layout,
      payloadBytes,
      generation: null,
      checksum: null,
    }
    const into = { region: this.#scratchFor(payloadBytes), offset: 0, byteCount: payloadBytes }
    const deadlineMs = this.#parts.world.nowMs() + copyMsMax
    const [result] = await this.#disk.read([{ wanted, namespace: opened.id, into }], deadlineMs)
    if (result?.as === 'damaged') dropDamaged(this.#parts, this.#disk, identity, result.why)
    else if (result?.as === 'busy') await result.quiet
    this.#parts.meter.add('terrace_tier_scrubbed_blocks_total', {})
    this.#next(ends ? walkPauseMs : Math.ceil((payloadBytes / bytesPerSecond) * 1_000))
  }

  #scratchFor(payloadBytes: number): number {
    const byteCount = pageRounded(payloadBytes)
    if (this.#scratch === null || this.#scratch.byteCount < byteCount) {
      this.#freeScratch()
      this.#scratch = { region: this.#parts.native.openMemory(byteCount), byteCount }
    }
    return this.#scratch.region
  }

  #freeScratch(): void {
    if (this.#scratch !== null) this.#parts.native.closeRegion(this.#scratch.region)
    this.#scratch = null
  }
}
