import { BlockMemory, rememberedCount } from './block-memory.ts'
import {
  type EvictionPolicy,
  noNotes,
  noRow,
  type PolicySizes,
  type Row,
  type VisitNotes,
} from './eviction.ts'
import { LeafPool, type PoolShape } from './leaf-pool.ts'
import { LeafTree } from './leaf-tree.ts'
import { type RememberingPolicy, rememberingPolicy } from './named-eviction.ts'
import { ServedPath } from './served-path.ts'

const shape: PoolShape = { draws: 24, kept: 2 }
/** What a visit adds to the clock, in milliseconds. Why: traces and bursts have many requests at one time; their order is
 *  still worth something, and a trace without times is then counted in requests. */
const visitMs = 10

/** Evictions between two relearnings, at least; otherwise a quarter of the capacity. */
const relearnEvictionsMin = 3_000

/** Terrace's default policy. See README.md for the idea; here are the parts: what is known of blocks (memory), which of
 *  them are resident (tree), and which of those may leave (leaves). */
export class Terrace implements RememberingPolicy {
  readonly name = 'terrace'
  readonly #memory: BlockMemory
  readonly #tree: LeafTree
  readonly #leaves: LeafPool
  #evictions = 0
  /** Evictions at which the curves are learned next. */
  #relearnAt = 0
  /** What all visits so far added to the clock. */
  #clockMs = 0
  #learned = false
  readonly #path = new ServedPath()

  constructor(sizes: PolicySizes, onForget: (number: Row) => void) {
    this.#tree = new LeafTree(sizes.rowMax)
    this.#leaves = new LeafPool(sizes.rowMax, this.#tree, shape, sizes.chance, (row, atMs) =>
      this.#worth(row, atMs),
    )
    this.#memory = new BlockMemory(sizes.rowMax, rememberedCount(sizes.capacityBlocks), this.#tree, onForget)
    this.#relearnAt = this.#relearnAfter(sizes.capacityBlocks)
  }

  onVisit(
    rows: Int32Array,
    count: number,
    readyCount: number,
    nowMs: number,
    notes: VisitNotes = noNotes,
  ): void {
    this.#leaves.expire()
    this.#path.begin(rows, count, readyCount)
    if (count > 0) this.#clockMs += visitMs
    this.#memory.visit(rows, count, this.#at(nowMs), notes)
    for (let at = 0; at < count; at += 1) {
      const row = rows[at] as number
      if (this.#tree.isResident(row)) this.#tree.mark(row)
    }
  }

  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number): void {
    this.#leaves.remove(parent)
    this.#tree.add(row, parent)
    this.#leaves.add(row)
    this.#memory.late(row, position, chainLength, this.#at(nowMs))
    this.#path.passed(position)
  }

  onAnswer(rows: Int32Array, count: number, answerTokens: number): void {
    this.#memory.answered(rows, count, answerTokens)
    this.#leaves.expire()
  }

  onVisitEnd(): void {
    this.#tree.unmark(() => {})
    this.#path.end()
  }

  onDrop(row: Row, evicted: boolean, nowMs: number): void {
    this.#leaves.remove(row)
    const parent = this.#tree.drop(row)
    if (parent !== noRow) this.#leaves.add(parent)
    if (!evicted) return
    this.#evictions += 1
    if (this.#evictions < this.#relearnAt) return
    this.#relearnAt += this.#relearnAfter(this.#tree.count + 1)
    this.#memory.relearn(this.#at(nowMs))
    this.#learned = true
    this.#leaves.expire()
  }

  #relearnAfter(blocks: number): number {
    return Math.max(relearnEvictionsMin, Math.floor(blocks / 4))
  }

  victim(held: (row: Row) => boolean, nowMs: number): Row {
    const atMs = this.#at(nowMs)
    const poorest = this.#leaves.poorest(held, atMs)
    if (poorest === noRow || !this.#learned) return poorest
    return this.#newcomerWorth(atMs) < this.#worth(poorest, atMs) ? noRow : poorest
  }

  #worth(row: Row, atMs: number): number {
    return this.#learned ? this.#memory.worth(row, atMs) : this.#memory.lastUseMs(row)
  }

  /** What the block that is to be brought in is worth; a victim worth more stays. */
  #newcomerWorth(atMs: number): number {
    const next = this.#path.nextAbsent(this.#tree)
    return next < 0 ? Number.POSITIVE_INFINITY : this.#memory.worth(this.#path.rowAt(next), atMs)
  }

  chanceOfUse(row: Row, nowMs: number, horizonMs: number): number | null {
    return this.#learned ? this.#memory.chanceOfUse(row, this.#at(nowMs), horizonMs) : null
  }

  forget(number: Row, nowMs: number): void {
    this.#memory.forget(number, this.#at(nowMs))
  }

  #at(nowMs: number): number {
    return nowMs + this.#clockMs
  }
}

export function terracePolicy(sizes: PolicySizes): EvictionPolicy {
  return rememberingPolicy(
    sizes,
    rememberedCount(sizes.capacityBlocks),
    (own, onForget) => new Terrace(own, onForget),
  )
}
