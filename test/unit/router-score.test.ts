import t from 'tap'
import { affineWorker } from '../../router/affinity.ts'
import { type CandidateFacts, type Links, ranked, score, termsText } from '../../router/score.ts'

const links: Links = {
  host: { bytesPerSecond: 1e9, latencySeconds: 0 },
  nvme: { bytesPerSecond: 1e8, latencySeconds: 0.01 },
  s3: { bytesPerSecond: 1e7, latencySeconds: 0.1 },
}
const prompt = { tokenCount: 1_000, blockTokens: 100, blockBytes: 1e6 }
const weights = { decodeSecondsPerStream: 0.01, affinitySeconds: 0.02 }
const facts: CandidateFacts = {
  worker: 'a',
  waitingTokens: 0,
  streams: 0,
  prefillTokensPerSecond: 1_000,
  runs: [],
  links,
  affine: false,
}

void t.test('terms add up: queue + load + prefill + decode - affinity', (t) => {
  const terms = score(
    prompt,
    { ...facts, waitingTokens: 500, streams: 3, affine: true, runs: [{ tier: 'hbm', blocks: 4 }] },
    weights,
  )
  t.equal(terms.queueSeconds, 0.5)
  t.equal(terms.loadSeconds, 0)
  t.equal(terms.prefillSeconds, 0.6)
  t.equal(terms.decodeSeconds, 0.03)
  t.equal(terms.affinitySeconds, 0.02)
  t.ok(Math.abs(terms.totalSeconds - 1.11) < 1e-9)
  t.equal(terms.deviceBlocks, 4)
  t.equal(terms.computeTokens, 600)
  t.end()
})

void t.test('what is loaded faster than computed is loaded; what is not is left', (t) => {
  const near = score(prompt, { ...facts, runs: [{ tier: 'host', blocks: 8 }] }, weights)
  t.equal(near.loadBlocks, 8)
  t.ok(Math.abs(near.loadSeconds - 0.008) < 1e-9)
  t.equal(near.prefillSeconds, 0.2)
  const fast = { ...facts, prefillTokensPerSecond: 200_000 }
  const far = score(prompt, { ...fast, runs: [{ tier: 's3', blocks: 8 }] }, weights)
  t.equal(far.loadBlocks, 0, 'an s3 block takes 0.1 s, computing it 0.0005 s')
  t.equal(far.loadableBlocks, 8, 'and that it was there is still told')
  t.equal(far.computeTokens, 1_000)
  const both = score(
    prompt,
    {
      ...fast,
      runs: [
        { tier: 'host', blocks: 8 },
        { tier: 's3', blocks: 2 },
      ],
    },
    weights,
  )
  t.equal(both.loadBlocks, 0, 'host is too slow for an engine this fast as well')
  t.end()
})

void t.test('the cut lies between tiers where the slower one stops paying', (t) => {
  const runs = [
    { tier: 'hbm', blocks: 1 },
    { tier: 'host', blocks: 5 },
    { tier: 's3', blocks: 4 },
  ] as const
  const terms = score(prompt, { ...facts, runs, prefillTokensPerSecond: 2_000 }, weights)
  t.equal(terms.loadBlocks, 5)
  t.same(terms.blocksByTier, { hbm: 1, host: 5, nvme: 0, s3: 0 })
  t.equal(terms.computeTokens, 400)
  t.end()
})

void t.test('a prompt that is held whole still computes its last token', (t) => {
  const terms = score(prompt, { ...facts, runs: [{ tier: 'hbm', blocks: 10 }] }, weights)
  t.equal(terms.computeTokens, 1)
  t.end()
})

void t.test('a loaded worker with the prefix loses to an idle one only when waiting costs more', (t) => {
  const holder = { ...facts, runs: [{ tier: 'hbm', blocks: 9 }] as const, waitingTokens: 800 }
  const idle = { ...facts, worker: 'b' }
  const first = (waitingTokens: number): string | undefined =>
    ranked([score(prompt, { ...holder, waitingTokens }, weights), score(prompt, idle, weights)], () => 0.5)[0]
      ?.worker
  t.equal(first(800), 'a')
  t.equal(first(1_000), 'b')
  t.end()
})

void t.test('equal prices: chance decides, and only then', (t) => {
  const terms = [facts, { ...facts, worker: 'b' }].map((entry) => score(prompt, entry, weights))
  const firstWith = (chances: readonly number[]): string | undefined => {
    let at = 0
    return ranked(terms, () => chances[at++] ?? 0)[0]?.worker
  }
  t.equal(firstWith([0.1, 0.9]), 'a')
  t.equal(firstWith([0.9, 0.1]), 'b')
  t.end()
})

void t.test('affinity is a roofed bonus, and moves only the conversations of a worker that goes', (t) => {
  const workers = ['a', 'b', 'c', 'd']
  const homes = Array.from({ length: 400 }, (_, i) => affineWorker('t', `s${i}`, workers))
  for (const worker of workers) {
    const share = homes.filter((home) => home === worker).length
    t.ok(share > 60 && share < 140, `${worker} has ${share} of 400`)
  }
  const after = homes.map((_, i) => affineWorker('t', `s${i}`, ['a', 'b', 'c']))
  for (const [i, home] of homes.entries()) if (home !== 'd' && after[i] !== home) t.fail('moved')
  t.equal(affineWorker('t', 's', []), null)
  t.not(
    homes.join(),
    Array.from({ length: 400 }, (_, i) => affineWorker('u', `s${i}`, workers)).join(),
    'tenants do not share homes',
  )
  t.end()
})

void t.test('the header has numbers and names only', (t) => {
  const text = termsText(score(prompt, { ...facts, runs: [{ tier: 'nvme', blocks: 2 }] }, weights))
  t.match(text, /^worker=a; total_ms=[\d.]+; queue_ms=0\.0; load_ms=[\d.]+; prefill_ms=[\d.]+; /)
  t.match(text, /blocks=hbm:0,host:0,nvme:2,s3:0; loadable_blocks=2; compute_tokens=800$/)
  t.end()
})
