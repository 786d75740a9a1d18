import t from 'tap'
import { plantedBugs } from '../planted/bugs.ts'
import { hunt } from '../planted/plant.ts'

/** The bugs that are found within seconds; all of them: `node test/planted/run.ts`. */
const quick = [
  'no pin on the slot while it is copied to the engine',
  'tenant left out of the namespace',
  'a pinned slot may be evicted and reused',
  'no pin on the source of a write-back',
]

void t.test('the product as it is passes the same hunt', async (t) => {
  t.same((await hunt(null, 1, 3, 60_000)).as, 'missed')
})

for (const name of quick) {
  void t.test(name, async (t) => {
    const bug = plantedBugs.find((one) => one.name === name)
    t.ok(bug, 'the list names it')
    t.equal(bug === undefined ? '' : (await hunt(bug, 1, 60, 60_000)).as, 'found')
  })
}

void t.test('every planted bug still fits the text it changes', async (t) => {
  const { readFileSync } = await import('node:fs')
  for (const { name, changes } of plantedBugs) {
    for (const { file, from } of changes) {
      t.ok(readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8').includes(from), `${name}: ${file}`)
    }
  }
})
