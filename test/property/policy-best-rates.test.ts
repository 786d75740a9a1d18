import fc from 'fast-check'
import t from 'tap'
import { ageBuckets, bucketSeconds } from '../../tiers/policy/age-buckets.ts'
import { bestRates } from '../../tiers/policy/best-rates.ts'

/** As defined: every moment to give up is tried, from every age. */
function tried(gains: Float64Array, hazards: Float64Array): Float64Array {
  return Float64Array.from(gains, (_, age) => {
    let [best, alive, gain, seconds] = [Number.NEGATIVE_INFINITY, 1, 0, 0]
    for (let bucket = age; bucket < ageBuckets; bucket += 1) {
      const hazard = hazards[bucket] ?? 0
      gain += alive * (gains[bucket] ?? 0)
      seconds += alive * (1 - hazard / 2) * (bucketSeconds[bucket] ?? 0)
      alive *= 1 - hazard
      best = Math.max(best, gain / seconds)
    }
    return best
  })
}

const column = (min: number, max: number) =>
  fc.array(fc.double({ min, max, noNaN: true }), { minLength: ageBuckets, maxLength: ageBuckets })

function isSame(gains: Float64Array, hazards: Float64Array): boolean {
  const rates = new Float64Array(ageBuckets)
  bestRates(gains, hazards, rates)
  return tried(gains, hazards).every((rate, age) => {
    const found = rates[age] ?? Number.NaN
    // Gains of both signs cancel out: what is left is as exact as the largest of them, over the age's own bucket.
    return Math.abs(found - rate) <= 1e-9 / (bucketSeconds[age] ?? 0)
  })
}

void t.test('one pass finds the best moment to give up, of any gains', (t) => {
  fc.assert(
    fc.property(column(-1, 1), column(0, 0.99), (gains, hazards) =>
      isSame(Float64Array.from(gains), Float64Array.from(hazards)),
    ),
    { numRuns: 2_000 },
  )
  t.pass('2,000 columns')
  t.end()
})

void t.test('and of blocks that surely end somewhere: numbers stay finite', (t) => {
  const hazards = new Float64Array(ageBuckets).fill(1)
  const rates = new Float64Array(ageBuckets)
  bestRates(hazards, hazards, rates)
  for (const [age, rate] of rates.entries()) {
    const own = 1 / ((bucketSeconds[age] ?? 0) / 2)
    t.ok(Math.abs(rate / own - 1) < 0.01, `age ${age}: its own bucket decides`)
  }
  t.end()
})
