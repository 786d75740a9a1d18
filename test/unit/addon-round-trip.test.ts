import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { Rig } from '../addon-rig.ts'

const pageBytes = 4096

/** An engine's region of two planes (three layers of K, two of V) with gaps, filled with a pattern. */
function engineOf(rig: Rig, blockCount: number) {
  const region = rig.native.openMemory(2 ** 20)
  const planes = [
    [64, 40_000, 1_024, 3, 1_000],
    [200_064, 50_000, 700, 2, 333],
  ] as const
  const place = rig.native.openPlace(new Float64Array(planes.flat()))
  const bytes = rig.native.windowOf(region, 0, 2 ** 20)
  bytes.forEach((_, i) => {
    bytes[i] = (i * 31 + (i >> 8)) & 255
  })
  const payloadOf = (block: number): Uint8Array => {
    const pieces: Uint8Array[] = []
    for (const [base, layerStride, blockStride, layerCount, pieceBytes] of planes) {
      for (let layer = 0; layer < layerCount; layer++) {
        const start = base + layer * layerStride + block * blockStride
        pieces.push(bytes.slice(start, start + pieceBytes))
      }
    }
    return Uint8Array.from(Buffer.concat(pieces))
  }
  return { region, place, bytes, payloadOf, payloadBytes: 3 * 1_000 + 2 * 333, blockCount }
}

void t.test('gather, write, read and scatter bring a block back to the byte', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const engine = engineOf(rig, 8)
  const host = native.openMemory(64 * pageBytes)
  for (const direct of [false, true]) {
    const path = join(t.testdir({}), `slab-${direct}`)
    const file = native.openFile(path, 64 * pageBytes, direct)
    t.equal(statSync(path).size, 64 * pageBytes)
    t.equal(statSync(path).mode & 0o777, 0o600)
    for (const block of [0, 3, 7]) {
      const wanted = engine.payloadOf(block)
      const byteCount = engine.payloadBytes
      rig.seals.fill(block + 1, 0, 256)
      const [gathered] = await rig.run({
        operation: 'gather',
        sourceRegion: engine.region,
        source: block,
        targetRegion: host,
        target: pageBytes,
        byteCount,
        place: engine.place,
      })
      t.strictSame(gathered, { ticket: 0, status: 0, byteCount, checksum: crc32c(wanted) })
      t.equal(Buffer.compare(native.windowOf(host, pageBytes, byteCount), wanted), 0)

      const target = block * 3 * pageBytes
      const [written] = await rig.run({
        operation: 'write',
        sourceRegion: host,
        source: pageBytes,
        targetRegion: file,
        target,
        byteCount,
        seal: 0,
      })
      t.match(written, { status: 0, byteCount })
      t.match((await rig.run({ operation: 'flush', targetRegion: file }))[0], { status: 0 })

      const [read] = await rig.run({
        operation: 'read',
        sourceRegion: file,
        source: target,
        targetRegion: host,
        target: 8 * pageBytes,
        byteCount,
        checksum: crc32c(wanted),
        seal: 256,
      })
      t.strictSame(read, { ticket: 0, status: 0, byteCount, checksum: crc32c(wanted) })
      t.ok(rig.seals.subarray(256, 512).every((byte) => byte === block + 1))
      t.equal(Buffer.compare(native.windowOf(host, 8 * pageBytes, byteCount), wanted), 0)

      const before = engine.bytes.slice()
      const scattered = await rig.run({
        operation: 'scatter',
        sourceRegion: host,
        source: 8 * pageBytes,
        targetRegion: engine.region,
        target: block,
        byteCount,
        place: engine.place,
        checksum: crc32c(wanted),
      })
      t.match(scattered[0], { status: 0, checksum: crc32c(wanted) })
      t.equal(Buffer.compare(engine.bytes, before), 0, 'the block lies where it came from')
    }
    native.closeRegion(file)
  }
  await rig.close()
})

void t.test('scatter changes the pieces of its block and nothing else', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const engine = engineOf(rig, 8)
  const host = native.openMemory(pageBytes)
  native.windowOf(host, 0, engine.payloadBytes).fill(0xaa)
  const before = engine.bytes.slice()
  const others = [0, 1, 3, 4].map((block) => engine.payloadOf(block))
  await rig.run({
    operation: 'scatter',
    sourceRegion: host,
    targetRegion: engine.region,
    target: 2,
    byteCount: engine.payloadBytes,
    place: engine.place,
  })
  t.ok(engine.payloadOf(2).every((byte) => byte === 0xaa))
  for (const [i, block] of [0, 1, 3, 4].entries()) {
    t.equal(Buffer.compare(engine.payloadOf(block), others[i] ?? before), 0)
  }
  let changed = 0
  for (const [i, byte] of engine.bytes.entries()) if (byte !== before[i]) changed++
  t.ok(changed > 0 && changed <= engine.payloadBytes, `${changed} bytes changed`)
  await rig.close()
})

void t.test('copy and sum know the same checksum, and a wrong one is said', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const host = native.openMemory(300_000)
  const bytes = native.windowOf(host, 0, 100_001)
  bytes.forEach((_, i) => {
    bytes[i] = (i * 7) & 255
  })
  const sum = crc32c(bytes)
  const copy = { operation: 'copy', sourceRegion: host, targetRegion: host, byteCount: 100_001 } as const
  t.match(await rig.run({ ...copy, target: 150_001, checksum: sum }), [{ status: 0, checksum: sum }])
  t.equal(Buffer.compare(native.windowOf(host, 150_001, 100_001), bytes), 0)
  t.match(await rig.run({ operation: 'sum', sourceRegion: host, byteCount: 100_001 }), [{ checksum: sum }])
  t.match(
    await rig.run({ operation: 'sum', sourceRegion: host, byteCount: 100_001, checksum: (sum ^ 1) >>> 0 }),
    [{ status: 1, checksum: sum }],
    'status checksum, with the sum that was found',
  )
  await rig.close()
})

void t.test('a write fills the last page of its file slot with zeros', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const host = native.openMemory(2 * pageBytes)
  const path = join(t.testdir({}), 'slab')
  const file = native.openFile(path, 4 * pageBytes, false)
  native.windowOf(host, 0, 2 * pageBytes).fill(0xff)
  await rig.run({
    operation: 'write',
    sourceRegion: host,
    targetRegion: file,
    target: pageBytes,
    byteCount: 5_000,
    seal: 0,
  })
  const stored = readFileSync(path)
  t.ok(
    stored.subarray(0, pageBytes).every((byte) => byte === 0),
    'what lies before the slot is untouched',
  )
  t.ok(
    stored.subarray(pageBytes + 256, 2 * pageBytes).every((byte) => byte === 0),
    'rest of the header page',
  )
  t.ok(stored.subarray(2 * pageBytes, 2 * pageBytes + 5_000).every((byte) => byte === 0xff))
  t.ok(
    stored.subarray(2 * pageBytes + 5_000).every((byte) => byte === 0),
    'rest of the payload',
  )
  await rig.close()
})

void t.test('opening a file again keeps its bytes; opening it shorter cuts it', async (t) => {
  const rig = new Rig()
  const { native } = rig
  const path = join(t.testdir({ slab: 'x'.repeat(2 * pageBytes) }), 'slab')
  native.closeRegion(native.openFile(path, 4 * pageBytes, true))
  t.equal(statSync(path).size, 4 * pageBytes)
  t.equal(readFileSync(path, 'utf8').slice(0, 2 * pageBytes), 'x'.repeat(2 * pageBytes))
  native.closeRegion(native.openFile(path, pageBytes, true))
  t.equal(statSync(path).size, pageBytes)
  await rig.close()
})
