import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import t, { type Test } from 'tap'
import { fetchBack, keep, openRig, tokensOf } from '../crash/store-rig.ts'

/** A file system of its own that is nearly full of the slab alone; null where this user may not mount one. */
function tinyFileSystem(directory: string, bytes: number): { readonly unmount: () => void } | null {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'terrace-test', directory])
  if (mounted.status !== 0) return null
  return { unmount: () => spawnSync('umount', ['-l', directory]) }
}

/** Takes what space is left. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (;;) writeSync(file, new Uint8Array(4_096))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  } finally {
    closeSync(file)
  }
}

void t.test('a catalog that cannot be written goes off; blocks are stored and served on', async (t) => {
  const directory = t.testdir()
  const nvmeBytes = 4 * 2 ** 20
  const mounted = tinyFileSystem(directory, nvmeBytes + 512 * 2 ** 10)
  if (mounted === null) {
    t.comment('skipped: this user may not mount a tmpfs')
    return
  }
  try {
    await storeOnFullDisk(t, directory, nvmeBytes)
  } finally {
    mounted.unmount()
  }
})

async function storeOnFullDisk(t: Test, directory: string, nvmeBytes: number): Promise<void> {
  const rig = await openRig(directory, { hostBytes: 2 ** 20, nvmeBytes })
  await keep(rig, tokensOf(16))
  fill(`${directory}/filler`)
  for (let i = 0; i < 60; i++) await keep(rig, tokensOf(16, 1_000 * i))
  t.match(rig.store.usage().nvme, { state: 'serving' })
  t.equal(rig.meter.valueOf('terrace_tier_catalog_on'), 0, 'it is off')
  let served = 0
  for (let i = 50; i < 60; i++) served += (await fetchBack(rig, tokensOf(16, 1_000 * i))).readyBlocks
  t.ok(served >= 16, `${served} blocks served`)
  await rig.end()
  rmSync(`${directory}/filler`)
  const next = await openRig(directory, { hostBytes: 2 ** 20, nvmeBytes })
  t.ok(next.meter.valueOf('terrace_tier_recovered_blocks_total', { from: 'seals' }) > 0, 'the seals tell')
  for (let i = 0; i < 60; i++) await fetchBack(next, tokensOf(16, 1_000 * i))
  t.equal(next.meter.valueOf('terrace_tier_damaged_blocks_total'), 0)
  await next.end()
}
