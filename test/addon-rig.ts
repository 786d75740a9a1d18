import { loadNative } from '../addon/load.ts'
import {
  completionNumbers,
  type Native,
  operations,
  type QueueHandle,
  stepFields,
  stepNumbers,
} from '../addon/native.ts'

export type StepWanted = Partial<Record<Exclude<(typeof stepFields)[number], 'operation'>, number>> & {
  readonly operation: keyof typeof operations | number
}
export type Done = {
  readonly ticket: number
  readonly status: number
  readonly byteCount: number
  readonly checksum: number
}

/** The numbers of one step; what is not given is 0, a checksum or seal -1. */
export function packed(step: StepWanted): number[] {
  return stepFields.map((field) => {
    const value = step[field]
    if (field === 'operation') return typeof value === 'number' ? value : operations[value ?? 'sum']
    if (typeof value === 'number') return value
    return field === 'checksum' || field === 'seal' ? -1 : 0
  })
}

/** One queue whose steps are awaited one batch at a time. */
export class Rig {
  readonly native: Native
  readonly queue: QueueHandle
  readonly seals: Uint8Array
  readyCalls = 0
  readonly #into = new Float64Array(64 * completionNumbers)
  readonly #done: Done[] = []
  #wake: () => void = () => undefined

  constructor(threadCount = 2, sealCount = 16, native = loadNative()) {
    this.native = native
    this.seals = new Uint8Array(sealCount * 256)
    this.queue = this.native.openQueue(threadCount, () => {
      this.readyCalls++
      this.drainAll()
      this.#wake()
    })
  }

  submit(steps: readonly StepWanted[]): number {
    const numbers = new Float64Array(steps.flatMap(packed))
    return this.native.submit(this.queue, numbers, numbers.length / stepNumbers, this.seals)
  }

  drainAll(): void {
    for (;;) {
      const count = this.native.drain(this.queue, this.#into)
      for (let i = 0; i < count; i++) {
        const [ticket, status, byteCount, checksum] = this.#into.subarray(
          i * completionNumbers,
          (i + 1) * completionNumbers,
        )
        this.#done.push({
          ticket: ticket ?? -1,
          status: status ?? -1,
          byteCount: byteCount ?? -1,
          checksum: checksum ?? -1,
        })
      }
      if (count * completionNumbers < this.#into.length) return
    }
  }

  /** Submits all steps and gives their completions in the order of their tickets, which it sets itself. */
  async run(...steps: readonly StepWanted[]): Promise<Done[]> {
    const taken = this.submit(steps.map((step, ticket) => ({ ...step, ticket })))
    if (taken !== steps.length) throw new Error(`the queue took ${taken} of ${steps.length} steps`)
    return await this.finished(steps.length)
  }

  /** The next `count` completions, by ticket. */
  async finished(count: number): Promise<Done[]> {
    while (this.#done.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#done.splice(0, count).sort((a, b) => a.ticket - b.ticket)
  }

  async close(): Promise<void> {
    await this.native.closeQueue(this.queue)
  }
}
