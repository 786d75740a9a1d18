import { ageBuckets, bucketSeconds } from './age-buckets.ts'

/** Least share that outlives a bucket, so that scales stay finite. */
const survivingMin = 1e-3

/** Averages over stretches of ages, the one that begins at the age looked at on top. Gains and seconds are as stored times the
 *  scale: the share of the blocks of that age that come so far. */
const gainOf = new Float64Array(ageBuckets)
const secondsOf = new Float64Array(ageBuckets)
const rateOf = new Float64Array(ageBuckets)

/** Per age the best ratio, over all moments to give up, of the gain until then to the time until then: a Gittins index.
 *  `gains` is what a bucket brings to a block that reaches it, `hazards` the chance that the block's wait ends in it.
 *
 *  The best ratio from an age on is the slope of the upper hull of gain over time, seen from there. Going from old to
 *  young, a stretch that is poorer than the one behind it is joined with it; so all ages together cost one pass. */
export function bestRates(gains: Float64Array, hazards: Float64Array, rates: Float64Array): void {
  let scale = 1
  let top = -1
  for (let age = ageBuckets - 1; age >= 0; age -= 1) {
    const hazard = hazards[age] as number
    scale *= Math.max(survivingMin, 1 - hazard)
    let gain = (gains[age] as number) / scale
    let seconds = ((1 - hazard / 2) * (bucketSeconds[age] as number)) / scale
    let rate = gain / seconds
    while (top >= 0 && rate <= (rateOf[top] as number)) {
      gain += gainOf[top] as number
      seconds += secondsOf[top] as number
      rate = gain / seconds
      top -= 1
    }
    top += 1
    gainOf[top] = gain
    secondsOf[top] = seconds
    rateOf[top] = rate
    rates[age] = rate
  }
}
