import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runChild } from '../addon-child.ts'

/** EFBIG and EFAULT, as statuses. */
const tooBig = -27
const lostPage = -14

void t.test('a limit on file sizes is an error, not the end of the process', async (t) => {
  const directory = t.testdir({})
  const child = await runChild(
    `const answers = []
     for (const name of ['new', 'old']) {
       const path = args[0] + '/' + name
       if (name === 'old') writeFileSync(path, 'kept')
       try { native.openFile(path, 2 ** 24, true) } catch (error) { answers.push(error.code) }
     }
     const rig = new Rig(1)
     const host = native.openMemory(2 ** 21)
     // Opened below the limit, then the limit falls below its end: a write past it fails in the middle.
     const file = native.openFile(args[0] + '/slab', 2 ** 20, false)
     answers.push((await rig.run({ operation: 'write', sourceRegion: host, targetRegion: file, byteCount: 2 ** 20 - 4096, seal: 0 }))[0].status)
     console.log(JSON.stringify(answers))
     await rig.close()`,
    [directory],
    { wrap: ['bash', '-c', 'ulimit -f 4096; exec "$0" "$@"'] },
  )
  t.match(child, { code: 0, stderr: '' })
  t.strictSame(JSON.parse(child.stdout), ['EFBIG', 'EFBIG', 0])
  t.notOk(existsSync(join(directory, 'new')), 'a file that could not be had leaves nothing behind')
  t.equal(statSync(join(directory, 'old')).size, 4, 'a file that was there keeps its length')
})

void t.test('a write beyond the limit of file sizes is a status', async (t) => {
  const directory = t.testdir({})
  const child = await runChild(
    `const { spawnSync } = await import('node:child_process')
     const rig = new Rig(1)
     const host = native.openMemory(2 ** 21)
     const file = native.openFile(args[0] + '/slab', 2 ** 20, false)
     const limit = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=65536:65536'])
     rig.seals.fill(7)
     const write = { operation: 'write', sourceRegion: host, targetRegion: file, seal: 0 }
     const done = await rig.run(
       { ...write, byteCount: 4096 },
       { ...write, target: 8192, byteCount: 2 ** 19 },
       { ...write, target: 2 ** 19, byteCount: 4096 },
     )
     const { readFileSync } = await import('node:fs')
     const stored = readFileSync(args[0] + '/slab')
     done.push({ status: 'header', byteCount: stored.subarray(8192, 8192 + 256).some((byte) => byte > 0) })
     console.log(JSON.stringify(limit.status === 0 ? done.map((one) => [one.status, one.byteCount]) : 'no prlimit'))
     await rig.close()`,
    [directory],
  )
  t.match(child, { code: 0, stderr: '' })
  const answer = JSON.parse(child.stdout)
  if (answer === 'no prlimit') return t.pass('this system has no prlimit: not tried')
  t.strictSame(answer, [
    [0, 4096],
    [tooBig, 53_248],
    [tooBig, 0],
    // The header of the second one is not on the disk: it would have vouched for a payload that is not.
    ['header', false],
  ])
})

void t.test('a full file system', { skip: process.getuid?.() !== 0 }, async (t) => {
  const directory = t.testdir({})
  const child = await runChild(
    `const answers = []
     try { native.openFile(args[0] + '/large', 2 ** 24, true) } catch (error) { answers.push(error.code) }
     const rig = new Rig(1)
     const host = native.openMemory(2 ** 21)
     const file = native.openFile(args[0] + '/slab', 2 ** 20, false)
     const { openSync, readdirSync, statSync, ftruncateSync } = await import('node:fs')
     answers.push(readdirSync(args[0]).join())
     // A file with a hole, on a file system that has no room to fill it: writing the mapping finds no page.
     const shared = openSync(args[0] + '/hole', 'w+')
     ftruncateSync(shared, 2 ** 20)
     const engine = native.openShared(shared, 2 ** 20, true)
     answers.push((await rig.run({ operation: 'copy', sourceRegion: host, targetRegion: engine, byteCount: 2 ** 20 }))[0].status)
     answers.push((await rig.run({ operation: 'write', sourceRegion: host, targetRegion: file, byteCount: 2 ** 19, seal: 0 }))[0].status)
     console.log(JSON.stringify(answers))
     await rig.close()`,
    [directory],
    {
      wrap: [
        'unshare',
        '-m',
        'bash',
        '-c',
        `mount -t tmpfs -o size=1536k tmpfs ${directory} || exit 99; exec "$0" "$@"`,
      ],
    },
  )
  if (child.code === 99 || child.stderr.includes('unshare')) return t.pass('no mount allowed here: not tried')
  t.match(child, { code: 0, stderr: '' })
  t.strictSame(JSON.parse(child.stdout), ['ENOSPC', 'slab', lostPage, 0])
  t.strictSame(readdirSync(directory), [], 'the mount went with its process')
})
