import t from 'tap'
import { capacityBlocks } from '../../bench/simulate/capacity.ts'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import type { Trace } from '../../bench/trace/trace.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

function rateOf(trace: Trace, policy: string, capacity: string): number {
  const next = lazyNextUses(trace)
  const blocks = capacityBlocks(capacity, trace, 'up', null)
  const run = { capacityBlocks: blocks, seed: 7, next, hitLog: null, hints: answersOnly, progress: null }
  return (simulatedPolicyNamed(policy)?.run(trace, run).hits ?? Number.NaN) / trace.referenceCount
}

/** Hit rates of the independent prototype of `hazard`, whose draws differ: points of difference allowed at small and at
 *  larger capacities. */
const prototype = {
  'mooncake-conversation': { '1%': 0.0661, '5%': 0.2059, '10%': 0.2823, '25%': 0.3546 },
  miniswe: { '1%': 0.2476, '2%': 0.4427, '5%': 0.6705, '10%': 0.7983, '25%': 0.9338, '50%': 0.9343 },
} as const
const pointsAllowed = (capacity: string): number => (['1%', '2%'].includes(capacity) ? 0.02 : 0.007)

for (const [name, rates] of Object.entries(prototype)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`hazard is the prototype's on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    for (const [capacity, wanted] of Object.entries(rates)) {
      const rate = rateOf(trace, 'hazard', capacity)
      t.ok(
        Math.abs(rate - wanted) <= pointsAllowed(capacity),
        `${capacity}: ${rate.toFixed(4)} for ${wanted}`,
      )
    }
  })
}

const cells = { 'mooncake-conversation': ['1%', '5%', '25%'], 'mixed-tenants': ['2%', '10%'] } as const
const rivals = ['lru', 'arc', 'hazard', 'adaptive'] as const

for (const [name, capacities] of Object.entries(cells)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`the default policy is the best of its kind on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const sum = (policy: string): number =>
      capacities.reduce((total, capacity) => total + rateOf(trace, policy, capacity), 0)
    const own = sum('terrace')
    for (const rival of rivals) {
      const other = sum(rival)
      t.ok(own > other, `${own.toFixed(4)} for ${other.toFixed(4)} of ${rival}`)
    }
  })
}
