import t from 'tap'
import { seededChance } from '../../bench/simulate/chance.ts'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import { nextUses, simulateLimit } from '../../bench/simulate/limit.ts'
import { simulateTree } from '../../bench/simulate/one-tier.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import { expandTrace, type Trace } from '../../bench/trace/trace.ts'
import { noNotes, noRow } from '../../tiers/policy/eviction.ts'
import { terracePolicy } from '../../tiers/policy/terrace.ts'
import { loadSharedTrace, sharedTrace, traceOf, twoApplications } from '../traces.ts'

const blocksOf = (trace: Trace, share: number): number => Math.max(1, Math.ceil(share * trace.nodeCount))

function rateOf(trace: Trace, policy: string, capacityBlocks: number): number {
  const next = lazyNextUses(trace)
  const run = { capacityBlocks, seed: 7, next, hitLog: null, hints: answersOnly, progress: null }
  return (simulatedPolicyNamed(policy)?.run(trace, run).hits ?? Number.NaN) / trace.referenceCount
}

/** Replays a trace over rows that are reused, as the daemon does, beside rows that are nodes; counts different victims. */
function differences(
  trace: Trace,
  capacityBlocks: number,
): { readonly evictions: number; readonly different: number } {
  const sizes = (rowMax: number) => ({ rowMax, capacityBlocks, chance: seededChance(7) })
  const bench = terracePolicy({ ...sizes(trace.nodeCount), rowsAreNames: true })
  const daemon = terracePolicy(sizes(capacityBlocks))
  const rowOf = new Int32Array(trace.nodeCount).fill(noRow)
  const nodeOf = new Int32Array(capacityBlocks)
  const free = Array.from({ length: capacityBlocks }, (_, row) => row)
  const holds = (): boolean => false
  let evictions = 0
  let different = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const path = trace.refs.subarray(trace.starts[request], trace.starts[request + 1])
    const nowMs = trace.arrivalMs[request] ?? 0
    let ready = 0
    while (ready < path.length && rowOf[path[ready] ?? 0] !== noRow) ready += 1
    const rows = Int32Array.from(path, (node) => rowOf[node] ?? noRow)
    const names = Float64Array.from(path)
    const answerTokens = trace.outputTokens[request] ?? 0
    bench.onVisit(path, path.length, ready, nowMs)
    daemon.onVisit(rows, path.length, ready, nowMs, { ...noNotes, names })
    bench.onAnswer?.(path, path.length, answerTokens)
    daemon.onAnswer?.(rows, path.length, answerTokens, names)
    for (let at = ready; at < path.length; at += 1) {
      const node = path[at] ?? 0
      if (free.length === 0) {
        const inBench = bench.victim(holds, nowMs)
        const row = daemon.victim(holds, nowMs)
        if ((inBench === noRow ? noRow : rowOf[inBench]) !== row) different += 1
        if (row === noRow || inBench === noRow) break
        evictions += 1
        bench.onDrop(nodeOf[row] ?? 0, true, nowMs)
        daemon.onDrop(row, true, nowMs)
        rowOf[nodeOf[row] ?? 0] = noRow
        free.push(row)
      }
      const row = free.pop() ?? 0
      const parent = trace.parents[node] ?? noRow
      rowOf[node] = row
      nodeOf[row] = node
      bench.onAdd(node, parent, at, path.length, nowMs, node)
      daemon.onAdd(row, parent === noRow ? noRow : (rowOf[parent] ?? noRow), at, path.length, nowMs, node)
    }
    bench.onVisitEnd()
    daemon.onVisitEnd()
  }
  return { evictions, different }
}

void t.test('a newcomer that is worth less than every resident block is refused', async (t) => {
  const hot = [0, 1, 2, 3]
  const requests = Array.from({ length: 6_000 }, (_, at) =>
    at % 2 === 0 ? hot : [9, 10_000 + 3 * at, 10_001 + 3 * at],
  )
  const trace = traceOf(requests)
  const result = simulateTree(
    trace,
    terracePolicy({
      rowMax: trace.nodeCount,
      capacityBlocks: 6,
      chance: seededChance(1),
      rowsAreNames: true,
    }),
    6,
    null,
    null,
    null,
  )
  t.ok(result.inserts < 0.7 * trace.nodeCount, 'one-shot blocks stay out once they are known as such')
  t.ok(result.hits >= 0.9 * simulateLimit(trace, nextUses(trace), 6, null, null).hits)
})

const chat = sharedTrace('mooncake-conversation')
void t.test(
  'the same victims for rows that are reused and rows that are names',
  { skip: chat.skip },
  async (t) => {
    const trace = await loadSharedTrace(chat.path ?? '')
    const { evictions, different } = differences(trace, blocksOf(trace, 0.02))
    t.ok(evictions > 10_000, `${evictions} evictions`)
    t.equal(different, 0)
  },
)

/** Smallest mean share of the limit, per trace and capacities, that the default policy must keep. */
const targets = {
  'mooncake-conversation': { shares: [0.01, 0.02, 0.05, 0.1, 0.25, 0.5], mean: 0.71 },
  miniswe: { shares: [0.01, 0.02, 0.05, 0.1, 0.25, 0.5], mean: 0.999 },
  'mixed-tenants': { shares: [0.02, 0.05], mean: 0.86 },
} as const

for (const [name, { shares, mean }] of Object.entries(targets)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`terrace on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    let sum = 0
    for (const share of shares) {
      const blocks = blocksOf(trace, share)
      const rate = rateOf(trace, 'terrace', blocks)
      const lru = rateOf(trace, 'lru', blocks)
      const limit = rateOf(trace, 'belady', blocks)
      t.ok(
        rate >= lru - 0.005,
        `${share}: ${rate.toFixed(4)} is at most 0.5 points below LRU's ${lru.toFixed(4)}`,
      )
      t.ok(rate <= limit + 1e-12, `${share}: not above the limit`)
      sum += rate / limit
    }
    t.ok(
      sum / shares.length >= mean,
      `mean share of the limit ${(sum / shares.length).toFixed(4)} is at least ${mean}`,
    )
  })
}

void t.test('a trace without times is as good as one with them', { skip: chat.skip }, async (t) => {
  const trace = await loadSharedTrace(chat.path ?? '')
  const timeless = { ...trace, arrivalMs: new Float64Array(trace.requestCount) }
  const blocks = blocksOf(trace, 0.05)
  t.ok(rateOf(timeless, 'terrace', blocks) > rateOf(trace, 'lru', blocks) + 0.02)
})

void t.test('the length of answers tells applications apart', async (t) => {
  const trace = expandTrace(twoApplications(7_000))
  const silent = { ...trace, outputTokens: new Int32Array(trace.requestCount) }
  const [told, untold] = [trace, silent].map((one) => rateOf(one, 'terrace', 900))
  t.ok((told ?? 0) > (untold ?? 1) + 0.03, `${told?.toFixed(4)} with them, ${untold?.toFixed(4)} without`)
  t.equal(rateOf(trace, 'lru', 900), rateOf(silent, 'lru', 900), 'a policy that does not care')
})

void t.test('traffic that changes or fools LRU', async (t) => {
  const chance = seededChance(21)
  const loop = Array.from({ length: 9_000 }, (_, at) => [0, 10 + (at % 400), 1_000 + (at % 400)])
  const popular = Array.from({ length: 9_000 }, () => {
    const document = Math.floor(Math.exp((chance() / 2 ** 32) * Math.log(3_000)))
    return [1, 5_000 + document, 20_000 + document]
  })
  const window = Array.from({ length: 9_000 }, (_, at) => {
    const document = Math.floor(at / 10) - (chance() % 60)
    return [2, 50_000 + document, 80_000 + document]
  })
  const made = { loop, popular, window, phases: [...window, ...popular, ...loop] }
  for (const [name, requests] of Object.entries(made)) {
    const trace = traceOf(requests, 2)
    for (const share of [0.02, 0.1, 0.3]) {
      const blocks = blocksOf(trace, share)
      const rate = rateOf(trace, 'terrace', blocks)
      const lru = rateOf(trace, 'lru', blocks)
      t.ok(rate >= lru - 0.005, `${name} at ${share}: ${rate.toFixed(4)}, LRU ${lru.toFixed(4)}`)
    }
  }
  const looped = traceOf(loop, 2)
  const blocks = blocksOf(looped, 0.3)
  t.ok(rateOf(looped, 'terrace', blocks) > 0.85 * rateOf(looped, 'belady', blocks), 'a loop is kept in part')
})
