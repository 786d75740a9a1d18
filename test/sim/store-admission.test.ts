import t from 'tap'
import { TierStack } from '../../bench/simulate/tier-stack.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { expandTrace, pathOf } from '../../bench/trace/trace.ts'
import type { AdmissionSetting } from '../../tiers/admit.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { type AdmissionEntry, admissionNamed } from '../../tiers/policy/admission.ts'
import { policyNamed } from '../../tiers/policy/register.ts'
import { WriteBudget } from '../../tiers/policy/write-budget.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from './engine.ts'
import { SimFiles } from './files.ts'
import { FakeNative } from './native.ts'
import { chanceOf, SimWorld } from './world.ts'

t.setTimeout(120_000)

const layout = layoutOf(1, 1, 512)
const blockBytes = 1_024
const hostBlocks = 128
const nvmeBlocks = 240
const nvmeBytes = 131_072 + nvmeBlocks * 8_192
const chat = workloads.filter(({ name }) => name === 'chat' || name === 'agent')
const recipe = { kinds: chat, spanMs: 3_600_000, rate: 0.5, blockTokens: 2_048, inputTokensMax: 60_000 }
const tree = makeTrace('made', { ...recipe, seed: 5 })

type Reached = {
  readonly hits: number
  readonly writes: number
  readonly refused: number
  readonly nvmeBlocks: number
}

function ruleOf(name: string): AdmissionEntry {
  const rule = admissionNamed(name)
  if (rule === null) throw new Error(`no rule ${name}`)
  return rule
}

/** The trace through the real store: each request loads what it can and stores the rest. */
async function inStore(setting: AdmissionSetting, policy: string, nvmePolicy: string): Promise<Reached> {
  const world = new SimWorld(3)
  const files = new SimFiles()
  const native = new FakeNative(world, files.disk)
  const meter = new Meter(storeMetrics)
  const opening = openStore({
    ...{ native, world, meter, files, s3: null, policy, nvmePolicy, nvmeBytes },
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '/data',
    hostBytes: hostBlocks * 4_096,
    admission: { nvme: setting },
  })
  const store = await world.until(opening)
  const namespace = namespaceOf('a', layout)
  const id = store.openNamespace(namespace)
  if (id === null) throw new Error('no namespace')
  const engine = new SimEngine(namespace, 64, new ServedChecker())
  const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
  const firstMs = world.nowMs()
  let hits = 0
  for (let request = 0; request < tree.requestCount; request += 1) {
    const dueMs = firstMs + (tree.arrivalMs[request] ?? 0)
    while (world.nowMs() < dueMs) await world.pass(Math.min(60_000, dueMs - world.nowMs()))
    const tokens = Uint32Array.from(pathOf(tree, request), (node) => node + 1)
    const count = tokens.length
    const deadlineMs = world.nowMs() + 30_000
    const { readyBlocks } = await world.until(engine.load(store, id, region, tokens, count, deadlineMs))
    engine.check(tokens, readyBlocks)
    hits += readyBlocks
    const absent = count - readyBlocks
    engine.compute(tokens, readyBlocks, absent, 0)
    if (absent > 0) {
      const answerTokens = tree.outputTokens[request] ?? 0
      await world.until(engine.store(store, id, region, tokens, readyBlocks, absent, answerTokens))
    }
  }
  store.check()
  const { nvme } = store.usage()
  return {
    hits,
    writes: meter.valueOf('terrace_tier_demoted_blocks_total', { tier: 'nvme' }),
    refused: Object.values(nvme.admission?.refusedBlocksByWhy ?? {}).reduce((sum, one) => sum + one, 0),
    nvmeBlocks: nvme.blockCount,
  }
}

/** The same in the bench's simulator. */
function inBench(setting: AdmissionSetting, policy: string, nvmePolicy: string): Reached {
  const trace = expandTrace(tree)
  const sizes = (capacityBlocks: number) => ({
    ...{ rowMax: trace.nodeCount, capacityBlocks, rowsAreNames: true },
    chance: () => Math.floor(chance() * 2 ** 32),
  })
  const chance = chanceOf(3)
  const tierOf = (name: string, itsPolicy: string, capacityBlocks: number) => {
    const made = policyNamed(itsPolicy)?.make(sizes(capacityBlocks))
    if (made === undefined) throw new Error(`no policy ${itsPolicy}`)
    const admission = name === 'nvme' ? setting.rule.make() : null
    const limit = setting.writeBytesPerDay / blockBytes
    const budget = name === 'nvme' && limit > 0 ? new WriteBudget(limit, 0) : null
    return { name, capacityBlocks, policy: made, admission, budget, survives: name === 'nvme' }
  }
  const tiers = [tierOf('host', policy, hostBlocks), tierOf('nvme', nvmePolicy, nvmeBlocks)]
  const stack = new TierStack(trace, tiers, setting.demotion)
  let hits = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const path = trace.refs.subarray(trace.starts[request] as number, trace.starts[request + 1] as number)
    hits += stack.serve(path, trace.arrivalMs[request] as number, trace.outputTokens[request] as number)
  }
  const [, nvme] = stack.report()
  return { hits, writes: nvme?.writes ?? 0, refused: nvme?.refusals ?? 0, nvmeBlocks: nvme?.heldBlocks ?? 0 }
}

/** Rule, policies of host memory and of the drive, and bytes per day: a budget of some twelfths of what `all` writes in the trace's hour. */
const cases = [
  ['all', 'lru', 'lru', 0],
  ['all', 'lru', 'lru', 1_500 * blockBytes],
  ['used-twice', 'lru', 'lru', 0],
  ['pressure', 'lru', 'lru', 0],
  ['likely', 'lru', 'terrace', 0],
  ['likely', 'lru', 'terrace', 1_500 * blockBytes],
  ['likely', 'probation', 'terrace', 0],
] as const

/** Copies overlap in the store and take no time in the bench, so the two are close, not equal. */
function areClose(left: number, right: number, share: number): boolean {
  return Math.abs(left - right) <= share * Math.max(left, right)
}

for (const [name, policy, nvmePolicy, writeBytesPerDay] of cases) {
  const within = writeBytesPerDay === 0 ? '' : ' within its budget'
  void t.test(
    `${name} under ${policy}: the store writes to its drive${within} what the simulator writes`,
    async (t) => {
      const setting: AdmissionSetting = { rule: ruleOf(name), demotion: 'demote', writeBytesPerDay }
      const reached = await inStore(setting, policy, nvmePolicy)
      const told = inBench(setting, policy, nvmePolicy)
      const both = JSON.stringify({ reached, told })
      t.equal(reached.nvmeBlocks, told.nvmeBlocks, 'the tier is full in both')
      t.ok(areClose(reached.hits, told.hits, 0.02), `hits: ${both}`)
      t.ok(areClose(reached.writes, told.writes, 0.03), `writes: ${both}`)
      t.ok(areClose(reached.refused, told.refused, 0.1), `refusals: ${both}`)
      t.equal(reached.refused > 0, name !== 'all' || writeBytesPerDay > 0, 'every rule but all refuses some')
      if (writeBytesPerDay > 0) t.ok(reached.writes <= 1_500 * (1 + 1 / 24), `the budget holds: ${both}`)
    },
  )
}
