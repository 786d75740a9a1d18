import t from 'tap'
import { answersOnly } from '../../bench/simulate/hint-stream.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { expandTrace, type TraceTree } from '../../bench/trace/trace.ts'
import { Arena } from '../../tiers/arena.ts'
import type { BlockKey, NamespaceId } from '../../tiers/block/id.ts'
import { Meter } from '../../tiers/block/metric.ts'
import type { RouteHash } from '../../tiers/block/route.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { type EvictionPolicy, noRow, type Row } from '../../tiers/policy/eviction.ts'
import { FlatEviction } from '../../tiers/policy/flat-eviction.ts'
import { Fifo } from '../../tiers/policy/lru.ts'
import { SameRequest } from '../../tiers/same-request.ts'
import { BlockTable } from '../../tiers/table.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'
import { SimFiles } from '../sim/files.ts'
import { FakeNative } from '../sim/native.ts'
import { SimWorld } from '../sim/world.ts'
import { twoApplications } from '../traces.ts'

/** Blocks of one token: a trace's block is a token. */
t.setTimeout(120_000)

const layout = layoutOf(1, 1, 64)
const namespace = namespaceOf('a', layout)
const slotBytes = 4_096
/** Of a slab, before its first slot: the two copies of the segment table. */
const slabHeadBytes = 131_072

/** Whether an engine asks for every prompt, or looks first and asks for those of which something is there. */
type Asking = 'always' | 'when_known'

/** Shares of the references that a store serves, when an engine loads, computes and stores each request in its turn. */
async function reached(
  tree: TraceTree,
  policy: string,
  hostBlocks: number,
  nvmeBlocks = 0,
  asking: Asking = 'always',
) {
  const trace = expandTrace(tree)
  const world = new SimWorld(1)
  const files = new SimFiles()
  const native = new FakeNative(world, files.disk)
  const opening = openStore({
    native,
    world,
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '',
    hostBytes: hostBlocks * slotBytes,
    nvmeBytes: nvmeBlocks === 0 ? 0 : slabHeadBytes + nvmeBlocks * 2 * slotBytes,
    s3: null,
    policy,
    meter: new Meter(storeMetrics),
    files,
  })
  const store = await world.until(opening)
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  let longest = 0
  for (let r = 0; r < trace.requestCount; r++) longest = Math.max(longest, pathOf(r).length)
  const engine = new SimEngine(namespace, longest, new ServedChecker())
  const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
  const hits = { all: 0, host: 0 }
  for (let request = 0; request < trace.requestCount; request++) {
    await world.pass(Math.max(0, (trace.arrivalMs[request] ?? 0) - world.nowMs()))
    const tokens = pathOf(request)
    const count = tokens.length
    let ready = 0
    if (asking === 'always' || store.lookup(id, tokens).readyBlocks > 0) {
      const loaded = await world.until(engine.load(store, id, region, tokens, count, world.nowMs() + 600_000))
      ready = loaded.readyBlocks
      hits.all += ready / trace.referenceCount
      hits.host += loaded.byTier.host / trace.referenceCount
    }
    const [left, answerTokens] = [count - ready, trace.outputTokens[request] ?? 0]
    if (left > 0) await world.until(engine.store(store, id, region, tokens, ready, left, answerTokens))
  }
  await world.until(store.close(world.nowMs() + 1_000))
  return hits

  function pathOf(request: number): Uint32Array {
    return Uint32Array.from(trace.refs.subarray(trace.starts[request], trace.starts[request + 1]))
  }
}

/** All kinds of traffic, an hour of it: many blocks are used once, some chains are a fifth of the tier. */
const tree = makeTrace('made', {
  kinds: workloads,
  spanMs: 3_600_000,
  rate: 0.3,
  blockTokens: 1_024,
  inputTokensMax: 100_000,
  seed: 11,
})
const capacityBlocks = 512

function simulated(policy: string): number {
  const trace = expandTrace(tree)
  const rest = { seed: 7, next: lazyNextUses(trace), hitLog: null, hints: answersOnly, progress: null }
  const result = simulatedPolicyNamed(policy)?.run(trace, { capacityBlocks, ...rest })
  return (result?.hits ?? Number.NaN) / trace.referenceCount
}

/** How far the store may be from the bench. Not nothing for all: the bench may refuse a newcomer, the store brings in what an
 *  engine gives, and a load and the store after it lie apart in time. */
const differenceMax = { lru: 0.0005, arc: 0.01, '2q': 0.01, hazard: 0.01, adaptive: 0.01, terrace: 0.01 }

for (const [policy, most] of Object.entries(differenceMax)) {
  void t.test(`${policy} hits as often in the store as in the bench`, async (t) => {
    const [bench, { all: store }] = [simulated(policy), await reached(tree, policy, capacityBlocks)]
    t.ok(store > 0.3, `it is a cache: ${store.toFixed(4)}`)
    t.ok(Math.abs(bench - store) <= most, `bench ${bench.toFixed(4)}, store ${store.toFixed(4)}`)
    if (policy === 'terrace') t.ok(store > simulated('lru') + 0.01, 'and better than least recently used')
  })
}

for (const policy of ['lru', 'arc', 'terrace']) {
  void t.test(`${policy}: a prompt that is stored and was not asked for is used once`, async (t) => {
    const { all } = await reached(tree, policy, capacityBlocks, 0, 'when_known')
    const bench = simulated(policy)
    t.ok(Math.abs(bench - all) <= 0.01, `bench ${bench.toFixed(4)}, store ${all.toFixed(4)}`)
  })
}

void t.test('the length of answers reaches the policy of the store', async (t) => {
  const applications = twoApplications(4_500)
  const told = await reached(applications, 'terrace', 900)
  const silent = { ...applications, outputTokens: new Int32Array(applications.requestCount) }
  const untold = await reached(silent, 'terrace', 900)
  t.ok(told.all > untold.all + 0.02, `${told.all.toFixed(4)} with it, ${untold.all.toFixed(4)} without`)
})

void t.test(
  'the default policy serves more than LRU from both tiers, and more of it from memory',
  async (t) => {
    const [terrace, lru] = [await reached(tree, 'terrace', 128, 512), await reached(tree, 'lru', 128, 512)]
    t.ok(terrace.all > lru.all + 0.01, `${terrace.all.toFixed(4)} of all, LRU ${lru.all.toFixed(4)}`)
    t.ok(terrace.host > lru.host + 0.01, `${terrace.host.toFixed(4)} from memory, LRU ${lru.host.toFixed(4)}`)
  },
)

/** A table of so many slots whose policy names its oldest block, whatever chain it belongs to. */
function tableOf(slotCount: number) {
  const made: number[] = []
  const arena = new Arena(slotCount * slotBytes, slotCount * slotBytes)
  const make = (capacityBlocks: number): EvictionPolicy => {
    made.push(capacityBlocks)
    return new FlatEviction(
      'fifo',
      'root-first',
      { rowMax: 64, capacityBlocks, chance: () => 0 },
      (rowMax) => {
        return new Fifo(rowMax)
      },
    )
  }
  const table = new BlockTable(arena, make, 'root-first', 64, () => slotBytes)
  const keyOf = (n: number): BlockKey => String.fromCharCode(n).repeat(32) as BlockKey
  const add = (n: number): Row => {
    const names = { key: keyOf(n), parent: n === 0 ? null : keyOf(n - 1), route: '0' as RouteHash }
    const identity = { ...names, namespace: 0 as NamespaceId, position: n, payloadBytes: 100 }
    const claimed = table.claim(identity)
    if (claimed.as !== 'claimed') throw new Error(claimed.as)
    table.finishFill(claimed.row, { slot: claimed.slot, ok: true, checksum: 1 })
    table.admit([identity], 0)
    return claimed.row
  }
  return { table, made, keyOf, add }
}

void t.test('a policy is made for as many blocks as there are slots of the first size', (t) => {
  const { table, made, add } = tableOf(16)
  t.equal(table.victim(0), noRow, 'nothing can leave an empty tier')
  add(0)
  add(1)
  t.same(made, [16], 'once, and not for as many as there may be rows')
  t.end()
})

void t.test('a chain that grows is spared while there is anything else', (t) => {
  const { table, keyOf, add } = tableOf(16)
  const rows = [add(0), add(1), add(2)]
  t.equal(table.victim(0), rows[0])
  const arrived = table.wantChain([keyOf(0), keyOf(1)])
  t.equal(table.victim(0), rows[2])
  const alsoArrived = table.wantChain([keyOf(0), keyOf(1), keyOf(2), keyOf(3)])
  t.equal(table.victim(0), rows[0], 'when nothing else is there it may leave')
  alsoArrived()
  t.equal(table.victim(0), rows[2], 'each one who wants it counts')
  arrived()
  t.equal(table.victim(0), rows[0])
  t.end()
})

void t.test('a load and the store that follows are one use', (t) => {
  const chain = (...names: string[]): BlockKey[] => names.map((name) => name as BlockKey)
  const requests = new SameRequest()
  requests.loaded(chain('a', 'b', 'c'))
  t.equal(requests.stored(chain('a', 'b')), 'other', 'another, shorter prompt')
  t.equal(requests.stored(chain('a', 'b', 'c', 'd')), 'same', 'what was asked for, and what came of it')
  t.equal(requests.stored(chain('a', 'b', 'c')), 'other', 'one store per load')
  for (let twice = 0; twice < 2; twice++) requests.loaded(chain('a', 'b'))
  t.equal(requests.stored(chain('a', 'b')), 'same')
  t.equal(requests.stored(chain('a', 'b')), 'same', 'two requests with one prompt')
  t.equal(requests.stored(chain('a', 'b')), 'other')
  requests.loaded([])
  t.equal(requests.stored([]), 'other')
  requests.loaded(chain('old'))
  for (let i = 0; i < 4_096; i++) requests.loaded(chain(`new ${i}`))
  t.equal(requests.stored(chain('old')), 'other', 'memory is bounded')
  t.end()
})
