import t from 'tap'
import { analyzeTrace } from '../../bench/analyze.ts'
import { Chance } from '../../bench/chance.ts'
import { benchMain } from '../../bench/main.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { IdSource, Prompt } from '../../bench/synthesize/prompt.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { blockCountOf } from '../../bench/trace/trace.ts'
import { capturedIo } from '../traces.ts'

async function synthesize(...words: string[]): Promise<{ code: number; out: string; note: string }> {
  const io = capturedIo()
  return { code: await benchMain(['synthesize', ...words], io), out: io.outText(), note: io.noteText() }
}

void t.test('the same seed gives the same trace, another seed another', async (t) => {
  const one = await synthesize('--minutes', '3', '--kind', 'chat,agent')
  t.equal(one.code, 0)
  t.ok(one.out.length > 1_000)
  t.equal((await synthesize('--minutes', '3', '--kind', 'chat,agent')).out, one.out)
  t.not((await synthesize('--minutes', '3', '--kind', 'chat,agent', '--seed', '2')).out, one.out)
  t.match((await synthesize('--kind', 'chats')).note, /unknown "chats" .*Did you mean "chat"\?/)
})

void t.test('lines are sorted, lengths fit the blocks, several kinds are tenants', async (t) => {
  const { out } = await synthesize('--minutes', '4', '--kind', 'chat,documents,scan', '--block-tokens', '64')
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.ok(lines.length > 100)
  t.ok(lines.every(({ timestamp }, at) => at === 0 || timestamp >= lines[at - 1].timestamp))
  t.ok(lines.every((line) => line.hash_ids.length === Math.ceil(line.input_length / 64)))
  t.same([...new Set(lines.map(({ tenant }) => tenant))].sort(), ['chat', 'documents', 'scan'])
})

void t.test('each kind has the reuse it is made for', async (t) => {
  const rateOf = async (name: string): Promise<number> => {
    const kinds = workloads.filter((workload) => workload.name === name)
    const tree = makeTrace(name, {
      kinds,
      spanMs: 1_800_000,
      rate: 2,
      blockTokens: 512,
      inputTokensMax: 200_000,
      seed: 3,
    })
    t.ok(tree.requestCount > 1_500, `${name}: about the wanted rate`)
    t.ok(tree.requestCount < 7_000, `${name}: about the wanted rate`)
    for (let request = 0; request < tree.requestCount; request += 1) {
      if (blockCountOf(tree, request) !== Math.ceil((tree.inputTokens[request] ?? 0) / 512))
        t.fail('a length does not fit')
    }
    return (await analyzeTrace(tree)).unlimitedHitCount / tree.referenceCount
  }
  t.ok((await rateOf('agent')) > 0.85)
  t.ok((await rateOf('documents')) > 0.7)
  const chat = await rateOf('chat')
  t.ok(chat > 0.3 && chat < 0.8)
  t.ok((await rateOf('scan')) < 0.06)
})

void t.test('a prompt keeps the ids of full blocks, its partial tail is new each time', (t) => {
  const source = new IdSource()
  const [one, two] = [new Prompt(source, 10), new Prompt(source, 10)]
  one.startShared('x', 25)
  two.startShared('x', 25)
  t.same(one.blocks().slice(0, 2), two.blocks().slice(0, 2))
  t.not(one.blocks()[2], two.blocks()[2])
  one.append(5)
  const full = one.blocks()
  t.equal(full.length, 3)
  t.same(one.blocks(), full, 'without a tail nothing is new')
  t.end()
})

void t.test('chance: uniform, bounded, skewed as asked', (t) => {
  const chance = new Chance(5)
  const counts = new Float64Array(10)
  for (let draw = 0; draw < 10_000; draw += 1) counts[Math.floor(chance.next() * 10)]! += 1
  t.ok(counts.every((count) => count > 850 && count < 1_150))
  for (let draw = 0; draw < 1_000; draw += 1) {
    const whole = chance.whole(3, 5)
    if (whole < 3 || whole > 5) t.fail('out of bounds')
  }
  const zipf = new Float64Array(5)
  for (let draw = 0; draw < 5_000; draw += 1) zipf[chance.zipf(5, 1)]! += 1
  t.ok(zipf.every((count, at) => at === 0 || count < (zipf[at - 1] ?? 0)))
  t.end()
})
