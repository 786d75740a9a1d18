import { completionNumbers, type Native, operations, statuses, stepNumbers } from '../../addon/native.ts'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { chainBytes } from '../../tiers/block/key.ts'
import { slotPageBytes } from '../../tiers/block/limits.ts'
import { sealByteCount } from '../../tiers/block/seal.ts'
import type { SimWorld } from './world.ts'

/** Rates of what may go wrong, each a share of the steps. */
export type Faults = {
  readonly fail: number
  readonly rot: number
  readonly tear: number
  readonly double: number
  /** The completion comes only after the watchdog gave up. */
  readonly late: number
  readonly misdirect: number
}
export const noFaults: Faults = { fail: 0, rot: 0, tear: 0, double: 0, late: 0, misdirect: 0 }

/** Files outlive the process that wrote them. */
export type FakeDisk = Map<string, Uint8Array>

type Region = { readonly bytes: Uint8Array; readonly kind: 'memory' | 'file'; closed: boolean }
type Queue = { readonly done: number[]; readonly onReady: () => void; running: number; armed: boolean }
type Piece = () => void
type Work = {
  readonly operation: number
  readonly source: Region
  readonly sourceAt: number
  readonly target: Region
  readonly targetAt: number
  readonly byteCount: number
  readonly place: Float64Array | null
  readonly checksum: number
  readonly header: Uint8Array
}

/** The native side in JavaScript, under a seeded world: copies go piece by piece with time between the pieces, so
 *  that they race,
 *  tear and end in any order. */
export class FakeNative implements Native {
  readonly abiVersion = 2
  faults: Faults = noFaults
  /** Steps that always fail, whatever the rates say. */
  failing: (operation: string) => boolean = () => false
  /** Steps that were begun after the process died do nothing. */
  dead = false
  readonly counts = { rotted: 0, torn: 0, failed: 0, misdirected: 0 }
  readonly #world: SimWorld
  readonly #disk: FakeDisk
  readonly #regions: Region[] = [{ bytes: new Uint8Array(0), kind: 'memory', closed: true }]
  readonly #places: Float64Array[] = [new Float64Array(0)]
  readonly #queues: Queue[] = []
  readonly #shared = new Map<number, Uint8Array>()

  constructor(world: SimWorld, disk: FakeDisk) {
    this.#world = world
    this.#disk = disk
  }

  describe(): string {
    return '{}'
  }

  /** A descriptor for memory of an engine. */
  share(bytes: Uint8Array): number {
    const descriptor = 1_000 + this.#shared.size
    this.#shared.set(descriptor, bytes)
    return descriptor
  }

  bytesOf(region: number): Uint8Array {
    return this.#region(region).bytes
  }

  /** How much more memory there is. */
  memoryBytesLeft = Number.POSITIVE_INFINITY

  openMemory(byteCount: number): number {
    if (byteCount > this.memoryBytesLeft) throw new Error('openMemory: ENOMEM')
    return this.#regions.push({ bytes: new Uint8Array(byteCount), kind: 'memory', closed: false }) - 1
  }

  openShared(descriptor: number, byteCount: number): number {
    const bytes = this.#shared.get(descriptor)
    if (bytes === undefined || bytes.length < byteCount) throw new Error('openShared.descriptor: too short')
    return this.#regions.push({ bytes, kind: 'memory', closed: false }) - 1
  }

  openParts(): Promise<number> {
    return Promise.reject(new Error('openParts.device: no GPU in a simulation'))
  }

  describeDevices(): string {
    return '{"absent":"no GPU in a simulation"}'
  }

  openFile(path: string, byteCount: number): number {
    let bytes = this.#disk.get(path)
    if (bytes === undefined || bytes.length !== byteCount) {
      const grown = new Uint8Array(byteCount)
      grown.set((bytes ?? new Uint8Array(0)).subarray(0, byteCount))
      bytes = grown
      this.#disk.set(path, bytes)
    }
    return this.#regions.push({ bytes, kind: 'file', closed: false }) - 1
  }

  closeRegion(region: number): void {
    this.#region(region).closed = true
  }

  isOpen(region: number): boolean {
    return !this.#region(region).closed
  }

  windowOf(region: number, offset: number, byteCount: number): Uint8Array {
    return this.#region(region).bytes.subarray(offset, offset + byteCount)
  }

  descriptorOf(): number {
    return -1
  }

  openPlace(planes: Float64Array): number {
    return this.#places.push(planes.slice()) - 1
  }

  closePlace(): void {}

  openQueue(_threadCount: number, onReady: () => void): number {
    return this.#queues.push({ done: [], onReady, running: 0, armed: false }) - 1
  }

  async closeQueue(queue: number): Promise<void> {
    while (this.#queue(queue).running > 0) await this.#world.sleep(1)
  }

  submit(queue: number, steps: Float64Array, stepCount: number, seals: Uint8Array): number {
    const works: { work: Work; ticket: number }[] = []
    for (let i = 0; i < stepCount; i++) {
      const at = i * stepNumbers
      const [operation = 0, ticket = 0, sourceRegion = 0, sourceAt = 0, targetRegion = 0, targetAt = 0] =
        steps.subarray(at, at + stepNumbers)
      const [byteCount = 0, place = 0, checksum = -1, seal = -1] = steps.subarray(at + 6, at + stepNumbers)
      const header = seal < 0 ? new Uint8Array(0) : seals.subarray(seal, seal + sealByteCount)
      const work: Work = {
        operation,
        source: this.#region(sourceRegion),
        sourceAt,
        target: this.#region(targetRegion),
        targetAt,
        byteCount,
        place: operation <= operations.scatter ? (this.#places[place] ?? null) : null,
        checksum,
        header,
      }
      this.#check(work, i)
      works.push({ work, ticket })
    }
    for (const { work, ticket } of works) this.#begin(this.#queue(queue), work, ticket)
    return stepCount
  }

  drain(queue: number, into: Float64Array): number {
    const { done } = this.#queue(queue)
    const count = Math.min(Math.floor(into.length / completionNumbers), done.length / completionNumbers)
    into.set(done.splice(0, count * completionNumbers))
    return count
  }

  chain(secret: Uint8Array, tokens: Uint32Array, blockTokens: number, into: Uint8Array): number {
    const bytes = chainBytes(secret, tokens, blockTokens)
    into.set(bytes)
    return bytes.length / 32
  }

  crc32c(bytes: Uint8Array, previous: number): number {
    return crc32c(bytes, previous)
  }

  peerOf(): Int32Array {
    return new Int32Array(3)
  }
  openDoor(): number {
    return 0
  }
  closeDoor(): void {}
  takeDescriptor(): number {
    return -1
  }
  handDescriptor(): void {}

  /** Carries a step out piece by piece. */
  #begin(queue: Queue, work: Work, ticket: number): void {
    queue.running += 1
    const { chance } = this.#world
    const isFile = work.source.kind === 'file' || work.target.kind === 'file'
    let sum = 0
    let status: number = statuses.ok
    const pieces: Piece[] =
      work.operation === operations.flush ? [] : this.#pieces(work, (bytes) => (sum = crc32c(bytes, sum)))
    if (chance() < this.faults.fail || this.failing(nameOf(work.operation))) {
      status = -5
      pieces.splice(Math.floor(chance() * (pieces.length + 1)))
      this.counts.failed += 1
    } else if (isFile && work.target.kind === 'file' && chance() < this.faults.tear) {
      pieces.splice(Math.floor(chance() * pieces.length), 1)
      this.counts.torn += 1
    }
    const late = chance() < this.faults.late ? 2_500 + chance() * 3_000 : 0
    let piece = 0
    const advance = (): void => {
      if (this.dead) return
      const next = pieces[piece]
      piece += 1
      if (next !== undefined) {
        next()
        this.#world.after(this.#delayMs(isFile), advance)
        return
      }
      const isChecked = work.operation === operations.scatter || work.operation === operations.copy
      if (status === statuses.ok && isChecked && work.checksum >= 0 && sum !== work.checksum) {
        status = statuses.checksum
      }
      queue.running -= 1
      this.#complete(queue, [ticket, status, status === statuses.ok ? work.byteCount : 0, sum])
      if (chance() < this.faults.double) this.#complete(queue, [ticket, statuses.ok, work.byteCount, sum])
    }
    this.#world.after(this.#delayMs(isFile) + late, advance)
  }

  #pieces(work: Work, summed: (bytes: Uint8Array) => void): Piece[] {
    const { chance } = this.#world
    if (work.operation === operations.gather || work.operation === operations.scatter) {
      return this.#affine(work, summed)
    }
    const sourceAt = work.sourceAt + (work.operation === operations.read ? slotPageBytes : 0)
    const targetAt = work.targetAt + (work.operation === operations.write ? slotPageBytes : 0)
    if (work.operation === operations.read && chance() < this.faults.rot) this.#rot(work)
    const from = work.operation === operations.read ? this.#misdirected(work) : work.sourceAt
    const cut = Math.floor(work.byteCount / 2)
    const part = (start: number, end: number) => (): void => {
      const bytes = work.source.bytes.subarray(
        sourceAt + from - work.sourceAt + start,
        sourceAt + from - work.sourceAt + end,
      )
      if (work.operation !== operations.sum) work.target.bytes.set(bytes, targetAt + start)
      summed(bytes)
    }
    const pieces: Piece[] = [part(0, cut), part(cut, work.byteCount)]
    if (work.operation === operations.write)
      pieces.push(() => work.target.bytes.set(work.header, work.targetAt))
    if (work.operation === operations.read) {
      pieces.unshift(() => work.header.set(work.source.bytes.subarray(from, from + sealByteCount)))
    }
    return pieces
  }

  #affine(work: Work, summed: (bytes: Uint8Array) => void): Piece[] {
    const pieces: Piece[] = []
    const planes = work.place ?? new Float64Array(0)
    const isGather = work.operation === operations.gather
    let slotAt = isGather ? work.targetAt : work.sourceAt
    const block = isGather ? work.sourceAt : work.targetAt
    for (let plane = 0; plane < planes.length; plane += 5) {
      const [base = 0, layerStride = 0, blockStride = 0, layers = 0, length = 0] = planes.subarray(
        plane,
        plane + 5,
      )
      for (let layer = 0; layer < layers; layer++) {
        const engineAt = base + layer * layerStride + block * blockStride
        const at = slotAt
        pieces.push(() => {
          const [from, to] = isGather ? [engineAt, at] : [at, engineAt]
          const bytes = work.source.bytes.subarray(from, from + length)
          work.target.bytes.set(bytes, to)
          summed(bytes)
        })
        slotAt += length
      }
    }
    return pieces
  }

  #rot(work: Work): void {
    const at = work.sourceAt + Math.floor(this.#world.chance() * (slotPageBytes + work.byteCount))
    if (at >= work.sourceAt + sealByteCount && at < work.sourceAt + slotPageBytes) return
    work.source.bytes[at] = (work.source.bytes[at] ?? 0) ^ (1 << Math.floor(this.#world.chance() * 8))
    this.counts.rotted += 1
  }

  /** A read that lands on a neighbour: the drive's own mistake. */
  #misdirected(work: Work): number {
    if (this.#world.chance() >= this.faults.misdirect) return work.sourceAt
    const slotBytes = slotPageBytes + Math.ceil(work.byteCount / slotPageBytes) * slotPageBytes
    const other = work.sourceAt + slotBytes
    if (other + slotBytes > work.source.bytes.length) return work.sourceAt
    this.counts.misdirected += 1
    return other
  }

  #complete(queue: Queue, completion: readonly number[]): void {
    queue.done.push(...completion)
    if (queue.armed) return
    queue.armed = true
    this.#world.after(0, () => {
      queue.armed = false
      if (!this.dead) queue.onReady()
    })
  }

  /** Mostly short, now and then very long: races hide behind equal delays. */
  #delayMs(isFile: boolean): number {
    const { chance } = this.#world
    const base = (isFile ? 0.5 : 0.05) * (0.3 + 1.4 * chance())
    return chance() < 0.03 ? base * 60 : base
  }

  #check(work: Work, i: number): void {
    if (work.source.closed || work.target.closed) throw new Error(`submit.steps[${i}]: region is closed`)
    const slotBytes = work.operation >= operations.write ? work.byteCount + slotPageBytes : work.byteCount
    if (work.place === null && work.operation !== operations.flush) {
      const end = Math.max(
        work.source.kind === 'file' ? work.sourceAt + slotBytes - work.source.bytes.length : 0,
        work.target.kind === 'file' ? work.targetAt + slotBytes - work.target.bytes.length : 0,
      )
      if (end > 0 && work.operation !== operations.sum)
        throw new Error(`submit.steps[${i}]: outside its region`)
    }
  }

  #region(region: number): Region {
    const found = this.#regions[region]
    if (found === undefined) throw new Error(`region ${region} is not open`)
    return found
  }

  #queue(queue: number): Queue {
    const found = this.#queues[queue]
    if (found === undefined) throw new Error(`queue ${queue} is not open`)
    return found
  }
}

function nameOf(operation: number): string {
  return Object.entries(operations).find(([, number]) => number === operation)?.[0] ?? ''
}
