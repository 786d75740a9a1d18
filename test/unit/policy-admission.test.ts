import t from 'tap'
import {
  type AdmissionFacts,
  admissionNamed,
  admissions,
  type Pressure,
} from '../../tiers/policy/admission.ts'

const calm: Pressure = { heldBlocks: 0, capacityBlocks: 100, residenceMs: 600_000, budgetUsed: 0 }
const full: Pressure = { ...calm, heldBlocks: 100 }
const fresh: AdmissionFacts = { uses: 1, evictedBefore: false, knownPrefix: false, chanceOfUse: null }

function ruleOf(name: string) {
  const entry = admissionNamed(name)
  if (entry === null) throw new Error(`no rule ${name}`)
  return entry.make()
}

void t.test('the fixed rules', async (t) => {
  const verdicts = (facts: Partial<AdmissionFacts>): Record<string, boolean> =>
    Object.fromEntries(
      ['all', 'used-twice', 'second-eviction', 'known-prefix', 'known-or-used'].map((name) => [
        name,
        ruleOf(name).admit({ ...fresh, ...facts }, calm).ok,
      ]),
    )
  const none = {
    'used-twice': false,
    'second-eviction': false,
    'known-prefix': false,
    'known-or-used': false,
  }
  t.same(verdicts({}), { all: true, ...none })
  t.same(verdicts({ uses: 2 }), { all: true, ...none, 'used-twice': true, 'known-or-used': true })
  t.same(verdicts({ evictedBefore: true }), { all: true, ...none, 'second-eviction': true })
  t.same(verdicts({ knownPrefix: true }), { all: true, ...none, 'known-prefix': true, 'known-or-used': true })
})

void t.test(
  'pressure raises its bar with the regret of evictions and lowers it with that of refusals',
  async (t) => {
    const rule = ruleOf('pressure')
    const window = (pressure: Pressure): boolean => {
      let ok = true
      for (let asked = 0; asked < 1_024; asked += 1) ok = rule.admit(fresh, pressure).ok
      return ok
    }
    t.equal(window(calm), true, 'admits everything while the tier is not full')
    for (let block = 0; block < 100; block += 1) {
      rule.evicted()
      rule.regret('evicted')
    }
    t.equal(window(full), false, 'evictions that are wished for again raise the bar')
    for (let block = 0; block < 1_000; block += 1) {
      rule.evicted()
      rule.regret('refused')
    }
    t.equal(window(full), true, 'wishes for refused blocks lower it')
    t.equal(window({ ...calm, budgetUsed: 2 }), false, 'so does an overdrawn budget raise it')
  },
)

void t.test('likely stores what comes back within its stay, and less as the budget is used', async (t) => {
  const rule = ruleOf('likely')
  const asked: number[] = []
  const facts = (chance: number): AdmissionFacts => ({
    ...fresh,
    chanceOfUse: (horizonMs) => {
      asked.push(horizonMs)
      return chance
    },
  })
  t.same(rule.admit(fresh, calm), { ok: true, reason: 'rule' }, 'nothing learned: everything is stored')
  t.same(rule.admit(facts(0.3), calm), { ok: true, reason: 'likely' })
  t.same(rule.admit(facts(0.05), calm), { ok: false, reason: 'unlikely' })
  t.same(rule.admit(facts(0.3), { ...calm, budgetUsed: 1 }), { ok: false, reason: 'budget' })
  t.same(rule.admit(facts(0.9), { ...calm, budgetUsed: 1 }), { ok: true, reason: 'likely' })
  t.same([...new Set(asked)], [calm.residenceMs], 'the horizon is the expected stay')
})

void t.test('the bar of likely can be set by name', async (t) => {
  const at = (name: string, chance: number): boolean =>
    ruleOf(name).admit({ ...fresh, chanceOfUse: () => chance }, calm).ok
  t.same([at('likely', 0.2), at('likely:0.3', 0.2), at('likely:0.3', 0.4)], [true, false, true])
  for (const wrong of ['likely:', 'likely:2', 'likely:x', 'all:0.3'])
    t.equal(admissionNamed(wrong), null, wrong)
})

void t.test('every rule has a name of its own and a sentence', async (t) => {
  t.equal(new Set(admissions.map(({ name }) => name)).size, admissions.length)
  for (const { name, about, make } of admissions) {
    t.match(about, /\.$/, name)
    t.equal(make().name, name)
  }
})
