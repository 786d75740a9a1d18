import { checksOf } from './check.ts'

const terrace = checksOf('test/unit/policy-terrace.test.ts', [
  [
    'policy: the length of an answer changes nothing',
    'tiers/policy/block-memory.ts',
    'if (answerTokens === 0) return',
    'if (answerTokens >= 0) return',
  ],
])

const probation = checksOf('test/unit/policy-probation.test.ts', [
  [
    'policy: a class is as its parent at ages it was not seen at',
    'tiers/policy/reuse-curves.ts',
    'if (proportionUses === null) return 1',
    'if (proportionUses !== 0) return 1',
  ],
  [
    'policy: what was seen of young blocks says nothing of old ones',
    'tiers/policy/reuse-curves.ts',
    'carried += carriedShare * (hazard - carried)',
    'carried += 0 * carriedShare',
  ],
  [
    'policy: the default bar lets too much through',
    'tiers/policy/admission.ts',
    'export const chanceMin = 0.155',
    'export const chanceMin = 0.05',
  ],
])

const rates = checksOf('test/property/policy-best-rates.test.ts', [
  [
    'policy: nobody waits past the bucket he is in',
    'tiers/policy/best-rates.ts',
    'while (top >= 0 &&',
    'while (top >= 99 &&',
  ],
])

const store = checksOf('test/unit/store-policy.test.ts', [
  [
    'policy: a stored prompt is told of after its blocks came',
    'tiers/keep.ts',
    'this.#parts.reordered(chain)',
    "this.#parts.visited('store', chain, end)",
  ],
  [
    'policy: the store keeps lengths of answers to itself',
    'tiers/open-store.ts',
    'host.table.answered(keys, answerTokens)',
    '',
  ],
])

const hints = checksOf('test/unit/policy-hints.test.ts', [
  [
    'policy: refinements are heard whatever they bring',
    'tiers/policy/refinement-trial.ts',
    'return family < 0 ||',
    'return family < 9 ||',
  ],
  [
    'policy: a refinement is judged by finished stays alone',
    'tiers/policy/refinement-trial.ts',
    '(this.#lead[family] as number) + sum',
    '(this.#lead[family] as number) + 0 * sum',
  ],
  [
    'policy: the hints of a tier run are lost',
    'bench/simulate/tier-stack.ts',
    'policy.onVisit(path, path.length, ready, nowMs, notes)',
    'policy.onVisit(path, path.length, ready, nowMs)',
  ],
  [
    'policy: gaps are guessed from where lengths are known',
    'bench/simulate/hint-stream.ts',
    'if (answerTokens === null) codes[request] =',
    'codes[request] =',
  ],
])

/** Breaks of what policies learn. */
export const policyChecks = [...hints, ...terrace, ...probation, ...rates, ...store]
