import { blockClassCount, blockClassOf } from './block-class.ts'
import { noRow, type Row, type VisitNotes } from './eviction.ts'
import { FineKinds, leadsMin } from './fine-kinds.ts'
import { RefinementTrial } from './refinement-trial.ts'
import { type Learning, ReuseCurves, soberLearning } from './reuse-curves.ts'
import { RootGroups } from './root-groups.ts'
import { RowLists } from './row-lists.ts'

/** Applications with curves of their own, and one slot for the rest. */
const groupSlots = 8
/** Kinds of blocks with a hint or an answer, at most. */
const fineKindMax = 4_096
const firstFineKind = 1 + blockClassCount * (1 + groupSlots)

/** Blocks that are remembered although they are not resident: this many times the capacity, or the floor.
 *  Why: a block has to be remembered for as long as it may sensibly come back; it costs about 60 bytes. */
const rememberedPerBlock = 4
const rememberedMin = 65_536

const remembered = 1
/** Numbers per known block up to which all numbers are walked. */
const numbersPerKnown = 8

/** Weight of the newest gap between uses. Why: the last gap alone says more of a conversation, the mean more of a
 *  document that many ask about. */
const newestGapWeight = 0.6

/** Branches from which on a block is a place where sessions begin. Why 3: a conversation that goes on branches once,
 *  where its partial last block was. */
const hubBranches = 3

/** Kinds: 0 is everything, then one per block class, then one per group and block class, then the fine ones. */
function kindTree(): Int32Array {
  const parents = new Int32Array(firstFineKind + fineKindMax)
  for (let kind = 1; kind < parents.length; kind += 1) {
    if (kind >= firstFineKind) parents[kind] = kind
    else parents[kind] = kind <= blockClassCount ? 0 : 1 + ((kind - 1) % blockClassCount)
  }
  return parents
}

/** The blocks that a tier holds now. */
export type Residents = { readonly count: number; isResident(number: Row): boolean }

/** What is known of every block that was seen lately, resident or not, and the curves learned from it. */
export class BlockMemory {
  readonly curves: ReuseCurves
  /** 0 for a block that is not known. */
  readonly #uses: Int32Array
  /** Per block when it was used last, in milliseconds, and its class: side by side, because both are asked for at once. */
  readonly #lastUseAndClass: Float64Array
  readonly #gapMs: Float64Array
  readonly #newWith: Int32Array
  readonly #turn: Int32Array
  /** Different blocks that followed this one, saturating. */
  readonly #branches: Uint8Array
  readonly #fine: FineKinds
  readonly #groups = new RootGroups(groupSlots)
  /** Known blocks, the one that was used last at the head. */
  readonly #order: RowLists
  readonly #knownMax: number
  /** Told when a number is forgotten, so that it may name another block. */
  readonly #onForget: (number: Row) => void
  readonly #residents: Residents
  turnNow = 0
  /** Beyond the largest number that was ever known. */
  #numberEnd = 0
  #knownAhead = 0

  constructor(
    numberMax: number,
    /** Blocks that are known at most, see `rememberedCount`. */
    knownMax: number,
    residents: Residents,
    onForget: (number: Row) => void,
    learning: Learning = soberLearning,
  ) {
    const kindEnd = firstFineKind + fineKindMax
    const onTrial = learning.refinements === 'on-trial'
    const trial = onTrial ? new RefinementTrial(firstFineKind, kindEnd, leadsMin) : null
    this.curves = new ReuseCurves(kindTree(), learning, trial)
    this.#fine = new FineKinds(this.curves, firstFineKind, kindEnd, learning.answerEdges)
    this.#uses = new Int32Array(numberMax)
    this.#lastUseAndClass = new Float64Array(2 * numberMax)
    this.#gapMs = new Float64Array(numberMax)
    this.#newWith = new Int32Array(numberMax)
    this.#turn = new Int32Array(numberMax)
    this.#branches = new Uint8Array(numberMax)
    this.#order = new RowLists(numberMax, 1)
    this.#knownMax = knownMax
    this.#residents = residents
    this.#onForget = onForget
  }

  classOf(number: Row): number {
    return this.#lastUseAndClass[2 * number + 1] as number
  }

  lastUseMs(number: Row): number {
    return this.#lastUseAndClass[2 * number] as number
  }

  /** Uses per second that a place for this block is expected to bring. */
  worth(number: Row, nowMs: number): number {
    return this.curves.worthAt(this.classOf(number), nowMs - this.lastUseMs(number))
  }

  /** Chance that the block is used within the next `horizonMs`; null for a block that is not known. */
  chanceOfUse(number: Row, nowMs: number, horizonMs: number): number | null {
    if (this.#uses[number] === 0) return null
    const ageMs = nowMs - this.lastUseMs(number)
    return this.curves.chanceOfUse(this.classOf(number), ageMs, horizonMs)
  }

  /** A request uses the chain `numbers[0..count)`; `noRow` where a block has no number. */
  visit(numbers: Int32Array, count: number, nowMs: number, notes: VisitNotes): void {
    let known = 0
    while (known < count && numbers[known] !== noRow && this.#uses[numbers[known] as number] !== 0) known += 1
    // One common block alone is no known session.
    this.turnNow = known > 1 ? (this.#turn[numbers[known - 1] as number] as number) + 1 : 0
    this.#knownAhead = known
    const root = count > 0 ? (numbers[0] as number) : noRow
    const group = root === noRow ? 0 : this.#groups.groupOf(root)
    if (known > 0 && (this.#branches[numbers[known - 1] as number] as number) >= hubBranches)
      this.#groups.started(root)
    this.#fine.hinted(notes.hint, notes.hintIsGuess === true)
    const firstClass = 1 + blockClassCount * (1 + group)
    if (known > 0 && known < count) this.#branch(numbers[known - 1] as number)
    // From last to first: the root is then the last to be forgotten.
    for (let at = count - 1; at >= 0; at -= 1) {
      const number = numbers[at] as number
      if (number === noRow) continue
      this.#use(number, nowMs, count - known, at === count - 1, firstClass)
      if (at >= known - 1) this.#turn[number] = this.turnNow
    }
    this.#forgetOldest(nowMs)
  }

  /** The request with this chain was answered. */
  answered(numbers: Int32Array, count: number, answerTokens: number): void {
    if (answerTokens === 0) return
    for (let at = 0; at < count; at += 1) {
      const number = numbers[at] as number
      if (number === noRow || this.#uses[number] === 0) continue
      this.#putInto(this.#fine.answered(this.classOf(number), answerTokens), number)
    }
  }

  #putInto(ofClass: number, number: Row): void {
    this.curves.want(ofClass)
    this.#lastUseAndClass[2 * number + 1] = ofClass
  }

  /** A block that had no number when its visit began. */
  late(number: Row, position: number, chainLength: number, nowMs: number): void {
    if (this.#uses[number] !== 0) return
    const newCount = chainLength - this.#knownAhead
    this.#use(number, nowMs, newCount, position === chainLength - 1, 1 + blockClassCount)
    this.#turn[number] = this.turnNow
  }

  #branch(number: Row): void {
    const branches = this.#branches[number] as number
    if (branches < 255) this.#branches[number] = branches + 1
  }

  #use(number: Row, nowMs: number, newCount: number, isTail: boolean, firstClass: number): void {
    const before = this.#uses[number] as number
    if (before === 0) {
      this.#newWith[number] = newCount
      this.#branches[number] = 0
      if (number >= this.#numberEnd) this.#numberEnd = number + 1
      this.#order.pushHead(remembered, number)
    } else {
      const gapMs = nowMs - this.lastUseMs(number)
      this.curves.reused(this.classOf(number), gapMs)
      const smoothed = this.#gapMs[number] as number
      this.#gapMs[number] = before === 1 ? gapMs : smoothed + newestGapWeight * (gapMs - smoothed)
      this.#order.refresh(remembered, number)
    }
    this.#uses[number] = before + 1
    this.#lastUseAndClass[2 * number] = nowMs
    const blockClass = blockClassOf(
      before + 1,
      this.#gapMs[number] as number,
      this.#newWith[number] as number,
      this.turnNow,
      isTail,
    )
    this.#putInto(this.#fine.of(firstClass + blockClass, 1 + blockClass), number)
  }

  /** Forgets what was used longest ago, beyond the bound. A resident block stays known: it moves to the head. */
  #forgetOldest(nowMs: number): void {
    // A tier may come to hold more blocks than was thought; they stay known, and some absent ones beside them.
    const knownMax = Math.max(this.#knownMax, this.#residents.count + rememberedMin)
    for (let over = this.#order.lengthOf(remembered) - knownMax; over > 0; over -= 1) {
      const number = this.#order.tail(remembered)
      if (this.#residents.isResident(number)) this.#order.refresh(remembered, number)
      else this.forget(number, nowMs)
    }
  }

  forget(number: Row, nowMs: number): void {
    if (this.#uses[number] === 0) return
    this.curves.forgotten(this.classOf(number), nowMs - this.lastUseMs(number))
    this.#uses[number] = 0
    this.#order.remove(number)
    this.#onForget(number)
  }

  /** Tells the curves of every known block. By number while most numbers are known: memory is then read in order, several times as
   *  fast as along the list. */
  #countOpen(nowMs: number): void {
    if (this.#numberEnd > numbersPerKnown * this.#order.lengthOf(remembered)) {
      for (let at = this.#order.head(remembered); at !== noRow; at = this.#order.older(at)) {
        this.curves.stillOpen(this.classOf(at), nowMs - this.lastUseMs(at), 1)
      }
      return
    }
    // Neighbours mostly came with one request, so they are told of together.
    let runClass = -1
    let runLastMs = 0
    let runLength = 0
    for (let at = 0; at < this.#numberEnd; at += 1) {
      if (this.#uses[at] === 0) continue
      const ofClass = this.classOf(at)
      const lastMs = this.lastUseMs(at)
      if (ofClass !== runClass || lastMs !== runLastMs) {
        if (runLength > 0) this.curves.stillOpen(runClass, nowMs - runLastMs, runLength)
        runClass = ofClass
        runLastMs = lastMs
        runLength = 0
      }
      runLength += 1
    }
    if (runLength > 0) this.curves.stillOpen(runClass, nowMs - runLastMs, runLength)
  }

  /** Works the curves out anew from all that is known now. */
  relearn(nowMs: number): void {
    this.curves.beginRelearn()
    this.#countOpen(nowMs)
    this.curves.relearn()
    for (const slot of this.#groups.assign()) {
      const first = 1 + blockClassCount * (1 + slot)
      for (let kind = first; kind < first + blockClassCount; kind += 1) this.#fine.clear(kind)
    }
  }
}

/** How many blocks a policy of this capacity remembers at most, resident ones included. */
export function rememberedCount(capacityBlocks: number): number {
  return Math.max(rememberedMin, rememberedPerBlock * capacityBlocks) + capacityBlocks
}
