import { type Check, checksOf } from './check.ts'

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
    'policy: classes with blocks are not kept up',
    'tiers/policy/block-memory.ts',
    'this.curves.want(ofClass)',
    '',
  ],
  [
    'policy: a class is worth nothing until something is learned of it',
    'tiers/policy/reuse-curves.ts',
    'if (this.#touched[kind] === 0) this.#copyFrom(parent, kind * ageBuckets)',
    '',
  ],
  [
    'policy: a class without a past stays as its parent was',
    'tiers/policy/reuse-curves.ts',
    'if (parent !== kind && this.#wanted[kind] !== 0) this.#copyFrom(parent, first)',
    '',
  ],
  [
    'policy: blocks of one age count once',
    'tiers/policy/reuse-curves.ts',
    '(this.#open[cell] as number) + count',
    '(this.#open[cell] as number) + 1',
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

const pool = checksOf('test/property/policy-leaf-pool.test.ts', [
  [
    'pool: what was kept before a visit keeps its worth',
    'tiers/policy/leaf-pool.ts',
    '    this.#atMs = Number.NaN\n',
    '',
  ],
  [
    'pool: worths do not age',
    'tiers/policy/leaf-pool.ts',
    'if (atMs !== this.#atMs) this.#lookAgain(atMs)',
    'if (Number.isNaN(this.#atMs)) this.#lookAgain(atMs)',
  ],
  [
    'pool: a block that has a child again stays kept',
    'tiers/policy/leaf-pool.ts',
    'if (place >= 0) this.#takeOut(place)',
    '',
  ],
  [
    'pool: what was kept is named although it is held by now',
    'tiers/policy/leaf-pool.ts',
    'if (!this.#tree.onPath(row) && !held(row)) return row\n      this.#takeOut(0)',
    'if (!this.#tree.onPath(row)) return row\n      this.#takeOut(0)',
  ],
  [
    'pool: nobody is named when all that was kept is held',
    'tiers/policy/leaf-pool.ts',
    'for (let place = 0; place < this.#leaves.length; place += 1) {',
    'for (let place = 0; place < 0; place += 1) {',
  ],
  [
    'pool: the same leaf is kept twice',
    'tiers/policy/leaf-pool.ts',
    'worth < this.#limit() && this.#placeOf(row) < 0',
    'worth < this.#limit()',
  ],
])

/** It is asked when worths are asked for again, and before anybody is named. */
const path: Check = {
  name: 'pool: what was kept is named although it is on the path by now',
  test: 'test/property/policy-leaf-pool.test.ts',
  changes: [
    {
      file: 'tiers/policy/leaf-pool.ts',
      from: 'if (!this.#tree.onPath(row) && !held(row)) return row\n      this.#takeOut(0)',
      to: 'if (!held(row)) return row\n      this.#takeOut(0)',
    },
    {
      file: 'tiers/policy/leaf-pool.ts',
      from: 'if (!this.#tree.onPath(row)) this.#insert(',
      to: 'this.#insert(',
    },
  ],
}

const hand = checksOf('test/property/policy-row-hand.test.ts', [
  [
    'hand: it stays on a row that leaves',
    'tiers/policy/row-hand.ts',
    'if (row === this.#at) this.#at = this.#lists.newer(row)',
    '',
  ],
  [
    'hand: it begins again at the oldest each time',
    'tiers/policy/row-hand.ts',
    'const row = this.#at === noRow ? this.#lists.tail(this.#list) : this.#at',
    'const row = this.#lists.tail(this.#list)',
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

const classics = checksOf('test/unit/simulate-classics.test.ts', [
  [
    'policy: s3-fifo leaves its small queue when that is short again',
    'tiers/policy/s3-fifo.ts',
    'if (this.#lists.lengthOf(main) > this.#mainMax) return noRow',
    'if (!this.#isSmallDue()) return noRow',
  ],
])

/** Breaks of what policies do and learn. */
export const policyChecks = [
  ...classics,
  ...hints,
  ...terrace,
  ...probation,
  ...rates,
  ...pool,
  path,
  ...hand,
  ...store,
]
