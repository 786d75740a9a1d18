import { keep, openRig, tokensOf } from './store-rig.ts'

/** Stores prompts without end, until it is killed. Prints a line once the first blocks are in. */
const [directory = '', seed = '0'] = process.argv.slice(2)
const rig = await openRig(directory, { hostBytes: 2 ** 20, nvmeBytes: 4 * 2 ** 20 })
for (let i = Number(seed); ; i++) {
  await keep(rig, tokensOf(8 + (i % 9), 1_000 * (i % 23)))
  if (i === Number(seed)) console.log('storing')
}
