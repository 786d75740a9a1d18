import type { World } from './block/clock.ts'
import type { BlockKey } from './block/id.ts'
import { admissionDryMs, blockBytesMin, pastBlocksMax } from './block/limits.ts'
import type { StoreMeter } from './metrics.ts'
import {
  type AdmissionEntry,
  type AdmissionPolicy,
  admitWithin,
  chanceMin,
  type Pressure,
  pressureOf,
  type Verdict,
} from './policy/admission.ts'
import type { BlockPast } from './policy/block-past.ts'
import { Ghosts } from './policy/ghosts.ts'
import { WriteBudget } from './policy/write-budget.ts'
import type { Identity } from './table.ts'
import type { AdmissionUsage, ColdTier, TierChange } from './tier.ts'

/** When blocks are offered to a tier below: as soon as they are stored or used, or only when host memory gives them up (and at a
 *  stop). The words are the bench's. */
export const demotions = ['write-through', 'demote'] as const
export type DemotionMode = (typeof demotions)[number]

/** What is set in front of one tier. */
export type AdmissionSetting = {
  readonly rule: AdmissionEntry
  readonly demotion: DemotionMode
  /** 0 for no limit. */
  readonly writeBytesPerDay: number
}

/** What tiers say of a block's chances: the one below is asked first, it remembers for longer. */
export type ChanceOfUse = (key: BlockKey, horizonMs: number) => number | null

type TierAdmissionParts = {
  readonly tier: ColdTier
  readonly setting: AdmissionSetting
  readonly past: BlockPast<BlockKey>
  readonly chanceOf: ChanceOfUse
  readonly world: World
  readonly meter: StoreMeter
}

/** The admission rule in front of one tier, with what it has to be told. It decides nothing itself but the end of the write
 *  budget: past that, nothing is written whatever the rule says. */
export class TierAdmission {
  readonly demotion: DemotionMode
  readonly #parts: TierAdmissionParts
  readonly #rule: AdmissionPolicy
  readonly #budget: WriteBudget | null
  readonly #ghosts = new Ghosts<BlockKey>()
  readonly #sinceMs: number
  readonly #refusals = new Map<string, number>()
  #writtenBlocks = 0
  #payloadBytes = blockBytesMin
  #offeredBlocks = 0
  #dry: { readonly fromMs: number; toMs: number; blocks: number; isTold: boolean } | null = null

  constructor(parts: TierAdmissionParts) {
    const { setting, world } = parts
    this.#parts = parts
    this.demotion = setting.demotion
    this.#rule = setting.rule.make()
    this.#sinceMs = world.nowMs()
    this.#budget =
      setting.writeBytesPerDay === 0 ? null : new WriteBudget(setting.writeBytesPerDay, this.#sinceMs)
  }

  /** Whether the tier takes a block that is offered to it. Every answer is counted, a refusal by its reason. */
  admits(identity: Identity): 'admitted' | 'refused' {
    const { meter, tier, world } = this.#parts
    const nowMs = world.nowMs()
    const { capacityBlocks, verdict } = this.#judge(identity, nowMs)
    this.#offeredBlocks += 1
    meter.add('terrace_tier_offered_blocks_total', { tier: tier.name })
    if (verdict.ok) return 'admitted'
    this.refused(identity.key, verdict.reason, Math.min(capacityBlocks, pastBlocksMax))
    return 'refused'
  }

  #judge(
    { key, payloadBytes }: Identity,
    nowMs: number,
  ): { readonly verdict: Verdict; readonly capacityBlocks: number } {
    const { past, chanceOf } = this.#parts
    this.#payloadBytes = payloadBytes
    const pressure = this.#pressureAt(nowMs)
    const chanceOfUse =
      chanceOf(key, 0) === null ? null : (horizonMs: number): number => chanceOf(key, horizonMs) ?? 1
    const verdict = admitWithin(this.#rule, { ...past.factsOf(key), chanceOfUse }, pressure)
    return { verdict, capacityBlocks: pressure.capacityBlocks }
  }

  /** The state of the tier, for a block of the size that was offered last. */
  #pressureAt(nowMs: number): Pressure {
    const { tier } = this.#parts
    return pressureOf({
      heldBlocks: tier.usage().blockCount,
      capacityBlocks: tier.blocksMaxOf(this.#payloadBytes),
      writtenBlocks: this.#writtenBlocks,
      elapsedMs: nowMs - this.#sinceMs,
      budgetUsed: this.#budget?.usedWith(this.#payloadBytes, nowMs) ?? 0,
    })
  }

  /** How long a block that is stored now may expect to stay, in milliseconds. */
  stayMs(): number {
    return this.#pressureAt(this.#parts.world.nowMs()).residenceMs
  }

  /** Chance of a use from which on a write pays. */
  get bar(): number {
    return this.#rule.bar ?? chanceMin
  }

  /** Counts a refusal: the rule's, or the flow's when the block could not be reached below. */
  refused(key: BlockKey, why: string, ghostsMax = pastBlocksMax): void {
    const { meter, tier, world } = this.#parts
    this.#ghosts.add(key, 'refused', ghostsMax)
    this.#refusals.set(why, (this.#refusals.get(why) ?? 0) + 1)
    meter.add('terrace_tier_refused_blocks_total', { tier: tier.name, why })
    const nowMs = world.nowMs()
    this.#dry ??= { fromMs: nowMs, toMs: nowMs, blocks: 0, isTold: false }
    this.#dry.toMs = nowMs
    this.#dry.blocks += 1
    if (this.#dry.isTold || nowMs - this.#dry.fromMs < admissionDryMs) return
    this.#dry.isTold = true
    meter.add('terrace_tier_dry_spells_total', { tier: tier.name })
  }

  /** An admitted block goes on its way, with the ancestors it brings along: from here on their bytes count as written. Why not when
   *  they are: a burst that waits in the queue would be admitted against a budget that it has used up already. */
  promise(identity: Identity, byteCount: number): 'promised' | 'refused' {
    const nowMs = this.#parts.world.nowMs()
    if (this.#budget !== null && this.#budget.usedWith(byteCount, nowMs) > 1) {
      this.refused(identity.key, 'budget')
      return 'refused'
    }
    this.#dry = null
    this.#budget?.wrote(byteCount, nowMs)
    return 'promised'
  }

  wrote(): void {
    this.#writtenBlocks += 1
    this.#rule.stored(1)
  }

  served(blockCount: number): void {
    this.#rule.served(blockCount)
  }

  /** A request wanted a block that no tier has. */
  wished(key: BlockKey): void {
    const kind = this.#ghosts.take(key)
    if (kind !== null) this.#rule.regret(kind)
  }

  /** Hears what left the tier to make room. */
  took(change: TierChange): void {
    if (change.kind !== 'gone' || change.why !== 'evicted') return
    const ghostsMax = Math.min(pastBlocksMax, Math.max(1, this.#parts.tier.usage().blockCount))
    for (const key of change.keys) {
      this.#rule.evicted()
      this.#ghosts.add(key, 'evicted', ghostsMax)
    }
  }

  usage(): AdmissionUsage {
    const dry = this.#dry
    return {
      rule: this.#parts.setting.rule.name,
      offeredBlocks: this.#offeredBlocks,
      refusedBlocksByWhy: Object.fromEntries(this.#refusals),
      budgetUsed: this.#budget?.usedWith(0, this.#parts.world.nowMs()) ?? null,
      dry: dry?.isTold === true ? { ms: dry.toMs - dry.fromMs, blocks: dry.blocks } : null,
    }
  }
}

/** The rules of a store's tiers and the memory they share. */
export class Admissions {
  readonly #past: BlockPast<BlockKey>
  readonly #tiers: readonly TierAdmission[]

  constructor(past: BlockPast<BlockKey>, tiers: readonly TierAdmission[]) {
    this.#past = past
    this.#tiers = tiers
  }

  /** A request asked for a chain of which the first `heldCount` blocks were held. */
  asked(keys: readonly BlockKey[], heldCount: number): void {
    this.#past.used(keys.slice(0, heldCount))
    if (heldCount >= 2) this.#past.known(keys)
    for (const tier of this.#tiers) {
      tier.served(keys.length)
      for (let at = heldCount; at < keys.length; at++) tier.wished(keys[at] as BlockKey)
    }
  }

  /** The request's own blocks came: its use of those that no tier had. */
  stored(keys: readonly BlockKey[]): void {
    this.#past.used(keys)
  }

  leftHost(key: BlockKey): void {
    this.#past.evicted(key)
  }
}
