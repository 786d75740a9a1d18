import { join } from 'node:path'
import t from 'tap'
import { type ChildWanted, runChild } from '../addon-child.ts'

/** Opens a queue and puts more work into it than it can do at once. */
const busy = `
const rig = new Rig(4)
const region = native.openMemory(2 ** 26)
const file = native.openFile(args[0], 2 ** 26, false)
const steps = []
for (let i = 0; i < 200; i++) {
  steps.push({ operation: 'sum', sourceRegion: region, byteCount: 2 ** 26, ticket: i })
  steps.push({ operation: 'write', sourceRegion: region, targetRegion: file, byteCount: 2 ** 20, seal: 0, ticket: i })
  steps.push({ operation: 'read', sourceRegion: file, targetRegion: region, target: 2 ** 22, byteCount: 2 ** 20, seal: 256 })
}
rig.submit(steps)
`

for (const wake of ['poll', 'function']) {
  const wanted: ChildWanted = { env: { TERRACE_WAKE: wake } }

  void t.test(`wake by ${wake}: a process may end in every way with steps in flight`, async (t) => {
    const directory = t.testdir({})
    const file = join(directory, 'slab')
    const ways: readonly (readonly [string, string, number | null])[] = [
      ['process.exit', 'process.exit(7)', 7],
      ['process.exit a turn later', 'setImmediate(() => process.exit(8))', 8],
      ['an exception', 'setImmediate(() => { throw new Error("thrown") })', 1],
      ['a close that nobody awaits', 'void rig.close()', 0],
      ['exit while it closes', 'void rig.close(); setImmediate(() => process.exit(9))', 9],
    ]
    for (const [name, end, code] of ways) {
      const child = await runChild(busy + end, [file], wanted)
      t.strictSame([child.code, child.signal], [code, null], `${name} ${child.stderr.slice(0, 300)}`)
    }
  })

  void t.test(`wake by ${wake}: an idle queue does not keep the process alive`, async (t) => {
    const child = await runChild(
      `const rig = new Rig(4)
       const region = native.openMemory(4096)
       await rig.run({ operation: 'sum', sourceRegion: region, byteCount: 64 })
       console.log(JSON.parse(native.describe()).wake)`,
      [],
      wanted,
    )
    t.match(child, { code: 0, stdout: `${wake}\n`, stderr: '' })
  })

  void t.test(`wake by ${wake}: steps in flight keep the process alive until they are told`, async (t) => {
    const child = await runChild(
      `const region = native.openMemory(2 ** 27)
       const into = new Float64Array(400)
       let left = 50
       const queue = native.openQueue(1, () => {
         left -= native.drain(queue, into)
         if (left === 0) console.log('all told')
       })
       const step = packed({ operation: 'sum', sourceRegion: region, byteCount: 2 ** 27 })
       native.submit(queue, new Float64Array(Array(50).fill(step).flat()), 50, new Uint8Array(0))`,
      [],
      wanted,
    )
    t.match(child, { code: 0, stdout: 'all told\n', stderr: '' })
  })

  void t.test(`wake by ${wake}: worker threads of Node come and go with busy queues`, async (t) => {
    const child = await runChild(
      `import { Worker, isMainThread } from 'node:worker_threads'
       const program = ${JSON.stringify(`
         const { parentPort, workerData } = require('node:worker_threads')
         const native = require(workerData.file)
         const region = native.openMemory(2 ** 26)
         const queue = native.openQueue(2, () => {})
         const step = [6, 1, region, 0, 0, 0, 2 ** 26, 0, -1, -1]
         native.submit(queue, new Float64Array(Array(64).fill(step).flat()), 64, new Uint8Array(0))
         parentPort.postMessage('busy')
         setInterval(() => {}, 1000)`)}
       const { addonFile } = await import(args[0])
       for (let round = 0; round < 8; round++) {
         const worker = new Worker(program, { eval: true, execArgv: [], workerData: { file: addonFile() } })
         await new Promise((resolve) => worker.once('message', resolve))
         await worker.terminate()
       }
       console.log('gone')`,
      [new URL('../../addon/load.ts', import.meta.url).href],
      wanted,
    )
    t.match(child, { code: 0, signal: null, stdout: 'gone\n', stderr: '' })
  })
}

const isRoot = process.getuid?.() === 0

void t.test('threads that cannot be had are an error, and nothing stays', { skip: !isRoot }, async (t) => {
  // As another user: the limit does not hold for root.
  const child = await runChild(
    `import { readdirSync } from 'node:fs'
     import { spawnSync } from 'node:child_process'
     const held = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length]
     const before = held()
     const limit = spawnSync('prlimit', ['--pid', String(process.pid), '--nproc=1:1'])
     const codes = []
     for (let i = 0; i < 20 && limit.status === 0; i++) {
       try { native.openQueue(8, () => {}) } catch (error) { codes.push(error.code) }
     }
     await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
     console.log(JSON.stringify({ limit: limit.status, codes: [...new Set(codes)], same: before.join() === held().join() }))`,
    [],
    { uid: 65_533 },
  )
  t.match(child, { code: 0, stderr: '' })
  const said = JSON.parse(child.stdout)
  if (said.limit !== 0) return t.pass('this system has no prlimit: not tried')
  t.strictSame(said, { limit: 0, codes: ['EAGAIN'], same: true })
})
