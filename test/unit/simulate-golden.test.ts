import t from 'tap'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import type { TierResult } from '../../bench/simulate/one-tier.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import type { Trace } from '../../bench/trace/trace.ts'
import { traceOf } from '../traces.ts'

const mini = traceOf([
  [1, 2, 3],
  [1, 2, 4, 5],
  [6, 7],
  [1, 2, 3],
  [1, 2, 4, 5],
  [6, 7, 8],
  [1, 2, 3],
])

function run(trace: Trace, policy: string, capacityBlocks: number): { result: TierResult; hits: number[] } {
  const hitLog = new Int32Array(trace.requestCount)
  const entry = simulatedPolicyNamed(policy)
  if (entry === null) throw new Error(`no policy ${policy}`)
  const next = lazyNextUses(trace)
  const result = entry.run(trace, {
    capacityBlocks,
    seed: 1,
    next,
    hitLog,
    hints: answersOnly,
    progress: null,
  })
  return { result, hits: [...hitLog] }
}

/** Leading hits per request by capacity, worked out by hand. */
const golden = {
  'lru-root-first': { 3: '0200200', 4: '0200200', 5: '0200200', 6: '0202200' },
  lru: { 3: '0201200', 4: '0202201', 5: '0202202', 6: '0202312' },
  'lru-leaf-only': { 3: '0201200', 4: '0202201', 5: '0202202', 6: '0202312' },
  belady: { 3: '0203203', 4: '0203303', 5: '0203403', 6: '0203413' },
} as const

const inserts = {
  'lru-root-first': [18, 18, 18, 16],
  lru: [22, 18, 16, 14],
  'lru-leaf-only': [15, 15, 14, 12],
} as const

for (const [policy, columns] of Object.entries(golden)) {
  void t.test(`golden mini trace: ${policy}`, async (t) => {
    for (const [capacity, hits] of Object.entries(columns)) {
      t.equal(run(mini, policy, Number(capacity)).hits.join(''), hits, `${capacity} blocks`)
    }
  })
}

void t.test('golden mini trace: inserts', async (t) => {
  for (const [policy, counts] of Object.entries(inserts)) {
    const made = [3, 4, 5, 6].map((capacity) => run(mini, policy, capacity).result.inserts)
    t.same(made, counts, policy)
  }
})

void t.test(
  'a request longer than the cache keeps its head leaf-first and its tail root-first',
  async (t) => {
    const long = traceOf([
      [1, 2, 3, 4, 5],
      [1, 2, 3, 4, 5],
    ])
    t.same(run(long, 'lru', 3).hits, [0, 3])
    t.same(run(long, 'lru-leaf-only', 3).hits, [0, 3])
    t.same(run(long, 'lru-root-first', 3).hits, [0, 0])
  },
)

void t.test('orphans are counted', async (t) => {
  const long = traceOf([[1, 2, 3, 4, 5]])
  t.equal(run(long, 'lru-root-first', 3).result.orphans, 3)
  t.equal(run(long, 'lru', 3).result.orphans, 0)
})
