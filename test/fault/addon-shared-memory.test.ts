import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runChild } from '../addon-child.ts'
import { Rig } from '../addon-rig.ts'

/** EFAULT, as a status. */
const lostPage = -14
const sharedBytes = 2 ** 20

void t.test(
  'memory that its owner shortens is an error of the step, not the end of the process',
  async (t) => {
    const rig = new Rig(2)
    const { native } = rig
    const directory = t.testdir({})
    const path = join(directory, 'shared')
    const owner = openSync(path, 'w+')
    writeSync(owner, new Uint8Array(sharedBytes).fill(5))
    const shared = native.openShared(openSync(path, 'r+'), sharedBytes, true)
    const host = native.openMemory(2 * sharedBytes)
    const file = native.openFile(join(directory, 'slab'), 2 * sharedBytes, true)
    const place = native.openPlace(new Float64Array([0, 0, 0, 1, sharedBytes]))
    const wholeBlock = { byteCount: sharedBytes, place }
    const steps = [
      { operation: 'gather', sourceRegion: shared, targetRegion: host, ...wholeBlock },
      { operation: 'scatter', sourceRegion: host, targetRegion: shared, ...wholeBlock },
      { operation: 'sum', sourceRegion: shared, byteCount: sharedBytes },
      { operation: 'copy', sourceRegion: shared, targetRegion: host, byteCount: sharedBytes },
      { operation: 'copy', sourceRegion: host, targetRegion: shared, byteCount: sharedBytes },
      {
        operation: 'write',
        sourceRegion: shared,
        targetRegion: file,
        byteCount: sharedBytes - 4096,
        seal: 0,
      },
      {
        operation: 'read',
        sourceRegion: file,
        targetRegion: shared,
        byteCount: sharedBytes - 4096,
        seal: 256,
      },
    ] as const
    for (const done of await rig.run(...steps)) t.equal(done.status, 0, 'whole')
    ftruncateSync(owner, 4096)
    for (let round = 0; round < 3; round++) {
      for (const done of await rig.run(...steps)) {
        t.strictSame([done.status, done.byteCount], [lostPage, 0], `${steps[done.ticket]?.operation}`)
      }
    }
    t.match(await rig.run({ operation: 'sum', sourceRegion: shared, byteCount: 4096 }), [{ status: 0 }])
    ftruncateSync(owner, sharedBytes)
    for (const done of await rig.run(...steps)) t.equal(done.status, 0, 'whole again')
    closeSync(owner)
    await rig.close()
  },
)

void t.test('memory that is shortened while it is copied', async (t) => {
  const rig = new Rig(2)
  const { native } = rig
  const path = join(t.testdir({}), 'shared')
  const owner = openSync(path, 'w+')
  ftruncateSync(owner, sharedBytes)
  const shared = native.openShared(openSync(path, 'r+'), sharedBytes, true)
  let lost = 0
  for (let round = 0; round < 60; round++) {
    const sums = Array.from({ length: 64 }, () => ({
      operation: 'sum' as const,
      sourceRegion: shared,
      byteCount: sharedBytes,
    }))
    const running = rig.run(...sums)
    ftruncateSync(owner, 8192)
    await new Promise((resolve) => setImmediate(resolve))
    ftruncateSync(owner, sharedBytes)
    for (const done of await running) {
      if (done.status === lostPage) lost++
      else t.equal(done.status, 0)
    }
  }
  t.comment(`${lost} of ${60 * 64} steps met a lost page`)
  closeSync(owner)
  await rig.close()
})

void t.test('a SIGBUS that is not of a copy ends the process as ever', async (t) => {
  const child = await runChild(
    `const rig = new Rig(1)
     const region = native.openMemory(4096)
     await rig.run({ operation: 'sum', sourceRegion: region, byteCount: 4096 })
     process.kill(process.pid, 'SIGBUS')
     setTimeout(() => {}, 5_000)`,
  )
  t.equal(child.signal, 'SIGBUS')
})

void t.test('memory that can be shortened has no window; our own cannot be shortened', async (t) => {
  const rig = new Rig(1)
  const { native } = rig
  const path = join(t.testdir({ shared: 'x'.repeat(8192) }), 'shared')
  const shared = native.openShared(openSync(path, 'r+'), 8192, true)
  t.throws(() => native.windowOf(shared, 0, 1), /can be shortened by its owner, it has no window/)
  const host = native.openMemory(8192)
  t.throws(() => ftruncateSync(native.descriptorOf(host), 4096), { code: 'EPERM' })
  t.throws(() => ftruncateSync(native.descriptorOf(host), 16_384), { code: 'EPERM' })
  await rig.close()
})
