import { parseArgs } from 'node:util'
import { simulate } from './simulate.ts'

/** The simulator for as long as you like: `node test/sim/run.ts --seed 1 --minutes 10`, or one seed again: `--seed
 *  123 --count 1`. */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000000' },
    minutes: { type: 'string', default: '1' },
    operations: { type: 'string', default: '120' },
  },
})
const untilMs = performance.now() + Number(values.minutes) * 60_000
const sums = { seeds: 0, served: 0, stored: 0, steps: 0, damaged: 0 }
for (
  let seed = Number(values.seed);
  sums.seeds < Number(values.count) && performance.now() < untilMs;
  seed++
) {
  try {
    const result = await simulate(seed, Number(values.operations))
    sums.seeds += 1
    sums.served += result.servedBlocks
    sums.stored += result.storedBlocks
    sums.steps += result.steps
    sums.damaged += result.damagedBlocks
  } catch (error) {
    console.error(`node test/sim/run.ts --seed ${seed} --count 1 --operations ${values.operations}`)
    console.error(error)
    process.exit(1)
  }
}
console.log(
  `${sums.seeds} seeds, ${sums.steps} steps: ${sums.stored} blocks stored, ${sums.served} served, 0 wrong; ` +
    `${sums.damaged} damaged copies refused`,
)
