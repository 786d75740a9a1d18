import { BlockMemory, rememberedCount } from './block-memory.ts'
import {
  type EvictionPolicy,
  noNotes,
  noRow,
  type PolicySizes,
  type Row,
  type TierBelow,
  type VisitNotes,
} from './eviction.ts'
import { LeafPool, type PoolShape } from './leaf-pool.ts'
import { LeafSet } from './leaf-set.ts'
import { LeafTree } from './leaf-tree.ts'
import { type RememberingPolicy, rememberingPolicy } from './named-eviction.ts'
import type { Learning } from './reuse-curves.ts'
import { ServedPath } from './served-path.ts'
import { StopIndex } from './stop-index.ts'

const shape: PoolShape = { draws: 16, kept: 6 }
/** Blocks that the tier below holds, looked at per eviction. */
const safeDraws = 16
/** What a hit here is worth beyond one below, as a share of what a lost hit costs. Why small: both hits spare the prefill;
 *  still, what is used every few seconds should not be read from below every time. */
const nearness = 0.01
/** What a visit adds to the clock, in milliseconds, so that requests of one moment have an order. */
const visitMs = 10
/** Evictions between two relearnings, at least; otherwise a quarter of what is resident. */
const relearnEvictionsMin = 2_000

/** Without a tier below everything is a question that is never answered; the numbers only have to be sane. */
const nothingBelow: TierBelow = { holds: () => false, stayMs: () => Number.MAX_SAFE_INTEGER, bar: 0.5 }

/** The curves decide about times that a young cache has not seen yet. Until it has, a block is assumed to come back: a write too
 *  many costs less than a whole working set that is let go. */
const learning: Learning = {
  keptShare: 0.99,
  prior: { hazard: 0.05, blocks: 1_000 },
  carriedShare: 0.4,
  proportionUses: null,
  answerEdges: [32, 128, 512],
}

/** Blocks that are known at most. Why more than of a tier that stands alone: what was let go comes back after times in which
 *  the tier below, several times as large, would still have held it. */
const knownCount = (capacityBlocks: number): number => rememberedCount(4 * capacityBlocks)

/** For a tier above one whose writes cost (wear, budget): uses its places to find out which blocks deserve a write. Blocks
 *  whose future is known, either way, and blocks that the tier below holds leave first; blocks in doubt stay
 *  for as long as waiting still tells something (`StopIndex`). */
export class Probation implements RememberingPolicy {
  readonly name = 'probation'
  readonly #chance: () => number
  readonly #memory: BlockMemory
  readonly #index: StopIndex
  readonly #tree: LeafTree
  /** Resident leaves that the tier below lacks. */
  readonly #leaves: LeafPool
  /** Resident blocks that the tier below holds, wherever they are in the tree. */
  readonly #safe: LeafSet
  #below: TierBelow = nothingBelow
  /** Evictions since the curves were learned. */
  #evictions = 0
  #clockMs = 0
  #learned = false
  readonly #path = new ServedPath()

  constructor(sizes: PolicySizes, onForget: (number: Row) => void) {
    this.#chance = sizes.chance
    this.#tree = new LeafTree(sizes.rowMax)
    this.#leaves = new LeafPool(sizes.rowMax, this.#tree, shape, sizes.chance, (row, atMs) =>
      this.#worth(row, atMs),
    )
    this.#safe = new LeafSet(sizes.rowMax)
    this.#memory = new BlockMemory(
      sizes.rowMax,
      knownCount(sizes.capacityBlocks),
      this.#tree,
      onForget,
      learning,
    )
    this.#index = new StopIndex(this.#memory.curves, nearness)
  }

  over(below: TierBelow): void {
    this.#below = below
  }

  onVisit(
    rows: Int32Array,
    count: number,
    _readyCount: number,
    nowMs: number,
    notes: VisitNotes = noNotes,
  ): void {
    this.#leaves.expire()
    this.#path.begin(rows, count, 0)
    if (count > 0) this.#clockMs += visitMs
    this.#memory.visit(rows, count, this.#at(nowMs), notes)
    for (let at = 0; at < count; at += 1) {
      const row = rows[at] as number
      if (this.#tree.isResident(row)) this.#tree.mark(row)
    }
  }

  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number): void {
    this.#path.passed(position)
    this.#memory.late(row, position, chainLength, this.#at(nowMs))
    this.#tree.add(row, parent)
    if (this.#below.holds(row)) {
      this.#safe.add(row)
      return
    }
    this.#leaves.remove(parent)
    this.#leaves.add(row)
  }

  onStoredBelow(row: Row): void {
    if (!this.#tree.isResident(row)) return
    this.#leaves.remove(row)
    this.#safe.add(row)
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
    this.#safe.remove(row)
    const parent = this.#tree.drop(row)
    if (parent !== noRow && !this.#safe.has(parent)) this.#leaves.add(parent)
    if (!evicted) return
    this.#evictions += 1
    if (this.#evictions >= Math.max(relearnEvictionsMin, this.#tree.count >> 2))
      this.#relearn(this.#at(nowMs))
  }

  victim(held: (row: Row) => boolean, nowMs: number): Row {
    const atMs = this.#at(nowMs)
    if (!this.#learned) this.#relearn(atMs)
    const leaf = this.#leaves.poorest(held, atMs)
    const safe = this.#lowestSafe(held, atMs)
    if (leaf === noRow && safe === noRow) return this.#anyFree(held)
    const leafWorth = leaf === noRow ? Number.POSITIVE_INFINITY : this.#worth(leaf, atMs)
    const safeWorth = safe === noRow ? Number.POSITIVE_INFINITY : this.#near(safe, atMs)
    const best = safeWorth <= leafWorth ? safe : leaf
    return this.#isWorthIt(Math.min(safeWorth, leafWorth), atMs) ? best : noRow
  }

  /** Also on the path that is served: what the tier below holds leaves no gap behind. */
  #lowestSafe(held: (row: Row) => boolean, atMs: number): Row {
    let best = noRow
    let lowest = Number.POSITIVE_INFINITY
    for (let draw = 0; draw < safeDraws && this.#safe.length > 0; draw += 1) {
      const row = this.#safe.pick(this.#chance())
      if (held(row) || !this.#isSafe(row)) continue
      const worth = this.#near(row, atMs)
      if (worth >= lowest) continue
      lowest = worth
      best = row
    }
    return best
  }

  /** A block that the tier below gave up in the meantime is in doubt again. */
  #isSafe(row: Row): boolean {
    if (this.#below.holds(row)) return true
    this.#safe.remove(row)
    if (this.#tree.childrenOf(row) === 0) this.#leaves.add(row)
    return false
  }

  /** Whether the block that is to be brought in is worth the place of one that is worth `lowest`. One that is held below may be
   *  left out without ending the chain. */
  #isWorthIt(lowest: number, atMs: number): boolean {
    const position = this.#path.nextAbsent(this.#tree)
    const next = position < 0 ? noRow : this.#path.rowAt(position)
    if (next === noRow) return true
    if (!this.#below.holds(next)) return this.#worth(next, atMs) >= lowest
    if (this.#near(next, atMs) >= lowest) return true
    this.#path.passed(position)
    return false
  }

  #near(row: Row, atMs: number): number {
    return nearness * this.#memory.worth(row, atMs)
  }

  #worth(row: Row, atMs: number): number {
    return this.#index.at(this.#memory.classOf(row), atMs - this.#memory.lastUseMs(row))
  }

  chanceOfUse(row: Row, nowMs: number, horizonMs: number): number | null {
    return this.#learned ? this.#memory.chanceOfUse(row, this.#at(nowMs), horizonMs) : null
  }

  forget(number: Row, nowMs: number): void {
    this.#memory.forget(number, this.#at(nowMs))
  }

  #relearn(atMs: number): void {
    this.#memory.relearn(atMs)
    this.#index.learned(this.#below.bar, this.#below.stayMs())
    this.#learned = true
    this.#leaves.expire()
    this.#evictions = 0
  }

  #at(nowMs: number): number {
    return nowMs + this.#clockMs
  }

  #anyFree(held: (row: Row) => boolean): Row {
    for (let place = 0; place < this.#safe.length; place += 1) {
      const row = this.#safe.at(place)
      if (!this.#tree.onPath(row) && !held(row)) return row
    }
    return noRow
  }
}

export function probationPolicy(sizes: PolicySizes): EvictionPolicy {
  return rememberingPolicy(
    sizes,
    knownCount(sizes.capacityBlocks),
    (own, onForget) => new Probation(own, onForget),
  )
}
