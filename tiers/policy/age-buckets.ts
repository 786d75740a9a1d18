/** Ages are cut into buckets, three per doubling, from half a second to about ten days. */
export const ageBuckets = 64
const bucketsPerDoubling = 3
const firstEdgeSeconds = 0.5

/** Bucket by age in steps of 64 ms, up to 70 minutes. Why a table: every look at a leaf needs one, and a logarithm costs more
 *  than the rest of the look. */
const youngStepBits = 6
const youngBuckets = Uint8Array.from({ length: 65_536 }, (_, step) => computedBucket(step << youngStepBits))

export function ageBucketOf(ageMs: number): number {
  const step = ageMs < 0 ? 0 : ageMs / 2 ** youngStepBits
  return step < youngBuckets.length ? (youngBuckets[step | 0] as number) : computedBucket(ageMs)
}

function computedBucket(ageMs: number): number {
  const bucket = Math.floor(bucketsPerDoubling * Math.log2(ageMs / 1_000 / firstEdgeSeconds + 1))
  return bucket >= ageBuckets ? ageBuckets - 1 : bucket
}

/** Seconds spent in each bucket. */
export const bucketSeconds = Float64Array.from({ length: ageBuckets }, (_, bucket) => {
  const edge = (at: number): number => (2 ** (at / bucketsPerDoubling) - 1) * firstEdgeSeconds
  return edge(bucket + 1) - edge(bucket)
})
