import { checksOf } from './check.ts'

const store = checksOf('test/unit/store-admission.test.ts', [
  [
    'admission: a request’s use of what is held is not noted',
    'tiers/load.ts',
    'this.#parts.admissions?.asked(asked, Math.min(known.length, end))',
    '',
  ],
  [
    'admission: an admitted block leaves its ancestors behind',
    'tiers/writeback.ts',
    'for (const above of this.#comingAlong(identity)) this.#enqueue(above)',
    '',
  ],
  [
    'admission: a stop writes nothing that host memory still has',
    'tiers/writeback.ts',
    "if (this.#admission?.demotion === 'demote') await this.#offerAll(deadlineMs)",
    '',
  ],
  [
    'admission: what the bucket has is never offered to the drive',
    'tiers/tiered-store.ts',
    "this.#admissionOf(nearest.name)?.demotion === 'demote' || otherwise === 'nowhere'",
    "otherwise === 'nowhere'",
  ],
  ['admission: leaving host memory is not noted', 'tiers/admit.ts', 'this.#past.evicted(key)', ''],
  [
    'admission: a leaf that waits for its copy sends the policy elsewhere',
    'tiers/host.ts',
    'if (unsaved.length > 0 && this.#isTreeAware) break',
    '',
  ],
  [
    'admission: a parent on the drive makes room for its child',
    'tiers/disk.ts',
    'this.#table.wantChain(above)',
    'this.#table.wantChain([])',
  ],
  [
    'admission: a write budget that never comes back',
    'tiers/policy/write-budget.ts',
    '(this.#bytesPerDay * (nowMs - this.#atMs)) / dayMs',
    '0',
  ],
])

const both = checksOf('test/sim/store-admission.test.ts', [
  [
    'admission: regret never reaches the rule',
    'tiers/admit.ts',
    'if (kind !== null) this.#rule.regret(kind)',
    '',
  ],
  [
    'admission: blocks that leave together are charged twice',
    'tiers/writeback.ts',
    'for (const { key } of [...this.#comingAlong(identity), identity]) this.#saving.add(key)',
    '',
  ],
  [
    'admission: the host policy is not told what lies below',
    'tiers/open-store.ts',
    'host.table.useBelow({ holds, stayMs: () => rule.stayMs(), bar: rule.bar })',
    '',
  ],
])

const daemon = checksOf('test/e2e/daemon-admission.test.ts', [
  [
    'admission: the configuration does not reach the store',
    'daemon/parts.ts',
    'policy, nvmePolicy, admission }',
    'policy, nvmePolicy }',
  ],
])

const memory = checksOf('test/property/policy-admission.test.ts', [
  [
    'admission: a budget forgets when it was written to',
    'tiers/policy/write-budget.ts',
    'this.#writtenBytes = this.#left(nowMs) + byteCount\n    this.#atMs = nowMs',
    'this.#writtenBytes = this.#left(nowMs) + byteCount',
  ],
  [
    'admission: the past of a block is no younger for its use',
    'tiers/policy/block-past.ts',
    'this.#facts.delete(key)\n    this.#facts.set',
    'this.#facts.set',
  ],
])

/** Breaks of admission in the daemon. */
export const admissionChecks = [...store, ...both, ...daemon, ...memory]
