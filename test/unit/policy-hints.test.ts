import t from 'tap'
import { answersOnly, type Hints, hintStream } from '../../bench/simulate/hint-stream.ts'
import { lazyNextUses, simulatedPolicyNamed } from '../../bench/simulate/table.ts'
import { HintGuesser, hintClassOf } from '../../tiers/policy/hints.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

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

for (const [name, shares] of Object.entries({
  'mooncake-conversation': [0.01, 0.25],
  'mixed-tenants': [0.02],
})) {
  const { path, skip } = sharedTrace(name)
  void t.test(`guesses cost nothing, told hints pay, on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const guesses = hintStream(trace, { from: 'past' })
    const told = hintStream(trace, { from: 'future', wrongPercent: 20 })
    for (const share of shares) {
      const capacityBlocks = Math.ceil(share * trace.nodeCount)
      const rate = (hints: Hints): number => {
        const run = {
          capacityBlocks,
          seed: 7,
          next: lazyNextUses(trace),
          hitLog: null,
          hints,
          progress: null,
        }
        return (simulatedPolicyNamed('terrace')?.run(trace, run).hits ?? Number.NaN) / trace.referenceCount
      }
      const without = rate(answersOnly)
      const guessed = rate(guesses)
      t.ok(without > rate(hintStream(trace, { from: 'nowhere' })) - 0.005, `${share}: answers cost nothing`)
      t.ok(
        guessed > without - 0.003,
        `${share}: ${guessed.toFixed(4)} with guesses, ${without.toFixed(4)} without`,
      )
      t.ok(rate(told) > without, `${share}: told hints, one of five wrong, still help`)
    }
  })
}
