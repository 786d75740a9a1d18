import fc from 'fast-check'
import t from 'tap'
import { type CandidateFacts, score } from '../../router/score.ts'
import { tierNames } from '../../tiers/block/id.ts'

const link = fc.record({
  bytesPerSecond: fc.double({ min: 1e3, max: 1e10, noNaN: true }),
  latencySeconds: fc.double({ min: 0, max: 0.2, noNaN: true }),
})
const run = fc.record({
  tier: fc.constantFrom('host' as const, 'nvme' as const, 's3' as const),
  blocks: fc.integer({ min: 1, max: 20 }),
})
const weights = { decodeSecondsPerStream: 0, affinitySeconds: 0 }

void t.test('the cut is the cheapest of all cuts, tried one by one', (t) => {
  fc.assert(
    fc.property(
      fc.record({ host: link, nvme: link, s3: link }),
      fc.integer({ min: 0, max: 10 }),
      fc.array(run, { maxLength: 5 }),
      fc.double({ min: 1, max: 1e5, noNaN: true }),
      fc.integer({ min: 0, max: 500 }),
      (links, deviceBlocks, runs, rate, rest) => {
        const blocks = runs.flatMap(({ tier, blocks }) => Array.from({ length: blocks }, () => tier))
        const blockTokens = 16
        const blockBytes = 100_000
        const tokenCount = (deviceBlocks + blocks.length) * blockTokens + rest
        const facts: CandidateFacts = {
          worker: 'a',
          waitingTokens: 0,
          streams: 0,
          prefillTokensPerSecond: rate,
          runs: deviceBlocks === 0 ? runs : [{ tier: 'hbm', blocks: deviceBlocks }, ...runs],
          links,
          affine: false,
        }
        let best = Number.POSITIVE_INFINITY
        for (let cut = 0; cut <= blocks.length; cut++) {
          let load = 0
          for (const tier of tierNames) {
            const count = blocks.slice(0, cut).filter((entry) => entry === tier).length
            if (tier === 'hbm' || count === 0) continue
            load = Math.max(
              load,
              links[tier].latencySeconds + (count * blockBytes) / links[tier].bytesPerSecond,
            )
          }
          const computed = Math.max(1, tokenCount - (deviceBlocks + cut) * blockTokens)
          best = Math.min(best, load + computed / rate)
        }
        const terms = score({ tokenCount, blockTokens, blockBytes }, facts, weights)
        return Math.abs(terms.totalSeconds - best) <= 1e-9 + best * 1e-9
      },
    ),
    { numRuns: 3_000 },
  )
  t.pass('3,000 cases')
  t.end()
})
