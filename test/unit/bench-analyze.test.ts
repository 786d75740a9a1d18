import { join } from 'node:path'
import t from 'tap'
import { analyzeTrace, topTenthShare } from '../../bench/analyze.ts'
import { chunkRates } from '../../bench/analyze-chunks.ts'
import { analysisReport } from '../../bench/commands/analyze.ts'
import { traceOfLists } from '../../bench/trace/builder.ts'
import { loadTree } from '../../bench/trace/load.ts'
import { reblocked } from '../../bench/trace/reblock.ts'
import { capturedIo, sharedTrace } from '../traces.ts'

/** Published figures of the shared traces: shape, reuse gaps (s, as printed), idle-time curve, chunk sizes. */
const reference = {
  'mooncake-conversation': {
    shape: [12_031, 288_500, 182_790, 512, 3_537, 0.3664],
    tokens: [12_035, 6_909, 85_401, 343],
    blocks: [24, 247],
    once: 75.9,
    ten: 0.7,
    gaps: [114, 267, 519, 627, 1_578],
    idle: [0.0586, 0.1034, 0.1916, 0.2877, 0.3434, 0.3594, 0.3635, 0.3664, 0.3664],
    chunks: [0.3734, 0.3396, 0.321, 0.2912],
    topTenth: 0.751,
    partialTails: 12_009,
  },
  'claude-code-dev': {
    shape: [17_534, 3_998_510, 159_459, 512, 28_738, 0.9601],
    tokens: [116_565, 102_293, 440_150, 437],
    blocks: [228, 1_638],
    once: 15.1,
    ten: 63.3,
    gaps: [19, 38, 116, 244, 1_540],
    idle: [0.6622, 0.7994, 0.8665, 0.9176, 0.9358, 0.9489, 0.9598, 0.9599, 0.9601],
    chunks: [0.9617, 0.9595, 0.9552, 0.9464],
    topTenth: 0.421,
    partialTails: null,
  },
  miniswe: {
    shape: [402, 151_363, 9_886, 16, 552, 0.9347],
    tokens: [6_017, 3_807, 34_513, 114],
    blocks: [377, 2_268],
    once: 8.5,
    ten: 66.2,
    gaps: null,
    idle: [0.9338, 0.9338, 0.9338, 0.9338, 0.9347, 0.9347, 0.9347, 0.9347, 0.9347],
    chunks: [0.9359, 0.9344, 0.9318, 0.9267, 0.9179, 0.8971],
    topTenth: 0.203,
    partialTails: null,
  },
  'mixed-tenants': {
    shape: [15_260, 820_780, 240_712, 512, 3_537, 0.7067],
    tokens: [27_317, 10_616, 186_796, 343],
    blocks: [54, 878],
    once: 71.9,
    ten: 7.8,
    gaps: [23, 63, 195, 387, 1_192],
    idle: [0.4224, 0.5276, 0.6003, 0.6585, 0.6865, 0.6997, 0.7057, 0.7067, 0.7067],
    chunks: [],
    topTenth: 0.881,
    partialTails: null,
  },
} as const

function four(value: number): number {
  return Math.round(value * 1e4) / 1e4
}

for (const [name, wanted] of Object.entries(reference)) {
  const trace = sharedTrace(name)
  void t.test(`${name}: the published figures, exactly`, { skip: trace.skip }, async (t) => {
    const loaded = await loadTree(trace.path ?? '', {}, capturedIo())
    const { tree } = loaded
    const found = analysisReport(loaded, await analyzeTrace(loaded.tree)).json as Readonly<
      Record<string, number>
    > & {
      readonly inputTokens: { readonly mean: number; readonly p50: number; readonly p99: number }
      readonly outputTokens: { readonly mean: number }
      readonly blocksPerRequest: { readonly mean: number; readonly max: number }
      readonly reuseGapSeconds: Readonly<Record<string, number>>
      readonly idle: readonly { readonly hitRate: number }[]
      readonly chunks: readonly { readonly tokenHitRate: number }[]
    }
    const span = Math.round(found.spanSeconds ?? 0)
    const shape = [
      found.requests,
      found.references,
      found.blocks,
      found.blockTokens,
      span,
      four(found.unlimitedHitRate ?? 0),
    ]
    t.same(shape, wanted.shape)
    const { inputTokens, outputTokens, blocksPerRequest } = found
    const tokens = [
      Math.round(inputTokens.mean),
      inputTokens.p50,
      inputTokens.p99,
      Math.round(outputTokens.mean),
    ]
    t.same(tokens, wanted.tokens)
    t.same([Math.round(blocksPerRequest.mean), blocksPerRequest.max], wanted.blocks)
    t.ok(Math.abs((found.usedOnceShare ?? 0) * 100 - wanted.once) < 0.051, 'blocks used once')
    t.ok(Math.abs((found.usedTenTimesShare ?? 0) * 100 - wanted.ten) < 0.051, 'blocks used ten times')
    t.equal(Math.round((found.topTenthReuseShare ?? 0) * 1e3) / 1e3, wanted.topTenth)
    if (wanted.gaps !== null) t.same(Object.values(found.reuseGapSeconds).map(Math.round), wanted.gaps)
    t.same(
      found.idle.map(({ hitRate }) => four(hitRate)),
      wanted.idle,
    )
    t.same(
      found.chunks.slice(0, wanted.chunks.length).map(({ tokenHitRate }) => four(tokenHitRate)),
      wanted.chunks,
    )
    if (wanted.partialTails !== null)
      t.equal((await analyzeTrace(tree)).partialTailCount, wanted.partialTails)
  })
}

void t.test('tenants of the mixed trace', { skip: sharedTrace('mixed-tenants').skip }, async (t) => {
  const loaded = await loadTree(sharedTrace('mixed-tenants').path ?? '', {}, capturedIo())
  const { tenants } = await analyzeTrace(loaded.tree)
  const rows = tenants.map(({ name, requests, references, distinctBlocks, hits }) => [
    name,
    requests,
    references,
    distinctBlocks,
    four(hits / references),
  ])
  t.same(rows, [
    ['chat', 12_031, 288_500, 182_790, 0.3664],
    ['scan', 799, 31_666, 30_868, 0.0252],
    ['code', 2_430, 500_614, 27_054, 0.946],
  ])
})

void t.test('a made trace: every figure as counted by hand', async (t) => {
  // Two tenants; blocks of 10 tokens; the last block of a line is partial where the tokens say so.
  const lines = [
    { timestamp: 0, input_length: 30, output_length: 1, hash_ids: [1, 2, 3], session_id: 'a', tenant: 'x' },
    {
      timestamp: 4_000,
      input_length: 35,
      output_length: 2,
      hash_ids: [1, 2, 3, 4],
      session_id: 'a',
      tenant: 'x',
    },
    { timestamp: 5_000, input_length: 20, output_length: 3, hash_ids: [1, 2], session_id: 'b', tenant: 'y' },
    { timestamp: 9_000, input_length: 20, output_length: 4, hash_ids: [7, 8], session_id: 'b', tenant: 'y' },
    { timestamp: 10_000, input_length: 10, output_length: 5, hash_ids: [1], session_id: 'b', tenant: 'y' },
  ]
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  const path = join(t.testdir({ 'made.jsonl': text }), 'made.jsonl')
  const loaded = await loadTree(path, { blockTokens: 10 }, capturedIo())
  const analysis = await analyzeTrace(loaded.tree)
  const found = analysisReport(loaded, analysis).json
  t.match(found, {
    requests: 5,
    references: 12,
    blocks: 6,
    spanSeconds: 10,
    unlimitedHitRate: 6 / 12,
    requestsWithHitShare: 3 / 5,
    usedOnceShare: 3 / 6,
    partialTails: 1,
    blocksPerRequest: { mean: 12 / 5, max: 4 },
    inputTokens: { mean: 115 / 5, p50: 20 },
    outputTokens: { mean: 3 },
    sessions: 2,
    // Blocks 1, 2 and 3 after 4 s, 1 and 2 after one more, 1 after 5 s.
    reuseGapSeconds: { p50: 4, p75: 4, p90: 5 },
    sessionGapSeconds: { p50: 4, p90: 4 },
    hitsFromOtherSessionsShare: 2 / 6,
    hitsFromOtherTenantsShare: 2 / 6,
    blocksSharedBySessionsShare: 2 / 6,
  })
  const tenants = analysis.tenants.map(({ name, requests, references, distinctBlocks, hits }) => [
    name,
    requests,
    references,
    distinctBlocks,
    hits,
  ])
  t.same(tenants, [
    ['x', 2, 7, 4, 3],
    ['y', 3, 5, 2, 3],
  ])
  // In tokens: of one block 3 + 2 + 1 blocks of full ones come again, of two blocks 2 + 2.
  const rates = chunkRates(loaded.tree, 3).map(({ tokenHitRate }) => tokenHitRate)
  t.same(rates, [60 / 115, 40 / 115, 0])
  // Four blocks used 1, 2, 3 and 12 times: the first tenth of ten is the one with eleven re-references of 14.
  t.equal(topTenthShare(Int32Array.from([0, 7, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1])), 11 / 14)
})

void t.test('a prompt whose tail is partial hits only full chunks', async (t) => {
  const line = JSON.stringify({ timestamp: 0, input_length: 25, output_length: 1, hash_ids: [1, 2, 3] })
  const path = join(t.testdir({ 'tail.jsonl': `${line}\n${line}\n` }), 'tail.jsonl')
  const { tree } = await loadTree(path, { blockTokens: 10 }, capturedIo())
  t.same(
    chunkRates(tree, 1).map(({ tokenHitRate }) => tokenHitRate),
    [20 / 50],
  )
})

void t.test('the golden mini trace', async (t) => {
  const tree = traceOfLists('golden', [
    [1, 2, 3],
    [1, 2, 4, 5],
    [6, 7],
    [1, 2, 3],
    [1, 2, 4, 5],
    [6, 7, 8],
    [1, 2, 3],
  ])
  t.equal(tree.referenceCount, 22)
  t.equal(tree.nodeCount, 8)
  t.equal((await analyzeTrace(tree)).unlimitedHitCount, 14)
})

void t.test(
  're-blocking: by one is the identity, coarser never raises the token hit rate',
  { skip: sharedTrace('miniswe').skip },
  async (t) => {
    const { tree } = await loadTree(sharedTrace('miniswe').path ?? '', {}, capturedIo())
    t.equal(reblocked(tree, 1), tree)
    const rates = chunkRates(tree, 6)
    for (let size = 1; size < 6; size += 1) {
      const coarse = reblocked(tree, 2 ** size)
      const direct = chunkRates(coarse, 1)[0]?.tokenHitRate ?? 0
      t.equal(
        four(direct),
        four(rates[size]?.tokenHitRate ?? 0),
        `${2 ** size} to one: the same from the coarse trace`,
      )
      t.ok(direct <= (rates[size - 1]?.tokenHitRate ?? 0))
    }
  },
)
