import { fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { stepFields } from '../../addon/native.ts'
import { Rig, type StepWanted } from '../addon-rig.ts'

type T = { throws: typeof t.throws }

const rig = new Rig(1)
const { native } = rig
t.teardown(() => rig.close())

/** The boundary as a careless caller sees it. */
const loose = native as unknown as Record<string, (...values: unknown[]) => unknown>

function says(t: T, call: string, values: readonly unknown[], message: string): void {
  t.throws(() => loose[call]?.(...values), { message }, message)
}

const bytes = new Uint8Array(16)
const wholes = 'must be a whole number from'
const bytesMax = 2 ** 53 - 1

void t.test('every argument of the wrong kind is refused by its name', async (t) => {
  const rows: readonly (readonly [string, readonly unknown[], string])[] = [
    ['openMemory', [], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', ['4096'], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', [4096.5], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', [Number.NaN], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', [-1], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', [0], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openMemory', [2 ** 60], `openMemory.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openShared', [-1, 1, true], `openShared.descriptor: ${wholes} 0 to 2147483647`],
    ['openShared', [99_999, 0, true], `openShared.byteCount: ${wholes} 1 to ${bytesMax}`],
    ['openShared', [99_999, 1, 1], 'openShared.writable: must be true or false'],
    ['openFile', [1, 4096, true], 'openFile.path: must be a text'],
    ['openFile', ['', 4096, true], 'openFile.path: must be a text of 1 to 4094 bytes without a zero'],
    ['openFile', ['a\0b', 4096, true], 'openFile.path: must be a text of 1 to 4094 bytes without a zero'],
    ['openFile', ['x', 4095, true], `openFile.byteCount: ${wholes} 4096 to ${bytesMax}`],
    ['openFile', ['x', 4096], 'openFile.direct: must be true or false'],
    ['openFile', ['x', 4097, true], 'openFile.byteCount: must be a multiple of 4096'],
    ['closeRegion', [undefined], `closeRegion.region: ${wholes} 1 to 4294967295`],
    ['closeRegion', [0], `closeRegion.region: ${wholes} 1 to 4294967295`],
    ['closeRegion', [77], 'closeRegion.region: 77 is not open'],
    ['closePlace', [77], 'closePlace.place: 77 is not open'],
    ['closeDoor', [77], 'closeDoor.door: 77 is not open'],
    ['closeQueue', [77], 'closeQueue.queue: is not open in this thread'],
    ['descriptorOf', [77], 'descriptorOf.region: 77 is not open'],
    ['windowOf', [77, 0, 1], 'windowOf.region: 77 is not open'],
    ['windowOf', [1, -1, 1], `windowOf.offset: ${wholes} 0 to ${bytesMax}`],
    ['windowOf', [1, 0, 1.5], `windowOf.byteCount: ${wholes} 0 to ${bytesMax}`],
    ['openQueue', [0, () => 0], `openQueue.threadCount: ${wholes} 1 to 64`],
    ['openQueue', [65, () => 0], `openQueue.threadCount: ${wholes} 1 to 64`],
    ['openQueue', [1, null], 'openQueue.onReady: must be a function'],
    ['submit', [rig.queue, [], 0, bytes], 'submit.steps: must be a Float64Array'],
    ['submit', [rig.queue, new Float64Array(9), 1, bytes], 'submit.stepCount: the array has fewer steps'],
    ['submit', [rig.queue, new Float64Array(10), -1, bytes], `submit.stepCount: ${wholes} 0 to 4294967295`],
    ['submit', [rig.queue, new Float64Array(10), 1, null], 'submit.seals: must be a Uint8Array'],
    ['submit', [1, new Float64Array(10), 1, bytes], 'submit.queue: is not open in this thread'],
    ['drain', [rig.queue, new Float32Array(4)], 'drain.into: must be a Float64Array'],
    ['drain', [77, new Float64Array(4)], 'drain.queue: 77 is not open'],
    [
      'chain',
      [new Uint8Array(0), new Uint32Array(0), 1, bytes],
      'chain.secret: must have 1 bytes or more, not 0',
    ],
    ['chain', [bytes, new Int32Array(0), 1, bytes], 'chain.tokens: must be a Uint32Array'],
    ['chain', [bytes, new Uint32Array(0), 0, bytes], `chain.blockTokens: ${wholes} 1 to 65536`],
    ['chain', [bytes, new Uint32Array(1), 1, bytes], 'chain.into: has 16 bytes, the keys need 32'],
    ['crc32c', ['abc', 0], 'crc32c.bytes: must be a Uint8Array'],
    ['crc32c', [bytes, 2 ** 32], `crc32c.previous: ${wholes} 0 to 4294967295`],
    ['peerOf', [null], `peerOf.socketDescriptor: ${wholes} 0 to 2147483647`],
    ['openDoor', [null], 'openDoor.path: must be a text'],
    ['openDoor', ['d'.repeat(108)], 'openDoor.path: must have 1 to 107 bytes, not 108'],
    ['takeDescriptor', [1, new Uint8Array(15)], 'takeDescriptor.token: must have 16 bytes'],
    ['takeDescriptor', [77, bytes], 'takeDescriptor.door: 77 is not open'],
    ['handDescriptor', ['x', new Uint8Array(17), 0], 'handDescriptor.token: must have 16 bytes'],
    ['handDescriptor', ['x', bytes, -3], `handDescriptor.descriptor: ${wholes} 0 to 2147483647`],
  ]
  for (const [call, values, message] of rows) says(t, call, values, message)
})

void t.test('every number of a plane is checked', async (t) => {
  const good = [0, 1024, 128, 4, 64]
  const names = ['baseOffset', 'layerStride', 'blockStride', 'layerCount', 'pieceBytes']
  for (const [i, name] of names.entries()) {
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
      const planes = new Float64Array([...good, ...good.with(i, bad)])
      t.throws(() => native.openPlace(planes), {
        message: `openPlace.planes[1].${name}: must be a whole number`,
      })
    }
  }
  t.throws(
    () => native.openPlace(new Float64Array(good.with(3, 0))),
    /planes\[0\].layerCount: must be 1 to 65536/,
  )
  t.throws(() => native.openPlace(new Float64Array(good.with(3, 65537))), /layerCount: must be 1 to 65536/)
  t.throws(() => native.openPlace(new Float64Array(good.with(4, 0))), /planes\[0\].pieceBytes: must be 1 to/)
  const message = 'openPlace.planes: must have five numbers for each of 1 to 8 planes'
  for (const length of [0, 4, 6, 45]) t.throws(() => native.openPlace(new Float64Array(length)), { message })
})

const host = native.openMemory(65_536)
const readOnly = native.openShared(openSync('/proc/self/exe', 'r'), 4096, false)
const file = native.openFile(join(t.testdir({}), 'slab'), 65_536, true)
const place = native.openPlace(new Float64Array([0, 4096, 512, 4, 512]))
const gather: StepWanted = {
  operation: 'gather',
  sourceRegion: host,
  source: 7,
  targetRegion: host,
  target: 32_768,
  byteCount: 2048,
  place,
}
const write: StepWanted = {
  operation: 'write',
  sourceRegion: host,
  source: 4096,
  targetRegion: file,
  target: 4096,
  byteCount: 4096,
  seal: 0,
}
const read: StepWanted = {
  operation: 'read',
  sourceRegion: file,
  source: 4096,
  targetRegion: host,
  target: 4096,
  byteCount: 4096,
  seal: 0,
}
const copy: StepWanted = {
  operation: 'copy',
  sourceRegion: host,
  targetRegion: host,
  target: 8192,
  byteCount: 8192,
}
const scatter: StepWanted = {
  operation: 'scatter',
  sourceRegion: host,
  source: 32_768,
  targetRegion: host,
  target: 7,
  byteCount: 2048,
  place,
}
const sum: StepWanted = { operation: 'sum', sourceRegion: host, byteCount: 64 }

void t.test('the steps used below are good ones', async (t) => {
  for (const done of await rig.run(gather, write, read, copy, scatter, sum)) t.equal(done.status, 0)
})

void t.test('every number of a step is checked, and a bad step anywhere takes none', async (t) => {
  for (const field of stepFields) {
    if (field === 'ticket') continue
    for (const bad of [0.5, -2, Number.NaN, 2 ** 60]) {
      const step = { ...copy, [field]: bad } as StepWanted
      t.throws(
        () => rig.submit([sum, sum, step]),
        {
          code: 'EINVAL',
          message: new RegExp(`^submit\\.steps\\[2\\]\\.${field}: must be a whole number from`),
        },
        `${field} ${bad}`,
      )
    }
  }
  t.equal(rig.native.drain(rig.queue, new Float64Array(40)), 0, 'nothing was taken')
})

void t.test('every way out of a region is refused', async (t) => {
  const rows: readonly (readonly [StepWanted, string])[] = [
    [{ ...sum, operation: 0 }, 'operation: must be a whole number from 1 to 8'],
    [{ ...sum, operation: 9 }, 'operation: must be a whole number from 1 to 8'],
    [{ ...sum, byteCount: 0 }, 'byteCount: must be 1 or more'],
    [{ ...sum, sourceRegion: 5 }, 'sourceRegion: region 5 is not open'],
    [{ ...sum, sourceRegion: place }, `sourceRegion: region ${place} is not open`],
    [{ ...sum, sourceRegion: file }, 'sourceRegion: must be host memory'],
    [{ ...sum, source: 65_536 }, `source: outside region ${host}`],
    [{ ...sum, source: 65_500 }, `byteCount: outside region ${host}`],
    [{ ...sum, source: bytesMax, byteCount: bytesMax }, `source: outside region ${host}`],
    [{ ...copy, target: 60_000 }, `byteCount: outside region ${host}`],
    [{ ...copy, target: 4096 }, 'target: overlaps the source'],
    [{ ...copy, targetRegion: file }, 'targetRegion: must be host memory'],
    [{ ...copy, targetRegion: readOnly }, 'targetRegion: is open for reading only'],
    [{ ...gather, place: 0 }, 'place: place 0 is not open'],
    [{ ...gather, byteCount: 2047 }, `byteCount: a block of place ${place} has 2048 bytes, not 2047`],
    [{ ...gather, sourceRegion: file }, 'sourceRegion: must be memory, not a file'],
    [{ ...gather, source: 104 }, 'source: block 104 reaches outside the region'],
    [{ ...gather, source: bytesMax }, `source: block ${bytesMax} reaches outside the region`],
    [{ ...gather, sourceRegion: readOnly }, 'source: block 7 reaches outside the region'],
    [{ ...gather, target: 65_535 }, `byteCount: outside region ${host}`],
    [{ ...gather, targetRegion: readOnly }, 'targetRegion: is open for reading only'],
    [{ ...scatter, target: 104 }, 'target: block 104 reaches outside the region'],
    [{ ...scatter, targetRegion: readOnly }, 'targetRegion: is open for reading only'],
    [{ ...write, sourceRegion: file }, 'sourceRegion: must be host memory'],
    [{ ...write, targetRegion: host }, 'targetRegion: must be a file'],
    [{ ...write, source: 4097 }, 'source: must be a multiple of 4096'],
    [{ ...write, target: 512 }, 'target: must be a multiple of 4096'],
    [{ ...write, target: 61_440 }, `byteCount: outside region ${file}`],
    [{ ...write, target: 53_248, byteCount: 8193 }, `byteCount: outside region ${file}`],
    [{ ...write, source: 61_440, byteCount: 4097 }, `byteCount: outside region ${host}`],
    [{ ...write, sourceRegion: readOnly, source: 0 }, 'sourceRegion: is open for reading only'],
    [{ ...write, seal: -1 }, 'seal: a write needs the header'],
    [{ ...write, seal: 16 * 256 - 255 }, 'seal: must be a whole number from -1 to 3840'],
    [{ ...read, source: 61_440 }, `byteCount: outside region ${file}`],
    [{ ...read, sourceRegion: host }, 'sourceRegion: must be a file'],
    [{ ...read, target: 100 }, 'target: must be a multiple of 4096'],
    [{ ...read, target: 65_536 }, `target: outside region ${host}`],
    [{ ...read, targetRegion: readOnly }, 'targetRegion: is open for reading only'],
    [{ operation: 'flush', targetRegion: host }, 'targetRegion: must be a file'],
    [{ operation: 'flush' }, 'targetRegion: region 0 is not open'],
  ]
  for (const [step, message] of rows) {
    t.throws(() => rig.submit([sum, step]), { message: `submit.steps[1].${message}` }, message)
  }
  t.equal(rig.native.drain(rig.queue, new Float64Array(40)), 0, 'nothing was taken')
})

void t.test('a window shows its region and no more', async (t) => {
  t.equal(native.windowOf(host, 65_536, 0).length, 0)
  t.equal(native.windowOf(host, 1, 65_535).length, 65_535)
  says(t, 'windowOf', [host, 65_537, 0], `windowOf.offset: outside region ${host}`)
  says(t, 'windowOf', [host, 65_535, 2], `windowOf.byteCount: outside region ${host}`)
  says(t, 'windowOf', [file, 0, 1], `windowOf.region: ${file} is not host memory, it has no window`)
  says(
    t,
    'windowOf',
    [readOnly, 0, 1],
    `windowOf.region: ${readOnly} is open for reading only, it has no window`,
  )
  says(t, 'descriptorOf', [file], `descriptorOf.region: ${file} has none; only host memory is handed on`)
})

void t.test('what the system refuses comes with the name of the error', async (t) => {
  const directory = t.testdir({ short: 'abc', folder: {} })
  const short = openSync(join(directory, 'short'), 'r')
  t.throws(() => native.openMemory(2 ** 50), { code: 'ENOMEM' })
  t.throws(() => native.openShared(9_999, 1, false), { code: 'EBADF' })
  t.throws(() => native.openShared(openSync(directory, 'r'), 1, false), /descriptor: \d+ is not a file/)
  const refused = openSync(join(directory, 'short'), 'r')
  t.throws(() => native.openShared(refused, 4096, false), {
    message: 'openShared.byteCount: 4096 wanted, but the file has 3',
  })
  t.throws(() => fstatSync(refused), { code: 'EBADF' }, 'taken over, and closed')
  t.throws(() => native.openShared(openSync(join(directory, 'short'), 'r'), 3, true), { code: 'EACCES' })
  t.throws(() => native.openFile(join(directory, 'absent', 'slab'), 4096, true), { code: 'ENOENT' })
  t.throws(() => native.openFile(join(directory, 'folder'), 4096, true), { code: 'EISDIR' })
  t.throws(() => native.openFile('/dev/null', 4096, true), /neither a file nor a block device/)
  t.throws(() => native.peerOf(short), { code: 'ENOTSOCK' })
  // Names of sockets must be short: a directory of our own near the root.
  const near = mkdtempSync(join(tmpdir(), 'door-'))
  t.teardown(() => rmSync(near, { recursive: true }))
  t.throws(() => native.openDoor(join(near, 'absent', 'door')), { code: 'ENOENT' })
  t.throws(() => native.handDescriptor(join(near, 'none'), bytes, short), { code: 'ENOENT' })
  writeFileSync(join(near, 'file'), 'mine')
  t.throws(() => native.openDoor(join(near, 'file')), { code: 'EADDRINUSE' })
  t.equal(readFileSync(join(near, 'file'), 'utf8'), 'mine')
})
