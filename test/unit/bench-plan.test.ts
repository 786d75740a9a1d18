import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { tierBytes } from '../../bench/plan/cost.ts'
import { heldBlocks } from '../../bench/plan/distance.ts'
import { Evaluator, emptyService } from '../../bench/plan/evaluate.ts'
import { siteFields, siteOf } from '../../bench/plan/fields.ts'
import { findModel } from '../../bench/plan/find.ts'
import { kvShapeOfConfig } from '../../bench/plan/model.ts'
import { makePlan } from '../../bench/plan/plan.ts'
import { modelPresets } from '../../bench/plan/preset.ts'
import { queuedTtft } from '../../bench/plan/queue.ts'
import { breakEvens } from '../../bench/plan/reasons.ts'
import { neighboursOf } from '../../bench/plan/search.ts'
import type { Site } from '../../bench/plan/site.ts'
import { goOn } from '../../bench/progress.ts'
import { traceOfLists } from '../../bench/trace/builder.ts'
import { loadTree } from '../../bench/trace/load.ts'
import { capturedIo, sharedTrace } from '../traces.ts'

/** Published KV bytes per token in bf16. */
const bytesPerToken: Readonly<Record<string, number>> = {
  'llama-3.1-8b': 131_072,
  'llama-3-70b': 327_680,
  'llama-3.1-405b': 516_096,
  'qwen3-8b': 147_456,
  'qwen3-32b': 262_144,
  'qwen3-30b-a3b': 98_304,
  'deepseek-v3': 70_272,
  'deepseek-r1': 70_272,
  'kimi-k2': 70_272,
}

/** LRU leaf-first at 1, 2, 5, 10, 25 and 50 % of the distinct blocks. */
const lruLeafFirst: Readonly<Record<string, readonly number[]>> = {
  'mooncake-conversation': [0.0525, 0.0793, 0.1958, 0.2789, 0.3535, 0.3631],
  'claude-code-dev': [0.2806, 0.6409, 0.9098, 0.9487, 0.96, 0.9601],
  miniswe: [0.2476, 0.4427, 0.6705, 0.7983, 0.9338, 0.9338],
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: a hit rate, not a logarithm
  'mixed-tenants': [0.1319, 0.3559, 0.5678, 0.644, 0.693, 0.7026],
}

function siteWith(changes: Record<string, unknown>, perToken = 1_000): Site {
  const defaults = Object.entries(siteFields).map(([name, field]) => [
    name,
    field.kind === 'flag' ? false : field.fallback,
  ])
  return siteOf({ ...Object.fromEntries(defaults), ...changes }, perToken)
}

void t.test('windows alone are counted, a model without KV is refused', async (t) => {
  const config = {
    ...{ num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8, hidden_size: 4_096 },
    torch_dtype: 'bfloat16',
  }
  const windows = kvShapeOfConfig('m', { ...config, sliding_window: 4_096 }, 'auto')
  t.equal(windows.bytesPerToken, 32 * 8 * 128 * 2 * 2)
  t.match(windows.notes.join(), /32 layers keep a window .* counted as full ones/)
  const none = { ...config, layer_types: Array.from({ length: 32 }, () => 'linear_attention') }
  t.throws(() => kvShapeOfConfig('m', none, 'auto'), { message: /no layer keeps KV per token/ })
})

void t.test('KV bytes per token of the known models; fp8 halves', (t) => {
  for (const [name, bytes] of Object.entries(bytesPerToken)) {
    t.equal(findModel(name, 'auto').bytesPerToken, bytes, name)
    t.equal(findModel(name, 'fp8').bytesPerToken, bytes / 2, `${name} in fp8`)
  }
  t.ok(Object.keys(modelPresets).length >= Object.keys(bytesPerToken).length)
  t.end()
})

void t.test('KV bytes from config.json: grouped heads, windows, hybrids, nested text model', (t) => {
  const plain = { num_hidden_layers: 4, hidden_size: 64, num_attention_heads: 8, torch_dtype: 'float16' }
  t.equal(kvShapeOfConfig('mha', plain, 'auto').bytesPerToken, 4 * 2 * 64 * 2)
  t.equal(
    kvShapeOfConfig('gqa', { ...plain, num_key_value_heads: 2 }, 'auto').bytesPerToken,
    4 * 2 * 2 * 8 * 2,
  )
  const nested = { text_config: { ...plain, num_key_value_heads: 2 }, torch_dtype: 'float32' }
  t.equal(kvShapeOfConfig('nested', nested, 'fp8').bytesPerToken, 4 * 2 * 2 * 8)
  const window = {
    ...plain,
    sliding_window: 100,
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention', 'full_attention'],
  }
  const windowed = kvShapeOfConfig('window', window, 'auto')
  t.same([windowed.fullLayers, windowed.windowLayers, windowed.bytesPerToken], [2, 2, 2 * 2 * 64 * 2])
  t.equal(windowed.windowBytes, 2 * 100 * 2 * 64 * 2)
  const gemma = kvShapeOfConfig(
    'pattern',
    { ...plain, num_hidden_layers: 12, sliding_window: 9, sliding_window_pattern: 6 },
    'auto',
  )
  t.same([gemma.fullLayers, gemma.windowLayers], [2, 10])
  const off = { ...plain, sliding_window: 9, use_sliding_window: false }
  t.equal(kvShapeOfConfig('switched off', off, 'auto').fullLayers, 4)
  const hybrid = kvShapeOfConfig(
    'hybrid',
    { ...plain, num_hidden_layers: 8, full_attention_interval: 4 },
    'auto',
  )
  t.same([hybrid.fullLayers, hybrid.stateLayers], [2, 6])
  const jamba = kvShapeOfConfig(
    'period',
    { ...plain, num_hidden_layers: 8, attn_layer_period: 8, attn_layer_offset: 4 },
    'auto',
  )
  t.equal(jamba.fullLayers, 1)
  const nemotron = kvShapeOfConfig('letters', { ...plain, hybrid_override_pattern: 'M-M-*-M*' }, 'auto')
  t.same([nemotron.fullLayers, nemotron.stateLayers], [2, 3])
  t.throws(() => kvShapeOfConfig('none', {}, 'auto'), /field "num_hidden_layers" is missing/)
  t.throws(() => kvShapeOfConfig('odd', { ...plain, torch_dtype: 'bf17' }, 'auto'), /unknown KV type "bf17"/)
  t.end()
})

void t.test('models from files: config.json, its folder, and clear refusals', (t) => {
  const folder = t.testdir({
    'config.json': JSON.stringify({ num_hidden_layers: 1, hidden_size: 8, num_attention_heads: 2 }),
  })
  t.equal(findModel(folder, 'auto').bytesPerToken, 32)
  t.equal(findModel(join(folder, 'config.json'), 'auto').bytesPerToken, 32)
  t.throws(() => findModel('llama-3-7b', 'auto'), /no preset "llama-3-7b" .*Did you mean "llama-3-70b"\?/)
  t.throws(() => findModel('./nowhere.json', 'auto'), { name: 'InputError' })
  writeFileSync(join(folder, 'x.gguf'), 'GGUF')
  t.throws(() => findModel(join(folder, 'x.gguf'), 'auto'), /no usable GGUF file: truncated/)
  t.end()
})

for (const [name, wanted] of Object.entries(lruLeafFirst)) {
  const trace = sharedTrace(name)
  void t.test(
    `${name}: one pass gives LRU at every capacity, to four digits`,
    { skip: trace.skip },
    async (t) => {
      const { tree } = await loadTree(trace.path ?? '', {}, capturedIo())
      const capacities = Int32Array.from([1, 2, 5, 10, 25, 50], (percent) =>
        Math.ceil((percent * tree.nodeCount) / 100),
      )
      const held = await heldBlocks(tree, capacities)
      t.same(
        Array.from(held.hits, (hits) => Math.round((hits / tree.referenceCount) * 1e4) / 1e4),
        wanted,
      )
      for (let at = 1; at < 6; at += 1) t.ok((held.entering[at] ?? 0) <= (held.entering[at - 1] ?? 0))
    },
  )
}

void t.test('the golden mini trace: leading hits and inserts per capacity', async (t) => {
  const tree = traceOfLists('golden', [
    [1, 2, 3],
    [1, 2, 4, 5],
    [6, 7],
    [1, 2, 3],
    [1, 2, 4, 5],
    [6, 7, 8],
    [1, 2, 3],
  ])
  const held = await heldBlocks(tree, Int32Array.from([3, 4, 5, 6]))
  const perRequest = (at: number): number[] =>
    Array.from({ length: 7 }, (_, request) => held.leading[request * 4 + at] ?? 0)
  t.same(perRequest(0), [0, 2, 0, 1, 2, 0, 0])
  t.same(perRequest(1), [0, 2, 0, 2, 2, 0, 1])
  t.same(perRequest(2), [0, 2, 0, 2, 2, 0, 2])
  t.same(perRequest(3), [0, 2, 0, 2, 3, 1, 2])
  t.same([...held.entering], [22, 18, 16, 14])
})

void t.test('a load is taken only where it beats computing', async (t) => {
  const tree = traceOfLists(
    'two',
    [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
    100,
  )
  const held = await heldBlocks(tree, Int32Array.from([0, 4]))
  const places = { hbm: 0, host: 0, nvme: 1, s3: 1 }
  const serve = (changes: Record<string, unknown>, request: number) => {
    const service = emptyService()
    new Evaluator(tree, held, siteWith({ prefillTokensPerSecond: 1_000, ...changes }, 1e6), 10).serve(
      request,
      places,
      service,
    )
    return service
  }
  t.equal(serve({}, 0).totalSeconds, 0.4, 'nothing is held for the first request')
  const quick = serve({ nvmeRate: 10, nvmeDelay: 0 }, 1)
  t.equal(quick.nvme, 399, 'the last token is always computed')
  t.ok(Math.abs(quick.totalSeconds - (0.0399 + 0.001)) < 1e-9)
  t.equal(serve({ nvmeRate: 0.5 }, 1).nvme, 0, 'a slow link is refused')
  t.equal(serve({ nvmeRate: 1, nvmeDelay: 0 }, 1).nvme, 0, 'a tie loads nothing')
  t.equal(serve({ nvmeRate: 10, nvmeDelay: 500 }, 1).nvme, 0, 'a long delay is refused')
})

void t.test('queues: engines are shared in order of arrival', async (t) => {
  const tree = traceOfLists('four', [[1], [2], [3], [4]], 100)
  const same = { ...tree, arrivalMs: new Float64Array(4) }
  const held = await heldBlocks(tree, Int32Array.from([0]))
  const site = siteWith({ prefillTokensPerSecond: 100 })
  const evaluator = new Evaluator(same, held, site, 10)
  const places = { hbm: 0, host: 0, nvme: 0, s3: 0 }
  t.same([...queuedTtft(same, evaluator, places, site, 1)], [1, 2, 3, 4])
  t.same([...queuedTtft(same, evaluator, places, site, 2)], [1, 1, 2, 2])
})

void t.test('break-even figures of the reference', (t) => {
  const at = (model: string, speed: number): number => findModel(model, 'auto').bytesPerToken * speed
  t.equal(Math.round(at('llama-3-70b', 10_000) / 1e8) / 10, 3.3)
  t.equal(Math.round(at('llama-3.1-8b', 30_000) / 1e8) / 10, 3.9)
  t.equal(Math.round(at('deepseek-v3', 15_000) / 1e8) / 10, 1.1)
  const exact = siteWith({ nvmeRate: 3.2768, prefillTokensPerSecond: 10_000 }, 327_680)
  const nvme = breakEvens(exact)[1]
  t.ok(Math.abs((nvme?.timesPrefill ?? 0) - 1) < 1e-12)
  t.equal(nvme?.tokensMin, null, 'at break-even nothing is gained')
  t.end()
})

void t.test(
  'a plan: dearer memory gives less of it; no tier when none pays; a goal comes first',
  async (t) => {
    const chance = Array.from({ length: 60 }, (_, index) =>
      Array.from({ length: 12 }, (_, block) => (index % 7) * 100 + block),
    )
    const tree = traceOfLists('round', chance, 100)
    const allowed = { host: true, nvme: true, s3: true }
    const plan = (changes: Record<string, unknown>) =>
      makePlan(tree, siteWith({ prefillTokensPerSecond: 1_000, ...changes }), allowed, goOn, 8)
    const cheap = await plan({})
    t.ok(cheap.bytes.host + cheap.bytes.nvme + cheap.bytes.s3 > 0)
    t.ok(cheap.search.best.cost.total < cheap.search.alone.cost.total)
    const dear = await plan({ dramGbMonth: 1e9, nvmeGbMonth: 1e9, s3GbMonth: 1e9 })
    t.equal(dear.bytes.host + dear.bytes.nvme + dear.bytes.s3, 0)
    t.equal(dear.search.best.cost.total, dear.search.alone.cost.total)
    const forced = await plan({
      dramGbMonth: 1e9,
      nvmeGbMonth: 1e9,
      s3GbMonth: 1e9,
      ttft: 300,
      ttftShare: 0.5,
    })
    t.equal(forced.search.best.meets, true, 'the goal is met although it costs more')
    t.ok(forced.engines !== null)
    t.equal((await plan({ ttft: 1 })).search.best.meets, false, 'an impossible goal is said to be so')
    let stepsLeft = 2
    const stopping = async (): Promise<boolean> => {
      stepsLeft -= 1
      return stepsLeft > 0
    }
    t.equal((await makePlan(tree, siteWith({}), allowed, stopping, 8)).partial, true)
    await t.rejects(
      makePlan(tree, siteWith({}), allowed, async () => false, 8),
      { name: 'Interrupted' },
    )
  },
)

void t.test(
  'terrace bench plan: more than 10,000 tier sizes, deterministic, complete JSON',
  { skip: sharedTrace('miniswe').skip },
  async (t) => {
    const words = ['plan', sharedTrace('miniswe').path ?? '', '--model', 'qwen3-8b', '--json']
    const run = async (): Promise<string> => {
      const io = capturedIo()
      t.equal(await benchMain(words, io), 0)
      return io.outText()
    }
    const text = await run()
    const report = JSON.parse(text)
    t.ok(report.triedCount >= 10_000)
    t.ok(report.best.costPerMonth.total <= report.alone.costPerMonth.total)
    t.ok(report.why.length > 2)
    t.equal(text, await run())
  },
)

void t.test('tiers that are written through each hold what those above them hold', async (t) => {
  const tree = traceOfLists('two', [[1, 2, 3, 4]], 100)
  const held = await heldBlocks(tree, Int32Array.from([0, 2, 3, 4]))
  const bytesOf = (host: number, nvme: number, s3: number) => tierBytes(held, { hbm: 0, host, nvme, s3 }, 10)
  t.same(bytesOf(1, 2, 3), { host: 20, nvme: 30, s3: 40 })
  t.same(bytesOf(1, 1, 3), { host: 20, nvme: 0, s3: 40 }, 'a tier at the place of the one above is not there')
  t.same(bytesOf(0, 2, 2), { host: 0, nvme: 30, s3: 0 })
  const allowed = { host: true, nvme: true, s3: true }
  const near = new Map(neighboursOf({ hbm: 0, host: 1, nvme: 2, s3: 2 }, 3, allowed))
  t.same(near.get('more host'), { hbm: 0, host: 2, nvme: 2, s3: 2 }, 'as large as the drive: none is needed')
  t.same(near.get('less NVMe'), { hbm: 0, host: 1, nvme: 1, s3: 1 })
  t.same(near.get('more NVMe'), { hbm: 0, host: 1, nvme: 3, s3: 3 })
  t.same(near.get('more S3'), { hbm: 0, host: 1, nvme: 2, s3: 3 })
  t.equal(near.get('less S3'), undefined, 'there is none')
})
