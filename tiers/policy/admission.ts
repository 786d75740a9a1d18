/** What is known of a block when the tier above gives it up. */
export type AdmissionFacts = {
  /** Uses so far. */
  readonly uses: number
  /** It was given up by the tier above before. */
  readonly evictedBefore: boolean
  /** Some request that held it had at least two leading hits: it belongs to a known conversation. */
  readonly knownPrefix: boolean
  /** Chance that it is used within so many milliseconds, or null when nothing has been learned. */
  readonly chanceOfUse: ((horizonMs: number) => number) | null
}

/** The state of the tier below, as the caller measured it. */
export type Pressure = {
  /** Blocks that the tier holds now, and at most. */
  readonly heldBlocks: number
  readonly capacityBlocks: number
  /** Seconds that a newly stored block may expect to stay, from the rate of stores. */
  readonly residenceMs: number
  /** Bytes written in the budget's period over the bytes allowed in it; 0 without a budget. */
  readonly budgetUsed: number
}

/** What a caller counts of a tier. */
export type TierLoad = {
  readonly heldBlocks: number
  readonly capacityBlocks: number
  /** Blocks written since so long ago. */
  readonly writtenBlocks: number
  readonly elapsedMs: number
  readonly budgetUsed: number
}

/** Pressure from counts: a block stays for as long as the tier takes to be written once. */
export function pressureOf({ writtenBlocks, elapsedMs, ...load }: TierLoad): Pressure {
  const residenceMs = (load.capacityBlocks * Math.max(1, elapsedMs)) / Math.max(1, writtenBlocks)
  return { ...load, residenceMs }
}

/** What the rule says, except that nothing is written past the budget. */
export function admitWithin(rule: AdmissionPolicy, facts: AdmissionFacts, pressure: Pressure): Verdict {
  const verdict = rule.admit(facts, pressure)
  return verdict.ok && pressure.budgetUsed > 1 ? { ok: false, reason: 'budget' } : verdict
}

/** Why a block was stored below or let go: a label of the counters. */
export type AdmissionReason =
  | 'rule'
  | 'likely'
  | 'unlikely'
  | 'seldom_used'
  | 'unknown_prefix'
  | 'first_eviction'
  | 'budget'

export type Verdict = { readonly ok: boolean; readonly reason: AdmissionReason }

const yes: Verdict = { ok: true, reason: 'rule' }

/** Decides whether the tier below stores what the tier above gives up. */
export interface AdmissionPolicy {
  readonly name: string
  /** Chance of a use from which on it says yes, for a rule that asks for one. */
  readonly bar?: number
  admit(facts: AdmissionFacts, pressure: Pressure): Verdict
  /** A request of so many blocks was served. */
  served(blockCount: number): void
  /** So many blocks were written after a yes: the asked one and the ancestors that it brought along. */
  stored(blockCount: number): void
  /** A wished-for block had been evicted by the tier, or refused by this rule: regret, by kind. */
  regret(kind: 'evicted' | 'refused'): void
  /** The tier evicted a block. */
  evicted(): void
}

const deaf = { served: () => {}, stored: () => {}, regret: () => {}, evicted: () => {} }

/** A rule without memory. */
function fixed(
  name: string,
  refuses: AdmissionReason,
  holds: (facts: AdmissionFacts) => boolean,
): AdmissionPolicy {
  const no: Verdict = { ok: false, reason: refuses }
  return { name, admit: (facts) => (holds(facts) ? yes : no), ...deaf }
}

/** Blocks written or refused between two looks at the level of the bar. */
const windowBlocks = 1_024
/** How much larger one regret must be than the other before the bar moves. */
const regretMargin = 1.2

/** Raises the bar while the tier evicts what is wished for more often than it refuses it, or while the budget is
 *  overdrawn; lowers it in the opposite case. Bars: everything, known or used twice, used twice, second eviction. */
class PressureAdmission implements AdmissionPolicy {
  readonly name = 'pressure'
  #level = 0
  #asked = 0
  #refused = 0
  #evicted = 0
  #regretEvicted = 0
  #regretRefused = 0

  admit(facts: AdmissionFacts, pressure: Pressure): Verdict {
    this.#asked += 1
    if (this.#asked >= windowBlocks) this.#adjust(pressure)
    const verdict = this.#judge(facts)
    if (!verdict.ok) this.#refused += 1
    return verdict
  }

  #judge(facts: AdmissionFacts): Verdict {
    if (this.#level === 0) return yes
    if (this.#level === 1)
      return facts.knownPrefix || facts.uses >= 2 ? yes : { ok: false, reason: 'unknown_prefix' }
    if (this.#level === 2) return facts.uses >= 2 ? yes : { ok: false, reason: 'seldom_used' }
    return facts.evictedBefore ? yes : { ok: false, reason: 'first_eviction' }
  }

  #adjust(pressure: Pressure): void {
    const ofEvicted = this.#evicted === 0 ? 0 : this.#regretEvicted / this.#evicted
    const ofRefused = this.#refused === 0 ? 0 : this.#regretRefused / this.#refused
    const full = pressure.heldBlocks >= pressure.capacityBlocks
    if (pressure.budgetUsed > 1 || (full && ofEvicted > ofRefused * regretMargin)) {
      this.#level = Math.min(3, this.#level + 1)
    } else if (!full || ofRefused > ofEvicted * regretMargin) {
      this.#level = Math.max(0, this.#level - 1)
    }
    this.#asked = 0
    this.#refused /= 2
    this.#evicted /= 2
    this.#regretEvicted /= 2
    this.#regretRefused /= 2
  }

  served(): void {}

  stored(): void {}

  regret(kind: 'evicted' | 'refused'): void {
    if (kind === 'evicted') this.#regretEvicted += 1
    else this.#regretRefused += 1
  }

  evicted(): void {
    this.#evicted += 1
  }
}

/** Chance of a use within the expected stay below which a write does not pay. Why: a write that is never read costs wear
 *  and a place; at this bar half of the writes of chat traffic goes under `probation`, and less than two points of its hits. */
export const chanceMin = 0.155
/** With the write budget used up, only blocks with this chance are stored. */
const chanceOverdrawn = 0.5
/** Share of the budget from which on the bar rises. */
const strainFrom = 0.8

/** Terrace's default: stores a block if it is likely enough to be used before the tier would evict it again. The bar
 *  rises with the use of the write budget. Until something has been learned, everything is stored. */
class LikelyAdmission implements AdmissionPolicy {
  readonly name = 'likely'
  readonly bar: number
  readonly served = deaf.served
  readonly stored = deaf.stored
  readonly regret = deaf.regret
  readonly evicted = deaf.evicted

  constructor(bar: number) {
    this.bar = bar
  }

  admit(facts: AdmissionFacts, pressure: Pressure): Verdict {
    if (facts.chanceOfUse === null) return yes
    const chance = facts.chanceOfUse(pressure.residenceMs)
    if (chance < this.bar) return { ok: false, reason: 'unlikely' }
    const strain = Math.min(1, Math.max(0, (pressure.budgetUsed - strainFrom) / (1 - strainFrom)))
    if (chance < this.bar + strain * Math.max(0, chanceOverdrawn - this.bar))
      return { ok: false, reason: 'budget' }
    return { ok: true, reason: 'likely' }
  }
}

export type AdmissionEntry = {
  readonly name: string
  readonly about: string
  readonly make: () => AdmissionPolicy
}

/** Every admission rule, by name. */
export const admissions: readonly AdmissionEntry[] = [
  {
    name: 'all',
    about: 'Everything that the tier above gives up is stored.',
    make: () => fixed('all', 'rule', () => true),
  },
  {
    name: 'used-twice',
    about: 'Only blocks used at least twice.',
    make: () => fixed('used-twice', 'seldom_used', ({ uses }) => uses >= 2),
  },
  {
    name: 'second-eviction',
    about: 'Only blocks that were given up before and came back.',
    make: () => fixed('second-eviction', 'first_eviction', ({ evictedBefore }) => evictedBefore),
  },
  {
    name: 'known-prefix',
    about: 'Only blocks of conversations that hit at least two blocks once.',
    make: () => fixed('known-prefix', 'unknown_prefix', ({ knownPrefix }) => knownPrefix),
  },
  {
    name: 'known-or-used',
    about: 'Known prefix or used twice.',
    make: () => fixed('known-or-used', 'unknown_prefix', ({ knownPrefix, uses }) => knownPrefix || uses >= 2),
  },
  {
    name: 'pressure',
    about: 'A bar of four levels that follows the regret of both kinds and the write budget.',
    make: () => new PressureAdmission(),
  },
  {
    name: 'likely',
    about:
      'The default: stores what is likely to be used before it would be evicted again; likely:0.3 sets the bar.',
    make: () => new LikelyAdmission(chanceMin),
  },
]

/** The rule of a name; `likely:0.3` is `likely` with the bar at 0.3. */
export function admissionNamed(name: string): AdmissionEntry | null {
  const barred = /^likely:(0\.[0-9]{1,4})$/.exec(name)
  const entry = admissions.find((known) => known.name === (barred === null ? name : 'likely')) ?? null
  if (entry === null || barred === null) return entry
  return { ...entry, make: () => new LikelyAdmission(Number(barred[1])) }
}
