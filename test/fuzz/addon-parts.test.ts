import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { GpuEngine, standInDriver, standInMappings } from '../servers/stand-in-gpu.ts'

// Before the addon asks for it: the driver is looked for once.
process.env.TERRACE_CUDA_LIBRARY = standInDriver(t)
const partBytes = 144
const handleAt = 40
const handleBytes = 64
const kindAt = 4
const descriptorAt = 104
const byDescriptor = 2
const byAddress = 3
const rounds = 600
/** The same numbers in every run. */
let state = 4_711
const below = (limit: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}

/** The first parts of a good list, with some bytes changed, or cut in the middle of the last. */
function damaged(good: Buffer, count: number): Buffer {
  const cut = below(8) === 0 ? below(partBytes) : 0
  const bytes = Buffer.from(good.subarray(0, count * partBytes - cut))
  for (let changes = below(4); changes > 0; changes--) {
    const at = below(bytes.length)
    // Handles are the driver's affair: it may do with a wrong one what it likes.
    const isHandle = at % partBytes >= handleAt && at % partBytes < handleAt + handleBytes
    if (!isHandle) bytes[at] = below(256)
  }
  return bytes
}

void t.test('a damaged list of parts is refused or opened, and every mapping is given back', async (t) => {
  const native = loadNative()
  const folder = shortFolder(t)
  const door = native.openDoor(join(folder, 'door'))
  t.teardown(() => native.closeDoor(door))
  const engine = await GpuEngine.start(
    t,
    { TERRACE_CUDA_LIBRARY: process.env.TERRACE_CUDA_LIBRARY ?? '' },
    'handles',
  )
  const token = new Uint8Array(randomBytes(16))
  await engine.handIn(join(folder, 'door'), token)
  const list = native.takeDescriptor(door, token)
  const good = readFileSync(`/proc/self/fd/${list}`)
  closeSync(list)
  t.equal(good.length, GpuEngine.tensors * partBytes)
  const file = join(folder, 'list')
  const ends = { opened: 0, refused: 0 }
  for (let round = 0; round < rounds; round++) {
    const count = 1 + below(4)
    writeFileSync(file, damaged(good, count))
    const region = await native
      .openParts(door, openSync(file, 'r'), count * GpuEngine.tensorBytes, true)
      .catch((error: unknown) => {
        t.match(String(error), /openParts\.(parts|byteCount)/)
        return null
      })
    if (region === null) {
      ends.refused += 1
      continue
    }
    ends.opened += 1
    native.closeRegion(region)
  }
  // A number of one of our own descriptors, in a list that is refused before its turn: it stays open.
  const own = openSync(file, 'r')
  const forged = Buffer.from(good.subarray(0, 2 * partBytes))
  forged.writeUInt32LE(byAddress, kindAt)
  forged.writeUInt32LE(byDescriptor, partBytes + kindAt)
  forged.writeInt32LE(own, partBytes + descriptorAt)
  writeFileSync(file, forged)
  await t.rejects(native.openParts(door, openSync(file, 'r'), 2 * GpuEngine.tensorBytes, true))
  t.ok(fstatSync(own).isFile())
  closeSync(own)
  t.equal(standInMappings(process.pid), 0, 'nothing stays mapped')
  t.ok(ends.opened > rounds / 10 && ends.refused > rounds / 10, JSON.stringify(ends))
})
