import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { answersOnly, hintSourceNamed, hintStream, notesOf } from '../../bench/simulate/hint-stream.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import { makeTrace } from '../../bench/synthesize/make.ts'
import { workloads } from '../../bench/synthesize/workload.ts'
import { expandTrace, type Trace } from '../../bench/trace/trace.ts'
import { nativeText, plainNaming } from '../../bench/trace/write.ts'
import { ageBuckets } from '../../tiers/policy/age-buckets.ts'
import { HintGuesser, hintClassOf } from '../../tiers/policy/hints.ts'
import { RefinementTrial } from '../../tiers/policy/refinement-trial.ts'
import { capturedIo, loadSharedTrace, sharedTrace, traceOf } from '../traces.ts'

type Test = { ok(holds: boolean, says: string): void }
type Row = { readonly policy: string; readonly hints?: string; readonly hitRate: number }

const answer = { finish: 'stop', hasTools: true, answerTokens: 300 } as const
const toolCall = { finish: 'tool_calls', hasTools: true, answerTokens: 300 } as const

void t.test('classes of an expected return', async (t) => {
  t.equal(hintClassOf(null), 'never')
  t.equal(hintClassOf(29_999), 'soon')
  t.equal(hintClassOf(30_000), 'minutes')
  t.equal(hintClassOf(300_000), 'later')
})

void t.test('a session is expected back after the median of its gaps of the same kind', async (t) => {
  const guesser = new HintGuesser()
  let nowMs = 0
  t.equal(guesser.finished(1, nowMs, toolCall), 10_000, 'a tool usually runs for seconds')
  for (const gapMs of [1_000, 2_000, 90_000]) {
    nowMs += gapMs
    guesser.arrived(1, nowMs)
    guesser.finished(1, nowMs, toolCall)
  }
  t.equal(guesser.finished(1, nowMs, toolCall), 2_000)
  t.equal(
    guesser.finished(1, nowMs, answer),
    120_000,
    'after an answer a human is asked, of whom nothing is known',
  )
  for (const gapMs of [60_000, 80_000, 70_000]) {
    t.equal(guesser.finished(1, nowMs, answer), 120_000, 'too few gaps after an answer')
    nowMs += gapMs
    guesser.arrived(1, nowMs)
  }
  t.equal(guesser.finished(1, nowMs, answer), 70_000)
  t.equal(guesser.finished(2, nowMs, answer), 120_000, 'a new session is a usual one')
})

void t.test('a response that does not say how it finished is judged by its length', async (t) => {
  const unknown = { finish: 'unknown', hasTools: false } as const
  const expected = (answerTokens: number | null): string =>
    hintClassOf(new HintGuesser().finished(1, 0, { ...unknown, answerTokens }))
  t.equal(expected(40), 'soon', 'a short one is a tool call')
  t.equal(expected(400), 'minutes', 'a long one is written for a reader')
  t.equal(expected(null), 'minutes', 'of unknown length it is taken for an answer')
})

/** Hits of the default policy, hearing so much. */
function hitsOf(trace: Trace, words: string, share: number): number {
  const source = hintSourceNamed(words)
  if (source === null) throw new Error(words)
  const hints = hintStream(trace, source)
  const capacityBlocks = Math.ceil(share * trace.nodeCount)
  const run = { capacityBlocks, seed: 7, next: lazyNextUses(trace), hitLog: null, hints, progress: null }
  return (simulatedPolicyNamed('terrace')?.run(trace, run).hits ?? Number.NaN) / trace.referenceCount
}

/** `inferred` may cost this much in one cell: which kinds there are also changes which leaves are drawn. */
const chanceRate = 0.003

function neverWorse(t: Test, trace: Trace, shares: readonly number[]): number {
  let gain = 0
  for (const share of shares) {
    const [blind, inferred] = ['none', 'inferred'].map((words) => hitsOf(trace, words, share))
    const says = `${trace.name} at ${share}: ${inferred?.toFixed(4)}, ${blind?.toFixed(4)} hearing nothing`
    t.ok((inferred ?? 0) > (blind ?? 1) - chanceRate, says)
    gain += ((inferred ?? 0) - (blind ?? 1)) / shares.length
  }
  return gain
}

void t.test('the scale: what was inferred never costs hits, and pays where it tells something', async (t) => {
  const shares = [0.02, 0.05, 0.1]
  for (const [at, workload] of workloads.entries()) {
    const recipe = { kinds: [workload], spanMs: 2_400_000, rate: 2, blockTokens: 512 }
    const made = makeTrace(workload.name, { ...recipe, inputTokensMax: 100_000, seed: 31 + at })
    const trace = expandTrace(made)
    const gain = neverWorse(t, trace, shares)
    if (workload.name === 'agent') t.ok(gain > 0.01, `agents call tools shortly: ${gain.toFixed(4)}`)
    const silent = {
      ...trace,
      name: `silent ${trace.name}`,
      outputTokens: new Int32Array(trace.requestCount),
    }
    neverWorse(t, silent, shares)
  }
})

void t.test('gaps are asked only about answers whose lengths are unknown', async (t) => {
  const arrivalMs = Float64Array.of(0, 5_000, 10_000, 15_000)
  const trace = traceOf([[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]], 1)
  const codesOf = (...lengths: readonly number[]): readonly number[] | null => {
    const { codes } = hintStream(
      { ...trace, arrivalMs, outputTokens: Int32Array.from(lengths) },
      { from: 'past' },
    )
    return codes === null ? null : [...codes]
  }
  t.equal(codesOf(5, 50, 500, 5), null)
  const guesses = codesOf(5, 0, 500, 0) ?? []
  t.same([guesses[0], guesses[2]], [0, 0], 'what is known is no guess')
  const noted = { ...answersOnly, codes: Uint8Array.from(guesses) }
  t.match(notesOf(noted, 1), { hint: 'minutes', hintIsGuess: true })
  t.match(notesOf(noted, 0), { hint: 'none' })
  t.equal(hintSourceNamed('answers'), null)
  t.same(hintSourceNamed('told:20'), { from: 'future', wrongPercent: 20 })
  t.equal(hintSourceNamed('told:101'), null)
})

void t.test('a family of refinements is heard while it leads', async (t) => {
  const plain = 0
  const kinds = [1, 2] as const
  const trial = new RefinementTrial(1, 3, [20, 20])
  for (const kind of kinds) trial.begin(kind, kind - 1)
  t.notOk(
    kinds.some((kind) => trial.hears(kind)),
    'nothing is shown yet',
  )
  t.ok(trial.hears(plain), 'a plain kind needs no trial')
  t.ok(new RefinementTrial(1, 3, [0]).hears(1), 'one that need not lead is heard from the start')
  const hazards = (chance: number) => new Float64Array(ageBuckets).fill(chance)
  for (const kind of kinds) trial.compare(kind, hazards(0.2), hazards(0.02))
  const open = new Float64Array(3 * ageBuckets)
  for (let stay = 0; stay < 60; stay += 1) {
    trial.used(1, 3)
    if (stay % 6 === 0) trial.used(2, 3)
    else trial.ended(2, 30)
  }
  trial.judge(open, 3, 1)
  t.same(
    kinds.map((kind) => trial.hears(kind)),
    [true, false],
    'one foretold uses, the other promised too many',
  )
  open.fill(100, ageBuckets + 40, ageBuckets + 41)
  trial.judge(open, 3, 1)
  t.notOk(trial.hears(1), 'stays that run on count too')
  open.fill(0)
  trial.judge(open, 3, 0.001)
  t.ok(trial.hears(1), 'but only while they run')
  trial.judge(open, 3, 1)
  t.notOk(trial.hears(1), 'what was shown fades')
})

for (const [name, shares] of Object.entries({
  'mooncake-conversation': [0.01, 0.25],
  'mixed-tenants': [0.02],
})) {
  const { path, skip } = sharedTrace(name)
  void t.test(`the scale on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    neverWorse(t, trace, shares)
    for (const share of shares) {
      const told = hitsOf(trace, 'told:20', share)
      t.ok(told > hitsOf(trace, 'inferred', share), `${share}: told hints, one of five wrong, still help`)
    }
  })
}

void t.test('tiers and tenants hear the same', async (t) => {
  const folder = t.testdir({})
  const file = join(folder, 'trace.jsonl')
  const chat = workloads.filter(({ name }) => name === 'chat')
  const recipe = { kinds: chat, spanMs: 1_800_000, rate: 1.5, blockTokens: 512 }
  const made = makeTrace('chat', { ...recipe, inputTokensMax: 100_000, seed: 5 })
  writeFileSync(file, [...nativeText(made, plainNaming(made), () => true)].join(''))
  const rows = async (words: readonly string[]): Promise<ReadonlyMap<string, number>> => {
    const io = capturedIo()
    const all = ['simulate', file, ...words, '--hints', 'none,inferred,told', '--json']
    t.equal(await benchMain(all, io), 0, io.noteText())
    const { rows } = JSON.parse(io.outText())
    return new Map(rows.map((row: Row) => [`${row.policy} ${row.hints ?? 'inferred'}`, row.hitRate]))
  }
  const tiers = await rows(['--tiers', 'host=2%,nvme=5%', '--policy', 'terrace,lru'])
  t.same([...tiers.keys()], ['terrace none', 'terrace inferred', 'terrace told', 'lru inferred'])
  const told = tiers.get('terrace told') ?? 0
  t.ok(told > (tiers.get('terrace none') ?? 1) + 0.01, `tiers: ${[...tiers.values()].join(' ')}`)
  const tenants = await rows(['--tenants', 'shared', '--policy', 'terrace', '--capacity', '5%'])
  t.equal(tenants.size, 3)
  t.ok((tenants.get('terrace told') ?? 0) > (tenants.get('terrace none') ?? 1) + 0.01, 'tenants')
})
