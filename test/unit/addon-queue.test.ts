import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { statuses } from '../../addon/native.ts'
import { packed, Rig } from '../addon-rig.ts'

/** Steps of one queue that were taken and not drained; limits.h of the addon. */
const queueStepsMax = 4_096

void t.test('tickets come back bit for bit', async (t) => {
  const rig = new Rig()
  const region = rig.native.openMemory(4096)
  const tickets = [0, 1, 2 ** 31, 2 ** 53, -5, 0.1, 1e300, -1e-300]
  rig.submit(tickets.map((ticket) => ({ operation: 'sum', sourceRegion: region, byteCount: 8, ticket })))
  const done = await rig.finished(tickets.length)
  t.strictSame(
    done.map((one) => one.ticket),
    tickets.toSorted((a, b) => a - b),
  )
  await rig.close()
})

void t.test('a full queue takes fewer steps and never blocks', async (t) => {
  const rig = new Rig(1)
  const region = rig.native.openMemory(4096)
  const step = packed({ operation: 'sum', sourceRegion: region, byteCount: 4096 })
  const many = new Float64Array(Array.from({ length: queueStepsMax + 100 }, () => step).flat())
  t.equal(rig.native.submit(rig.queue, many, queueStepsMax + 100, rig.seals), queueStepsMax)
  t.equal(rig.native.submit(rig.queue, many, 1, rig.seals), 0, 'none until some are drained')
  const last = many.slice(-2 * step.length)
  last.set(packed({ operation: 'sum', sourceRegion: region, byteCount: 4097 }), step.length)
  t.throws(
    () => rig.native.submit(rig.queue, last, 2, rig.seals),
    /steps\[1\].byteCount/,
    'checked all the same',
  )
  const done = await rig.finished(queueStepsMax)
  t.ok(done.every((one) => one.status === 0))
  t.equal(rig.native.submit(rig.queue, many, 10, rig.seals), 10, 'room again')
  await rig.finished(10)
  t.ok(rig.readyCalls < queueStepsMax / 4, 'one wake for many completions')
  await rig.close()
})

void t.test('a callback that does not drain everything is called again', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const region = native.openMemory(4096)
  const one = new Float64Array(4)
  let seen = 0
  let enough: () => void = () => undefined
  const all = new Promise<void>((resolve) => {
    enough = resolve
  })
  const queue = native.openQueue(1, () => {
    seen += native.drain(queue, one)
    if (seen === 50) enough()
  })
  const steps = Array.from({ length: 50 }, () =>
    packed({ operation: 'sum', sourceRegion: region, byteCount: 64 }),
  )
  native.submit(queue, new Float64Array(steps.flat()), 50, rig.seals)
  await all
  t.equal(seen, 50)
  await native.closeQueue(queue)
  await rig.close()
})

void t.test('completions drained without a callback arm the queue again', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const region = native.openMemory(4096)
  const into = new Float64Array(40)
  const queue = native.openQueue(1, () => undefined)
  const step = new Float64Array(packed({ operation: 'sum', sourceRegion: region, byteCount: 64 }))
  for (let round = 0; round < 5; round++) {
    native.submit(queue, step, 1, rig.seals)
    let drained = 0
    while (drained === 0) {
      await new Promise((resolve) => setImmediate(resolve))
      drained = native.drain(queue, into)
    }
    t.equal(drained, 1)
  }
  await native.closeQueue(queue)
  await rig.close()
})

void t.test('closing a queue ends what waits, then resolves', async (t) => {
  const rig = new Rig(1)
  const region = rig.native.openMemory(2 ** 26)
  const steps = Array.from({ length: 400 }, () => ({
    operation: 'sum' as const,
    sourceRegion: region,
    byteCount: 2 ** 26,
  }))
  t.equal(rig.submit(steps), 400)
  await rig.close()
  const done = await rig.finished(400)
  t.ok(
    done.every((one) => one.status === statuses.ok || one.status === statuses.closed),
    'every step has a completion',
  )
  t.ok(done.filter((one) => one.status === statuses.closed).length > 300, 'the waiting ones were not run')
  t.throws(() => rig.submit(steps), /submit.queue: is (closing|not open)/)
  t.equal(rig.native.drain(rig.queue, new Float64Array(4)), 0, 'a late drain finds nothing')
})

void t.test('a closing queue refuses steps, and can be drained to the end', async (t) => {
  const { native, seals } = new Rig(1)
  const region = native.openMemory(2 ** 24)
  const step = new Float64Array(packed({ operation: 'sum', sourceRegion: region, byteCount: 2 ** 24 }))
  const queue = native.openQueue(1, () => undefined)
  t.equal(native.submit(queue, step, 1, seals), 1)
  const closed = native.closeQueue(queue)
  t.throws(() => native.submit(queue, step, 1, seals), { code: 'EPIPE', message: 'submit.queue: is closing' })
  t.throws(() => native.closeQueue(queue), /closeQueue.queue: is closing already/)
  await closed
  const into = new Float64Array(8)
  t.equal(native.drain(queue, into), 1)
  t.equal(native.drain(queue, into), 0)
})

void t.test('a closed region or place ends the steps that wait for it', async (t) => {
  const rig = new Rig(1)
  const { native } = rig
  const big = native.openMemory(2 ** 26)
  const small = native.openMemory(4096)
  const place = native.openPlace(new Float64Array([0, 0, 0, 1, 64]))
  rig.submit([
    { operation: 'sum', sourceRegion: big, byteCount: 2 ** 26, ticket: 0 },
    { operation: 'sum', sourceRegion: small, byteCount: 64, ticket: 1 },
    {
      operation: 'gather',
      sourceRegion: big,
      targetRegion: big,
      target: 4096,
      byteCount: 64,
      place,
      ticket: 2,
    },
  ])
  native.closeRegion(small)
  native.closePlace(place)
  t.match(await rig.finished(3), [
    { status: statuses.ok },
    { status: statuses.closed, byteCount: 0 },
    { status: statuses.closed, byteCount: 0 },
  ])
  t.throws(() => rig.submit([{ operation: 'sum', sourceRegion: small, byteCount: 64 }]), {
    message: `submit.steps[0].sourceRegion: region ${small} is not open`,
  })
  t.throws(() => native.closeRegion(small), /closeRegion.region: \d+ is not open/)
  await rig.close()
})

void t.test('a region that is closed under a running copy stays until the copy has ended', async (t) => {
  const rig = new Rig(1)
  const { native } = rig
  const region = native.openMemory(2 ** 26)
  rig.submit([
    { operation: 'copy', sourceRegion: region, targetRegion: region, target: 2 ** 25, byteCount: 2 ** 25 },
  ])
  native.closeRegion(region)
  const [done] = await rig.finished(1)
  t.ok(done?.status === statuses.ok || done?.status === statuses.closed)
  await rig.close()
})

void t.test('windows outlive their region', async (t) => {
  const { native, close } = bound(new Rig())
  const region = native.openMemory(8192)
  const window = native.windowOf(region, 4096, 16)
  const again = native.windowOf(region, 4100, 4)
  window.fill(7)
  t.strictSame([...again], [7, 7, 7, 7])
  t.equal(again.buffer, window.buffer, 'one buffer for one region')
  native.closeRegion(region)
  t.strictSame([...window.subarray(0, 2)], [7, 7])
  await close()
})

void t.test('an array that was taken away meanwhile gets no header, and no memory is touched', async (t) => {
  const rig = new Rig(1)
  const { native } = rig
  const host = native.openMemory(4096)
  const file = native.openFile(join(t.testdir({}), 'slab'), 8192, false)
  const seals = new Uint8Array(256)
  const step = new Float64Array(
    packed({ operation: 'read', sourceRegion: file, targetRegion: host, byteCount: 4096, seal: 0 }),
  )
  native.submit(rig.queue, step, 1, seals)
  structuredClone(seals.buffer, { transfer: [seals.buffer] })
  const [done] = await rig.finished(1)
  t.equal(done?.status, statuses.closed)
  await rig.close()
})

void t.test('an error in the callback is an uncaught exception, not a lost one', async (t) => {
  const { native, seals } = new Rig(1)
  const region = native.openMemory(4096)
  const into = new Float64Array(8)
  const caught = new Promise<Error>((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve)
  })
  const queue = native.openQueue(1, () => {
    native.drain(queue, into)
    throw new Error('from the callback')
  })
  const step = new Float64Array(packed({ operation: 'sum', sourceRegion: region, byteCount: 64 }))
  native.submit(queue, step, 1, seals)
  t.equal((await caught).message, 'from the callback')
  process.setUncaughtExceptionCaptureCallback(null)
  await native.closeQueue(queue)
})

function bound(rig: Rig): { native: Rig['native']; close: () => Promise<void> } {
  return { native: rig.native, close: () => rig.close() }
}

const pause = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))

void t.test('the threads have names, and run no more than asked', async (t) => {
  const names = (): string[] =>
    readdirSync('/proc/self/task')
      .map((task) => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim())
      .filter((name) => name.startsWith('terrace-io-'))
  // A thread names itself once it runs, and one that has ended is listed for a moment longer: the count settles.
  const settled = async (count: number): Promise<number> => {
    for (let tries = 0; tries < 200 && names().length !== count; tries++) await pause(10)
    return names().length
  }
  let before = -1
  while (before !== names().length) {
    before = names().length
    await pause(50)
  }
  const rig = new Rig(3)
  const region = rig.native.openMemory(4096)
  await rig.run({ operation: 'sum', sourceRegion: region, byteCount: 1 })
  t.equal(await settled(before + 3), before + 3)
  t.ok(names().includes('terrace-io-2'))
  await rig.close()
  t.equal(await settled(before), before)
})

void t.test('what is opened and closed leaves no descriptor, thread or memory behind', async (t) => {
  const { native } = new Rig(1)
  const directory = t.testdir({})
  const cycle = async (): Promise<void> => {
    const rig = new Rig(3)
    const host = native.openMemory(2 ** 20)
    const file = native.openFile(join(directory, 'slab'), 2 ** 20, true)
    const place = native.openPlace(new Float64Array([0, 0, 0, 1, 4096]))
    const memory = { sourceRegion: host, targetRegion: host, place }
    await rig.run(
      { operation: 'gather', ...memory, target: 4096, byteCount: 4096 },
      { operation: 'write', ...memory, targetRegion: file, byteCount: 4096, seal: 0 },
    )
    native.closeRegion(host)
    native.closeRegion(file)
    native.closePlace(place)
    await rig.close()
  }
  await cycle()
  const before = { fd: countOf('fd'), task: countOf('task'), maps: countOf('maps') }
  for (let i = 0; i < 30; i++) await cycle()
  // Fewer is no leak: pipes of the children of earlier tests may still be closing.
  t.ok(countOf('fd') <= before.fd, `${before.fd} descriptors before, ${countOf('fd')} after`)
  t.ok(countOf('task') <= before.task, `${before.task} threads before, ${countOf('task')} after`)
  t.ok(countOf('maps') - before.maps < 15, `${before.maps} maps before, ${countOf('maps')} after`)
})

function countOf(what: string): number {
  const path = `/proc/self/${what}`
  return what === 'maps' ? readFileSync(path, 'utf8').split('\n').length : readdirSync(path).length
}
