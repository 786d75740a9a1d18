import { plantedBugs } from './bugs.ts'
import { hunt } from './plant.ts'

/** Puts every known bug back, one after the other, and demands that the simulator finds it: `node test/planted/run.ts [word]`. */
const word = process.argv[2] ?? ''
let missed = 0
for (const bug of plantedBugs.filter(({ name }) => name.includes(word))) {
  const startMs = performance.now()
  const result = await hunt(bug, 1, 100, 120_000)
  if (result.as === 'missed') missed += 1
  console.log(
    `${result.as} after ${Math.round((performance.now() - startMs) / 1_000)} s: ${bug.name} (${result.says})`,
  )
}
process.exit(missed === 0 ? 0 : 1)
