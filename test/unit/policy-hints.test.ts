import t from 'tap'
import { HintGuesser, hintClassOf } from '../../tiers/policy/hints.ts'

const answer = { finish: 'stop', hasTools: true } as const
const toolCall = { finish: 'tool_calls', hasTools: true } as const

void t.test('classes of an expected return', async (t) => {
  t.equal(hintClassOf(null), 'never')
  t.equal(hintClassOf(29_999), 'soon')
  t.equal(hintClassOf(30_000), 'minutes')
  t.equal(hintClassOf(300_000), 'later')
})

void t.test('a session is expected back after the median of its gaps of the same kind', async (t) => {
  const guesser = new HintGuesser()
  let nowMs = 0
  t.equal(guesser.finished(1, nowMs, toolCall), null, 'nothing is known at first')
  for (const gapMs of [1_000, 2_000, 90_000]) {
    nowMs += gapMs
    guesser.arrived(1, nowMs)
    guesser.finished(1, nowMs, toolCall)
  }
  t.equal(guesser.finished(1, nowMs, toolCall), 2_000)
  t.equal(
    guesser.finished(1, nowMs, answer),
    null,
    'after an answer a human is asked, of whom nothing is known',
  )
  for (const gapMs of [60_000, 80_000, 70_000]) {
    t.equal(guesser.finished(1, nowMs, answer), null, 'too few gaps after an answer')
    nowMs += gapMs
    guesser.arrived(1, nowMs)
  }
  t.equal(guesser.finished(1, nowMs, answer), 70_000)
  t.equal(guesser.finished(2, nowMs, answer), null, 'of a new session nothing is said')
})
