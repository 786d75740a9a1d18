import t from 'tap'
import { simulate } from './simulate.ts'

/** Longest run, in milliseconds; a slow machine gets through fewer seeds, never through a wrong block. */
const msMax = 12_000
const seedsMax = 40

void t.test('random stores, loads, evictions, faults and crashes serve no wrong block', async (t) => {
  const untilMs = performance.now() + msMax
  let [seeds, served, lives] = [0, 0, 0]
  for (let seed = 1; seed <= seedsMax && performance.now() < untilMs; seed++) {
    const result = await simulate(seed, 80)
    seeds += 1
    served += result.servedBlocks
    lives += result.lives
  }
  t.ok(served > 200, `${served} blocks served in ${seeds} runs and ${lives} lives`)
})

void t.test('a seed repeats itself exactly', async (t) => {
  t.same(await simulate(7, 40), await simulate(7, 40))
})
