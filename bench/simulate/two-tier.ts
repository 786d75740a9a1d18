import type { AdmissionPolicy, Pressure } from '../../tiers/policy/admission.ts'
import { noRow, type Row } from '../../tiers/policy/eviction.ts'
import { RowLists } from '../../tiers/policy/row-lists.ts'
import type { Trace } from '../trace/trace.ts'
import type { Progress } from './one-tier.ts'

/** Two LRU tiers as the reference tables have them: flat, leaf-first, host over disk. */
export type TwoTierSetup = {
  readonly hostBlocks: number
  readonly diskBlocks: number
  readonly demotion: 'write-through' | 'demote' | 'exclusive'
  /** A FIFO disk is a plain log: a hit does not refresh it. */
  readonly diskOrder: 'lru' | 'fifo'
  /** What is demoted takes its missing ancestors along, so that the disk can be used alone after a restart. */
  readonly withAncestors: boolean
}

export type TwoTierResult = {
  readonly hits: number
  readonly hostHits: number
  readonly diskWrites: number
  /** Disk blocks at the end that have an ancestor which is not on disk. */
  readonly diskOrphans: number
  readonly diskBlocks: number
}

const host = 1
const disk = 1
const progressEvery = 256
const unhurried: Pressure = {
  heldBlocks: 0,
  capacityBlocks: 1,
  residenceMs: Number.POSITIVE_INFINITY,
  budgetUsed: 0,
}

/** The two lists and what each block has been through. */
class TwoTiers {
  readonly #trace: Trace
  readonly #setup: TwoTierSetup
  readonly #admission: AdmissionPolicy
  readonly #host: RowLists
  readonly #disk: RowLists
  readonly #uses: Int32Array
  readonly #evicted: Uint8Array
  readonly #known: Uint8Array
  diskWrites = 0

  constructor(trace: Trace, setup: TwoTierSetup, admission: AdmissionPolicy) {
    this.#trace = trace
    this.#setup = setup
    this.#admission = admission
    this.#host = new RowLists(trace.nodeCount, 1)
    this.#disk = new RowLists(trace.nodeCount, 1)
    this.#uses = new Int32Array(trace.nodeCount)
    this.#evicted = new Uint8Array(trace.nodeCount)
    this.#known = new Uint8Array(trace.nodeCount)
  }

  inHost(row: Row): boolean {
    return this.#host.listOf(row) !== 0
  }

  onDisk(row: Row): boolean {
    return this.#disk.listOf(row) !== 0
  }

  markKnown(row: Row): void {
    this.#known[row] = 1
  }

  access(row: Row): void {
    const { hostBlocks, demotion } = this.#setup
    this.#uses[row] = (this.#uses[row] as number) + 1
    if (this.inHost(row)) {
      this.#host.refresh(host, row)
      return
    }
    if (this.onDisk(row)) {
      if (demotion === 'exclusive') this.#disk.remove(row)
      else this.#refreshDisk(row)
    }
    if (this.#host.lengthOf(host) >= hostBlocks) this.#demote(this.#host.tail(host))
    this.#host.pushHead(host, row)
    if (demotion === 'write-through') this.#store(row)
  }

  #demote(row: Row): void {
    this.#host.remove(row)
    const evictedBefore = this.#evicted[row] === 1
    this.#evicted[row] = 1
    if (this.onDisk(row)) {
      this.#refreshDisk(row)
      return
    }
    const facts = {
      uses: this.#uses[row] as number,
      evictedBefore,
      knownPrefix: this.#known[row] === 1,
      chanceOfUse: null,
    }
    if (this.#setup.demotion === 'write-through' || !this.#admission.admit(facts, unhurried).ok) return
    if (this.#setup.withAncestors && !this.#fits(row)) return
    this.#store(row)
    if (this.#setup.withAncestors) this.#storeAncestors(row)
  }

  /** A chain longer than the disk would push out its own head. */
  #fits(row: Row): boolean {
    let depth = 0
    for (
      let above = this.#trace.parents[row] as number;
      above !== noRow;
      above = this.#trace.parents[above] as number
    ) {
      depth += 1
    }
    return depth + 1 <= this.#setup.diskBlocks
  }

  #storeAncestors(row: Row): void {
    for (
      let above = this.#trace.parents[row] as number;
      above !== noRow;
      above = this.#trace.parents[above] as number
    ) {
      if (!this.onDisk(above)) this.#store(above)
    }
  }

  #refreshDisk(row: Row): void {
    if (this.#setup.diskOrder === 'lru') this.#disk.refresh(disk, row)
  }

  #store(row: Row): void {
    if (this.#setup.diskBlocks === 0) return
    if (this.onDisk(row)) {
      this.#refreshDisk(row)
      return
    }
    if (this.#disk.lengthOf(disk) >= this.#setup.diskBlocks) this.#disk.remove(this.#disk.tail(disk))
    this.#disk.pushHead(disk, row)
    this.diskWrites += 1
  }

  /** Disk blocks, and those of them that the disk alone could not serve. */
  reach(): { readonly diskBlocks: number; readonly diskOrphans: number } {
    const reachable = new Uint8Array(this.#trace.nodeCount)
    let diskBlocks = 0
    let diskOrphans = 0
    for (let node = 0; node < this.#trace.nodeCount; node += 1) {
      if (!this.onDisk(node)) continue
      diskBlocks += 1
      const parent = this.#trace.parents[node] as number
      if (parent === noRow || reachable[parent] === 1) reachable[node] = 1
      else diskOrphans += 1
    }
    return { diskBlocks, diskOrphans }
  }
}

/** Replays a trace over a host and a disk tier. */
export function simulateTwoTiers(
  trace: Trace,
  setup: TwoTierSetup,
  admission: AdmissionPolicy,
  progress: Progress | null,
): TwoTierResult {
  const { refs, starts } = trace
  const tiers = new TwoTiers(trace, setup, admission)
  let hits = 0
  let hostHits = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    let front = from
    for (; front < to; front += 1) {
      const row = refs[front] as number
      if (tiers.inHost(row)) hostHits += 1
      else if (!tiers.onDisk(row)) break
    }
    hits += front - from
    if (front - from >= 2) for (let at = from; at < to; at += 1) tiers.markKnown(refs[at] as number)
    for (let at = to - 1; at >= from; at -= 1) tiers.access(refs[at] as number)
    if (progress !== null && request % progressEvery === 0 && !progress(request)) break
  }
  return { hits, hostHits, diskWrites: tiers.diskWrites, ...tiers.reach() }
}
