import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { capacityBlocks } from '../../bench/simulate/capacity.ts'
import { seededChance } from '../../bench/simulate/chance.ts'
import { headroomReport, unlimitedHits } from '../../bench/simulate/headroom.ts'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import type { Job } from '../../bench/simulate/job.ts'
import { runJobs } from '../../bench/simulate/pool.ts'
import { lruCurve } from '../../bench/simulate/stack-distance.ts'
import { lazyNextUses, simulatedPolicies, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import { TierStack } from '../../bench/simulate/tier-stack.ts'
import { simulateWatermark } from '../../bench/simulate/watermark.ts'
import type { Trace } from '../../bench/trace/trace.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { capturedIo, loadSharedTrace, sharedTrace, traceOf } from '../traces.ts'

const mini = sharedTrace('miniswe')
const shares = [0.01, 0.05, 0.1, 0.25, 0.5]

function hitsOf(trace: Trace, policy: string, blocks: number): number {
  const run = {
    capacityBlocks: blocks,
    seed: 7,
    next: lazyNextUses(trace),
    hitLog: null,
    hints: answersOnly,
    progress: null,
  }
  return simulatedPolicyNamed(policy)?.run(trace, run).hits ?? Number.NaN
}

/** Chains of a few sessions that grow and are taken up again, with one-shot requests between them. */
function madeTrace(seed: number): Trace {
  const chance = seededChance(seed)
  const sessions = Array.from({ length: 12 }, (_, at) => [0, 100 + at])
  const requests = Array.from({ length: 600 }, (_, at) => {
    if (chance() % 4 === 0) return [0, 1_000 + at, 5_000 + at, 9_000 + at]
    const session = sessions[chance() % 12] ?? [0]
    if (session.length < 20) session.push(20_000 + at)
    return [...session]
  })
  return traceOf(requests, 7)
}

void t.test(
  'no policy is above the limit, and the limit is what an unlimited cache gives in the end',
  async (t) => {
    const trace = madeTrace(3)
    for (const share of shares) {
      const blocks = Math.ceil(share * trace.nodeCount)
      const limit = hitsOf(trace, 'belady', blocks)
      for (const { name } of simulatedPolicies) {
        const hits = hitsOf(trace, name, blocks)
        if (hits > limit) t.fail(`${name} at ${share}: ${hits} hits, the limit is ${limit}`)
      }
    }
    t.equal(hitsOf(trace, 'belady', trace.nodeCount), unlimitedHits(trace))
    t.equal(hitsOf(trace, 'lru', trace.nodeCount), unlimitedHits(trace))
  },
)

void t.test('LRU curves from one pass equal runs at each capacity', async (t) => {
  const trace = madeTrace(4)
  const curves = { lru: lruCurve(trace, 'leaf-first'), 'lru-root-first': lruCurve(trace, 'root-first') }
  for (const [name, curve] of Object.entries(curves)) {
    for (let blocks = 1; blocks <= trace.nodeCount; blocks += 37) {
      t.equal(curve.hits[blocks], hitsOf(trace, name, blocks), `${name} with ${blocks} blocks`)
    }
  }
})

void t.test(
  'leaf-first LRU equals LRU over leaves; SIEVE acts like LFU on chains',
  { skip: mini.skip },
  async (t) => {
    const trace = await loadSharedTrace(mini.path ?? '')
    for (const share of shares) {
      const blocks = capacityBlocks(`${100 * share}%`, trace, 'up', null)
      const rate = (policy: string): string =>
        (hitsOf(trace, policy, blocks) / trace.referenceCount).toFixed(4)
      t.equal(rate('lru-leaf-only'), rate('lru'), `LRU at ${share}`)
      t.equal(rate('sieve'), rate('lfu'), `SIEVE at ${share}`)
      t.equal(rate('sieve-root-first'), rate('lfu-root-first'), `SIEVE root-first at ${share}`)
    }
  },
)

void t.test('a watermark of one block at a time is LRU with one block less', async (t) => {
  const trace = madeTrace(5)
  for (const blocks of [10, 50, 100]) {
    const marked = simulateWatermark(trace, { high: 1, batch: 0 }, blocks, null, null)
    t.equal(marked.hits, hitsOf(trace, 'lru', blocks - 1))
  }
})

void t.test('leaf-only policies never orphan a block', async (t) => {
  const trace = madeTrace(6)
  const run = {
    capacityBlocks: 60,
    seed: 7,
    next: lazyNextUses(trace),
    hitLog: null,
    hints: answersOnly,
    progress: null,
  }
  for (const policy of simulatedPolicies.filter(({ kind }) => kind === 'leaves' || kind === 'sampled')) {
    t.equal(policy.run(trace, run).orphans, 0, policy.name)
  }
})

void t.test('the same results for any number of workers, byte for byte', async (t) => {
  const trace = madeTrace(7)
  const jobs: Job[] = ['lru', 'terrace', 'hazard', 'belady'].flatMap((policy) =>
    [20, 80].map((blocks) => ({
      kind: 'one' as const,
      policy,
      hints: 'inferred',
      capacityBlocks: blocks,
      seed: 3,
    })),
  )
  const run = async (workers: number): Promise<string> =>
    JSON.stringify(await runJobs(trace, jobs, workers, new AbortController().signal, () => {}))
  const alone = await run(1)
  t.equal(await run(2), alone)
  t.equal(await run(3), alone)
})

void t.test('a stopped run reports what it has', async (t) => {
  const stop = new AbortController()
  stop.abort()
  const job: Job = { kind: 'one', policy: 'lru', hints: 'inferred', capacityBlocks: 9, seed: 1 }
  t.same(await runJobs(madeTrace(8), [job], 1, stop.signal, () => {}), [])
})

void t.test('a surviving tier can be served without the tiers above', async (t) => {
  const trace = madeTrace(9)
  const make = (capacityBlocks: number) => {
    const sizes = { rowMax: trace.nodeCount, capacityBlocks, chance: seededChance(1), rowsAreNames: true }
    const policy = policyNamed('lru-leaf-only')?.make(sizes)
    if (policy === undefined) throw new Error('no policy')
    return { capacityBlocks, policy, admission: null, budget: null }
  }
  const stack = new TierStack(
    trace,
    [
      { name: 'host', survives: false, ...make(30) },
      { name: 'nvme', survives: true, ...make(200) },
    ],
    'demote',
  )
  for (let request = 0; request < trace.requestCount; request += 1) {
    stack.serve(
      trace.refs.subarray(trace.starts[request], trace.starts[request + 1]),
      trace.arrivalMs[request] ?? 0,
      0,
    )
    if (request % 50 === 0) t.equal(stack.report()[1]?.orphans, 0, `after ${request} requests`)
  }
  t.ok((stack.report()[1]?.hits ?? 0) > 0, 'the lower tier is hit')
})

void t.test('the causes of headroom sum to one', async (t) => {
  const trace = madeTrace(10)
  const report = headroomReport(trace, [50], [], 7, false)
  const [causes] = report.json.causes as readonly Record<string, number>[]
  const { capacityBlocks: _blocks, ...parts } = causes ?? {}
  t.ok(Math.abs(Object.values(parts).reduce((sum, share) => sum + share, 0) - 1) < 1e-9)
})

void t.test('capacities', async (t) => {
  const trace = madeTrace(11)
  t.equal(capacityBlocks('1%', { ...trace, nodeCount: 182_790 }, 'up', null), 1_828)
  t.equal(capacityBlocks('25%', { ...trace, nodeCount: 182_790 }, 'down', null), 45_697)
  t.equal(
    capacityBlocks('10%', { ...trace, nodeCount: 100 }, 'up', null),
    10,
    'no block more from rounding errors',
  )
  t.equal(capacityBlocks('4096', trace, 'up', null), 4_096)
  t.equal(capacityBlocks('1GiB', trace, 'up', 2 ** 20), 1_024)
  for (const text of ['', '0', '-1', '1.5', '101%', '5x', '1GiB', 'many', '1e3']) {
    t.throws(() => capacityBlocks(text, trace, 'up', null), { name: 'UsageError' }, text)
  }
})

void t.test('the contract for scripts', { skip: mini.skip }, async (t) => {
  const io = capturedIo()
  const words = ['simulate', mini.path ?? '', '--policy', 'lru,belady', '--capacity', '1%,4096', '--json']
  t.equal(await benchMain(words, io), 0)
  const made = JSON.parse(io.outText())
  t.match(made, { trace: 'miniswe', blocks: 9_886 })
  t.same(
    made.rows.map((row: { policy: string; capacityBlocks: number }) => [row.policy, row.capacityBlocks]),
    [
      ['lru', 99],
      ['lru', 4_096],
      ['belady', 99],
      ['belady', 4_096],
    ],
  )
  t.equal(made.rows[0].hitRate.toFixed(4), '0.2476')
  t.ok(Number.isInteger(made.rows[0].inserts) && Number.isInteger(made.rows[0].evictions))
})

void t.test('wrong words are named, with what to do', async (t) => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['--policy', 'lruu'], /unknown "lruu".*"lru"/],
    [['--hints', 'maybe'], /--hints: unknown "maybe"; one of/],
    [['--tiers', 'host:5%'], /--tiers: "host:5%".*host=5%,nvme=25%/],
    [['--tiers', 'host=5%', '--admission', 'al'], /--admission: unknown "al"/],
    [['--tiers', 'host=5%', '--policy', 'belady2'], /unknown "belady2"/],
  ]
  for (const [words, says] of wrong) {
    const io = capturedIo()
    t.equal(await benchMain(['simulate', 'absent.jsonl', ...words], io), 2, words.join(' '))
    t.match(io.noteText(), says)
    t.equal(io.outText(), '')
  }
})
