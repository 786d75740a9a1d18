import {
  type AdmissionFacts,
  type AdmissionPolicy,
  admitWithin,
  chanceMin,
  type Pressure,
  pressureOf,
} from '../../tiers/policy/admission.ts'
import {
  type EvictionPolicy,
  noNotes,
  noRow,
  type Row,
  type VisitNotes,
} from '../../tiers/policy/eviction.ts'
import { holdsNothing } from '../../tiers/policy/flat.ts'
import { RowLists } from '../../tiers/policy/row-lists.ts'
import type { WriteBudget } from '../../tiers/policy/write-budget.ts'
import type { Trace } from '../trace/trace.ts'

/** One tier of a stack, top first. */
export type TierSetup = {
  readonly name: string
  readonly capacityBlocks: number
  readonly policy: EvictionPolicy
  /** Asked before the tier above hands a block down; null for the top tier. */
  readonly admission: AdmissionPolicy | null
  /** Blocks it may be written per day; null without a limit. */
  readonly budget: WriteBudget | null
  /** It must be servable alone after a restart: a block brings its missing ancestors along. */
  readonly survives: boolean
}

/** How blocks come to the second tier: when they are brought in, when the top gives them up, or so that a block is in
 *  one of the two only. */
export type Demotion = 'write-through' | 'demote' | 'exclusive'

const evictedGhost = 1
const refusedGhost = 2

/** A tier with what it holds and has done. */
class StackTier {
  readonly setup: TierSetup
  readonly resident: Uint8Array
  readonly #ghosts: RowLists
  count = 0
  hits = 0
  writes = 0
  evictions = 0
  refusals = 0

  constructor(setup: TierSetup, nodeCount: number) {
    this.setup = setup
    this.resident = new Uint8Array(nodeCount)
    this.#ghosts = new RowLists(nodeCount, 2)
  }

  /** Remembers that a block was let go, for the regret of the admission rule. */
  haunt(row: Row, list: number): void {
    if (this.#ghosts.listOf(row) !== 0) this.#ghosts.remove(row)
    this.#ghosts.pushHead(list, row)
    if (this.#ghosts.lengthOf(list) > this.setup.capacityBlocks) this.#ghosts.remove(this.#ghosts.tail(list))
  }

  refuse(row: Row): void {
    this.refusals += 1
    this.haunt(row, refusedGhost)
  }

  wished(row: Row): void {
    const list = this.#ghosts.listOf(row)
    if (list === 0) return
    this.#ghosts.remove(row)
    this.setup.admission?.regret(list === evictedGhost ? 'evicted' : 'refused')
  }
}

/** Several tiers under any policies: what the daemon does with its plans, on a simulated clock. */
export class TierStack {
  readonly #trace: Trace
  readonly #tiers: readonly StackTier[]
  readonly #demotion: Demotion
  readonly #uses: Int32Array
  readonly #flags: Uint8Array
  readonly #depth: Int32Array
  #nowMs = 0
  #startMs: number | null = null

  constructor(trace: Trace, tiers: readonly TierSetup[], demotion: Demotion) {
    this.#trace = trace
    this.#tiers = tiers.map((setup) => new StackTier(setup, trace.nodeCount))
    this.#demotion = demotion
    for (let level = 0; level < tiers.length; level += 1) this.#introduce(level)
    this.#uses = new Int32Array(trace.nodeCount)
    this.#flags = new Uint8Array(trace.nodeCount)
    this.#depth = new Int32Array(trace.nodeCount)
    for (let node = 0; node < trace.nodeCount; node += 1) {
      const parent = trace.parents[node] as number
      this.#depth[node] = parent === noRow ? 0 : (this.#depth[parent] as number) + 1
    }
  }

  /** Tells the policy of a tier about the tier below it. */
  #introduce(level: number): void {
    const below = this.#tiers[level + 1]
    if (below === undefined) return
    this.#tiers[level]?.setup.policy.over?.({
      holds: (row) => below.resident[row] === 1,
      stayMs: () => this.#pressureOf(below).residenceMs,
      bar: below.setup.admission?.bar ?? chanceMin,
    })
  }

  /** Serves one request, answered with so many tokens (0 when nobody knows); tells its leading blocks that were in any tier. The
   *  policies of all tiers hear the notes. */
  serve(path: Int32Array, nowMs: number, answerTokens: number, notes: VisitNotes = noNotes): number {
    this.#nowMs = nowMs
    this.#startMs ??= nowMs
    const ready = this.#lookUp(path)
    for (const { setup } of this.#tiers) setup.admission?.served(path.length)
    for (let at = 0; at < path.length; at += 1) {
      const row = path[at] as number
      this.#uses[row] = (this.#uses[row] as number) + 1
      if (ready >= 2) this.#flags[row] = (this.#flags[row] as number) | knownFlag
      if (at >= ready) for (const tier of this.#tiers) tier.wished(row)
    }
    for (let level = this.#tiers.length - 1; level >= 0; level -= 1) {
      const { policy } = (this.#tiers[level] as StackTier).setup
      policy.onVisit(path, path.length, ready, nowMs, notes)
      policy.onAnswer?.(path, path.length, answerTokens)
      if (level > 0) policy.onVisitEnd()
    }
    this.#bringIn(path)
    return ready
  }

  #lookUp(path: Int32Array): number {
    let ready = 0
    for (; ready < path.length; ready += 1) {
      const row = path[ready] as number
      const tier = this.#tiers.find(({ resident }) => resident[row] === 1)
      if (tier === undefined) break
      tier.hits += 1
    }
    return ready
  }

  #bringIn(path: Int32Array): void {
    const top = this.#tiers[0] as StackTier
    const { policy } = top.setup
    let at = 0
    for (; at < path.length; at += 1) {
      const row = path[at] as number
      if (top.resident[row] === 1) continue
      if (!this.#makeRoom(0)) {
        if (policy.over !== undefined && this.#tiers[1]?.resident[row] === 1) continue
        break
      }
      policy.onAdd(row, this.#trace.parents[row] as number, at, path.length, this.#nowMs, row)
      top.resident[row] = 1
      top.count += 1
      top.writes += 1
      if (this.#demotion === 'exclusive') this.#removeFrom(1, row)
      if (this.#demotion === 'write-through') this.#handDown(row, 1, policy)
    }
    // What the top refuses may still be worth a place below.
    for (; at < path.length; at += 1) {
      const row = path[at] as number
      if (top.resident[row] === 0) this.#handDown(row, 1, policy)
    }
    policy.onVisitEnd()
  }

  #makeRoom(level: number, held: (row: Row) => boolean = holdsNothing): boolean {
    const tier = this.#tiers[level] as StackTier
    const { capacityBlocks, policy, admission } = tier.setup
    if (tier.count < capacityBlocks) return true
    const victim = policy.victim(held, this.#nowMs)
    if (victim === noRow) return false
    if (level > 0 || this.#demotion !== 'write-through') this.#handDown(victim, level + 1, policy)
    policy.onDrop(victim, true, this.#nowMs)
    tier.resident[victim] = 0
    tier.count -= 1
    tier.evictions += 1
    if (level > 0) tier.haunt(victim, evictedGhost)
    admission?.evicted()
    this.#flags[victim] = (this.#flags[victim] as number) | evictedFlag
    return true
  }

  #removeFrom(level: number, row: Row): void {
    const tier = this.#tiers[level]
    if (tier === undefined || tier.resident[row] === 0) return
    tier.setup.policy.onDrop(row, false, this.#nowMs)
    tier.resident[row] = 0
    tier.count -= 1
  }

  /** Offers a block that `from` gives up to a tier; the tier may refuse. */
  #handDown(row: Row, level: number, from: EvictionPolicy): void {
    const tier = this.#tiers[level]
    if (tier === undefined || tier.resident[row] === 1) return
    const { capacityBlocks, admission, budget, survives, policy } = tier.setup
    if ((this.#depth[row] as number) + 1 > capacityBlocks && survives) return
    if (
      admission !== null &&
      !admitWithin(admission, this.#factsOf(row, from, policy), this.#pressureOf(tier)).ok
    ) {
      tier.refuse(row)
      return
    }
    const chain: Row[] = []
    for (
      let node = row;
      node !== noRow && tier.resident[node] === 0;
      node = this.#trace.parents[node] as number
    ) {
      chain.push(node)
      if (!survives) break
    }
    if (budget !== null && budget.usedWith(chain.length, this.#nowMs) > 1) {
      tier.refuse(row)
      return
    }
    budget?.wrote(chain.length, this.#nowMs)
    // Making room must not take the block that the chain hangs on.
    const hook = this.#trace.parents[chain.at(-1) ?? row] as number
    const isHook = (candidate: Row): boolean => candidate === hook
    let stored = 0
    for (const node of chain.reverse()) {
      if (!this.#makeRoom(level, isHook)) break
      stored += 1
      const depth = this.#depth[node] as number
      policy.onAdd(node, this.#trace.parents[node] as number, depth, depth + 1, this.#nowMs, node)
      tier.resident[node] = 1
      tier.count += 1
      tier.writes += 1
      const above = this.#tiers[level - 1]
      if (above?.resident[node] === 1) above.setup.policy.onStoredBelow?.(node)
    }
    policy.onVisitEnd()
    admission?.stored(stored)
  }

  /** The tier below remembers blocks for longer than the one above, so it is asked first for the chance of a use; unless the
   *  one above has kept the block for the sake of just this question. */
  #factsOf(row: Row, above: EvictionPolicy, below: EvictionPolicy): AdmissionFacts {
    const flags = this.#flags[row] as number
    const [first, second] = above.over === undefined ? [below, above] : [above, below]
    const chance = (horizonMs: number): number | null =>
      first.chanceOfUse?.(row, this.#nowMs, horizonMs, row) ??
      second.chanceOfUse?.(row, this.#nowMs, horizonMs, row) ??
      null
    return {
      uses: this.#uses[row] as number,
      evictedBefore: (flags & evictedFlag) !== 0,
      knownPrefix: (flags & knownFlag) !== 0,
      chanceOfUse: chance(0) === null ? null : (horizonMs) => chance(horizonMs) ?? 1,
    }
  }

  #pressureOf(tier: StackTier): Pressure {
    return pressureOf({
      heldBlocks: tier.count,
      capacityBlocks: tier.setup.capacityBlocks,
      writtenBlocks: tier.writes,
      elapsedMs: this.#nowMs - (this.#startMs ?? 0),
      budgetUsed: tier.setup.budget?.usedWith(1, this.#nowMs) ?? 0,
    })
  }

  /** Leading hits so far, by the highest tier that held the block. */
  hitsByTier(): readonly number[] {
    return this.#tiers.map(({ hits }) => hits)
  }

  /** What each tier did, top first. */
  report(): readonly TierReport[] {
    return this.#tiers.map((tier) => ({
      name: tier.setup.name,
      capacityBlocks: tier.setup.capacityBlocks,
      hits: tier.hits,
      writes: tier.writes,
      evictions: tier.evictions,
      refusals: tier.refusals,
      heldBlocks: tier.count,
      orphans: this.#orphansOf(tier),
    }))
  }

  #orphansOf(tier: StackTier): number {
    const reachable = new Uint8Array(this.#trace.nodeCount)
    let orphans = 0
    for (let node = 0; node < this.#trace.nodeCount; node += 1) {
      if (tier.resident[node] === 0) continue
      const parent = this.#trace.parents[node] as number
      if (parent === noRow || reachable[parent] === 1) reachable[node] = 1
      else orphans += 1
    }
    return orphans
  }
}

const evictedFlag = 1
const knownFlag = 2

export type TierReport = {
  readonly name: string
  readonly capacityBlocks: number
  readonly hits: number
  readonly writes: number
  readonly evictions: number
  readonly refusals: number
  readonly heldBlocks: number
  readonly orphans: number
}
