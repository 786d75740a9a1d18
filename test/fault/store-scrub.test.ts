import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import t from 'tap'
import { realWorld, type World } from '../../tiers/block/clock.ts'
import { slotPageBytes } from '../../tiers/block/limits.ts'
import { scrubPauseMs } from '../../tiers/scrub.ts'
import { fetchBack, keep, openRig, tokensOf } from '../crash/store-rig.ts'

/** The machine's time, but for the scrubber's long pauses. */
const impatient: World = {
  ...realWorld,
  after: (ms, run) => realWorld.after(ms >= scrubPauseMs ? 50 : ms, run),
}

/** Flips one bit in the payload of the slot that carries a block of the given position. */
function flip(file: string, position: number): void {
  const slab = readFileSync(file)
  const magic = Buffer.from('TERRACE\n')
  let at = slab.indexOf(magic)
  for (let i = 0; i < position; i++) at = slab.indexOf(magic, at + 1)
  const descriptor = openSync(file, 'r+')
  const byte = at + slotPageBytes + 1_234
  writeSync(descriptor, Uint8Array.of((slab[byte] ?? 0) ^ 1), 0, 1, byte)
  closeSync(descriptor)
}

void t.test('a bit that flips on a real drive is found while nobody asks for its block', async (t) => {
  const directory = t.testdir()
  const rig = await openRig(directory, { world: impatient })
  const { meter, store } = rig
  await keep(rig, tokensOf(20))
  const metrics = async (name: Parameters<typeof meter.valueOf>[0], wanted: number): Promise<number> => {
    for (let i = 0; i < 400 && meter.valueOf(name) < wanted; i++) await realWorld.sleep(10)
    return meter.valueOf(name)
  }
  while (store.usage().nvme.blockCount < 20) await realWorld.sleep(10)
  t.ok((await metrics('terrace_tier_scrubbed_blocks_total', 20)) >= 20, 'a walk')
  t.equal(meter.valueOf('terrace_tier_damaged_blocks_total'), 0, 'finds nothing wrong')
  flip(`${directory}/nvme.slab`, 7)
  t.equal(await metrics('terrace_tier_damaged_blocks_total', 1), 1, 'the next one does')
  t.equal(store.usage().nvme.blockCount, 19)
  t.match(await fetchBack(rig, tokensOf(20)), { readyBlocks: 20, byTier: { host: 20 } }, 'host memory has it')
  await rig.end()
  const next = await openRig(directory)
  const warm = await fetchBack(next, tokensOf(20))
  t.match(warm, { readyBlocks: 7, stop: 'absent' }, 'after a restart: a miss, not damage')
  t.equal(next.meter.valueOf('terrace_tier_damaged_blocks_total'), 0)
  await next.end()
})
