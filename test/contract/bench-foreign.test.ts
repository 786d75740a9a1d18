import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadTree } from '../../bench/trace/load.ts'
import { pathOf } from '../../bench/trace/trace.ts'
import { capturedIo } from '../traces.ts'

const folder = join(import.meta.dirname, 'foreign')

async function read(name: string) {
  const { tree, format, assumed } = await loadTree(
    join(folder, name),
    { format: null, blockTokens: null, skipBad: false },
    capturedIo(),
  )
  const paths = Array.from({ length: tree.requestCount }, (_, request) => pathOf(tree, request))
  return { tree, format, assumed: assumed.join('; '), paths }
}

const samples = readdirSync(folder).filter((name) => /\.(jsonl|msgpack)$/.test(name))

void t.test('every sample has a test here', async (t) => {
  t.ok(samples.length >= 10)
  t.same(
    samples.filter((name) => !/^(vllm|sglang)-[\d.]+\.(jsonl|msgpack)$|^lmcache/.test(name)),
    [],
  )
})

for (const name of samples.filter((sample) => /^(vllm|sglang)/.test(sample))) {
  void t.test(`${name}: the three requests that happened`, async (t) => {
    const { tree, format, paths, assumed } = await read(name)
    t.equal(format, name.endsWith('.jsonl') ? 'kv-events' : 'kv-events-msgpack')
    t.same(paths, [
      [0, 1, 2, 3, 4],
      [0, 1, 5, 6],
      [0, 1, 2, 3, 4, 7, 8],
    ])
    t.same([...tree.arrivalMs], [0, 2_000, 10_000])
    t.same([...tree.inputTokens], [20, 16, 28])
    t.equal(tree.blockTokens, 4)
    t.same(tree.tenantNames, ['rank 0'])
    const isNew = /vllm-0\.33|sglang-0\.5/.test(name)
    t.same(tree.session === null ? null : [...tree.session], isNew ? [0, 1, 0] : null)
    const hasMedium = !name.includes('0.4.9')
    t.equal(/1 stores in tiers below the GPU are left out/.test(assumed), hasMedium)
    t.equal(/1 stores of further layer groups/.test(assumed), name.includes('vllm-0.33'))
  })
}

void t.test('LMCache: the lookups of a server, and the chunk statistics of an engine', async (t) => {
  const server = await read('lmcache-0.5.6.jsonl')
  t.equal(server.format, 'lmcache')
  t.same(server.paths, [[0, 1], [0, 1, 2, 3], []])
  t.same([...server.tree.arrivalMs], [0, 500, 1_000])
  t.same([...server.tree.inputTokens], [600, 1_024, 100])
  t.same([server.tree.blockTokens, server.tree.tenantNames], [256, ['some-model']])
  const engine = await read('lmcache-chunks-0.5.6.jsonl')
  t.equal(engine.format, 'lmcache')
  t.same(engine.paths, [
    [0, 1],
    [0, 2],
  ])
  t.same([...engine.tree.inputTokens], [512, 512])
  t.match(engine.assumed, /chunks of 256 tokens: the log does not say/)
})
