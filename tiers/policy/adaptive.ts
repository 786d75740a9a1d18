import { Arc } from './arc.ts'
import { type EvictionPolicy, noRow, type PolicySizes, type Row } from './eviction.ts'
import { Hazard } from './hazard.ts'
import { LeafTree } from './leaf-tree.ts'
import { Lru } from './lru.ts'
import { type RememberingPolicy, rememberingPolicy } from './named-eviction.ts'
import { RowHand } from './row-hand.ts'
import { RowLists } from './row-lists.ts'
import { S3Fifo } from './s3-fifo.ts'
import { ServedPath } from './served-path.ts'
import { FlatShadow, leadingIn, type Shadow, TreeShadow } from './shadow.ts'
import { TinyLfu } from './tiny-lfu.ts'

/** Visits after which a score has lost half of its weight. */
const halfLifeVisits = 3_000
/** How much better than the followed shadow another must be. */
const switchRatio = 1.02
/** Blocks looked at per eviction, for one that the followed shadow gave up too. */
const searchSteps = 32
/** Blocks that are known although they are not resident: this many times the capacity, or the floor. Why: each of five
 *  shadows may hold others than the tier does, and remembers some more. */
const knownPerBlock = 4
const knownMin = 65_536

const resident = 1
/** List of the known blocks, the one that was used last at the head. */
const known = 1

function shadowsOf(sizes: PolicySizes): readonly Shadow[] {
  const { rowMax, capacityBlocks, chance } = sizes
  const flat = (policy: ConstructorParameters<typeof FlatShadow>[0]): Shadow =>
    new FlatShadow(policy, capacityBlocks, rowMax)
  const named = { rowMax, capacityBlocks, chance, rowsAreNames: true }
  const hazard = new Hazard('hazard', named, { ages: 'time', draws: 16, kept: 2, decay: 0.97 })
  return [
    flat(new Lru(rowMax)),
    flat(new S3Fifo(rowMax, capacityBlocks, 1)),
    flat(new Arc(rowMax, capacityBlocks)),
    flat(new TinyLfu(rowMax, capacityBlocks, 0.01)),
    new TreeShadow(hazard, capacityBlocks, rowMax),
  ]
}

/** Follows whichever of five shadow caches hit most lately: gives up leaves that the shadow gave up too, the oldest where it finds
 *  none, and refuses what the shadow refuses. Safe, but it pays for every switch. */
class Adaptive implements RememberingPolicy {
  readonly name = 'adaptive'
  readonly #shadows: readonly Shadow[]
  readonly #scores: Float64Array
  readonly #fade = 0.5 ** (1 / halfLifeVisits)
  readonly #tree: LeafTree
  /** Resident blocks in the order of use, leaf-first. */
  readonly #order: RowLists
  readonly #known: RowLists
  readonly #knownMax: number
  readonly #onForget: (number: Row) => void
  #followed = 0
  /** Where the search goes on. Why not at the oldest each time: what the shadow still held a moment ago it mostly still
   *  holds. */
  readonly #hand: RowHand
  readonly #path = new ServedPath()

  constructor(sizes: PolicySizes, onForget: (number: Row) => void) {
    this.#shadows = shadowsOf(sizes)
    this.#scores = new Float64Array(this.#shadows.length)
    this.#tree = new LeafTree(sizes.rowMax)
    this.#order = new RowLists(sizes.rowMax, 1)
    this.#hand = new RowHand(this.#order, resident)
    this.#known = new RowLists(sizes.rowMax, 1)
    this.#knownMax = knownCount(sizes.capacityBlocks)
    this.#onForget = onForget
  }

  onVisit(numbers: Int32Array, count: number, readyCount: number, nowMs: number): void {
    this.#path.begin(numbers, count, readyCount)
    if (count === 0) return
    for (const [at, shadow] of this.#shadows.entries()) {
      this.#scores[at] = (this.#scores[at] as number) * this.#fade + leadingIn(shadow, numbers, count)
      shadow.serve(numbers, count, nowMs)
    }
    for (const [at, score] of this.#scores.entries()) {
      if (score > (this.#scores[this.#followed] as number) * switchRatio) this.#followed = at
    }
    for (let at = count - 1; at >= 0; at -= 1) {
      const number = numbers[at] as number
      if (number === noRow) continue
      this.#use(number)
      if (!this.#tree.isResident(number)) continue
      this.#tree.mark(number)
      this.#refresh(number)
    }
    this.#forgetOldest(nowMs)
  }

  reorder(numbers: Int32Array, count: number): void {
    for (let at = count - 1; at >= 0; at -= 1) this.#refresh(numbers[at] as number)
  }

  #refresh(number: Row): void {
    if (!this.#tree.isResident(number)) return
    this.#hand.leaves(number)
    this.#order.refresh(resident, number)
  }

  onAdd(number: Row, parent: Row, position: number): void {
    this.#use(number)
    this.#tree.add(number, parent)
    this.#order.pushHead(resident, number)
    this.#path.passed(position)
  }

  /** Blocks that came together are put in their order: the root is the last to leave. */
  onVisitEnd(): void {
    this.#path.eachFromEnd((number) => this.#refresh(number))
    this.#tree.unmark(() => {})
    this.#path.end()
  }

  onDrop(number: Row): void {
    this.#tree.drop(number)
    this.#hand.leaves(number)
    this.#order.remove(number)
  }

  victim(held: (number: Row) => boolean): Row {
    const shadow = this.#shadows[this.#followed] as Shadow
    if (this.#refusesNext(shadow)) return noRow
    for (let step = 0; step < searchSteps; step += 1) {
      const number = this.#hand.next()
      if (number === noRow) break
      if (!shadow.holds(number) && this.#tree.mayLeave(number) && !held(number)) return number
    }
    let oldest = this.#order.tail(resident)
    while (oldest !== noRow && (!this.#tree.mayLeave(oldest) || held(oldest)))
      oldest = this.#order.newer(oldest)
    return oldest
  }

  forget(number: Row, nowMs: number): void {
    if (this.#known.listOf(number) !== known) return
    this.#known.remove(number)
    for (const shadow of this.#shadows) shadow.forget(number, nowMs)
    this.#onForget(number)
  }

  #refusesNext(shadow: Shadow): boolean {
    const next = this.#path.nextAbsent(this.#tree)
    return next >= 0 && !shadow.holds(this.#path.rowAt(next))
  }

  #use(number: Row): void {
    if (this.#known.listOf(number) === known) this.#known.refresh(known, number)
    else this.#known.pushHead(known, number)
  }

  /** Forgets what was used longest ago, beyond the bound. A resident block stays known. */
  #forgetOldest(nowMs: number): void {
    const knownMax = Math.max(this.#knownMax, this.#tree.count + knownMin)
    for (let over = this.#known.lengthOf(known) - knownMax; over > 0; over -= 1) {
      const number = this.#known.tail(known)
      if (this.#tree.isResident(number)) this.#known.refresh(known, number)
      else this.forget(number, nowMs)
    }
  }
}

function knownCount(capacityBlocks: number): number {
  return Math.max(knownMin, knownPerBlock * capacityBlocks) + capacityBlocks
}

export function adaptivePolicy(sizes: PolicySizes): EvictionPolicy {
  return rememberingPolicy(
    sizes,
    knownCount(sizes.capacityBlocks),
    (own, onForget) => new Adaptive(own, onForget),
  )
}
