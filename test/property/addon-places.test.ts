import fc from 'fast-check'
import t from 'tap'
import { stepNumbers } from '../../addon/native.ts'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { type Layout, type Place, placeProblem } from '../../tiers/block/layout.ts'
import { packed, Rig } from '../addon-rig.ts'

const rig = new Rig(2)
const { native } = rig
t.teardown(() => rig.close())

const regionBytes = 2 ** 18
const engine = native.openMemory(regionBytes)
const host = native.openMemory(2 ** 20)
const engineBytes = native.windowOf(engine, 0, regionBytes)

type Case = { readonly layout: Layout; readonly place: Place; readonly block: number }

/** Planes of any shape: strides larger than, equal to and smaller than the pieces, and pieces of odd lengths. */
const cases: fc.Arbitrary<Case> = fc
  .array(
    fc.record({
      layerCount: fc.integer({ min: 1, max: 6 }),
      pieceBytes: fc.oneof(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 20_000 }),
        fc.integer({ min: 1, max: 80 }).map((units) => units * 256),
      ),
      baseOffset: fc.integer({ min: 0, max: 250_000 }),
      layerStride: fc.integer({ min: 0, max: 25_000 }),
      blockStride: fc.integer({ min: 0, max: 9_000 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .chain((planes) =>
    fc.integer({ min: 0, max: 12 }).map((block) => ({
      block,
      layout: {
        blockTokens: 16,
        dtype: 'f16',
        planes: planes.map((plane, i) => ({
          name: `p${i}`,
          layerCount: plane.layerCount,
          pieceBytes: plane.pieceBytes,
        })),
      },
      place: { planes },
    })),
  )

/** The offsets of all bytes of a block, in payload order: what an affine place means, byte by byte. */
function* piecesOf({ layout, place, block }: Case): Generator<readonly [number, number]> {
  for (const [i, plane] of layout.planes.entries()) {
    const at = place.planes[i]
    if (at === undefined) return
    for (let layer = 0; layer < plane.layerCount; layer++) {
      yield [at.baseOffset + layer * at.layerStride + block * at.blockStride, plane.pieceBytes]
    }
  }
}

function openPlace({ layout, place }: Case): number {
  return native.openPlace(
    new Float64Array(
      layout.planes.flatMap((plane, i) => {
        const at = place.planes[i]
        if (at === undefined) return []
        return [at.baseOffset, at.layerStride, at.blockStride, plane.layerCount, plane.pieceBytes]
      }),
    ),
  )
}

function fill(bytes: Uint8Array, seed: number): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 197 + (i >> 7) * seed + seed) & 255
}

void t.test('gather and scatter mean what the place means, or are refused as the place is', async (t) => {
  let inside = 0
  let outside = 0
  await fc.assert(
    fc.asyncProperty(cases, fc.integer({ min: 1, max: 255 }), async (one, seed) => {
      const byteCount = [...piecesOf(one)].reduce((total, [, count]) => total + count, 0)
      const place = openPlace(one)
      const gather = {
        operation: 'gather',
        sourceRegion: engine,
        source: one.block,
        targetRegion: host,
        byteCount,
        place,
      } as const
      if (placeProblem(one.layout, one.place, one.block + 1, regionBytes) !== null) {
        outside++
        const steps = new Float64Array(packed(gather))
        t.throws(() => native.submit(rig.queue, steps, steps.length / stepNumbers, rig.seals), {
          code: 'EINVAL',
        })
        native.closePlace(place)
        return
      }
      inside++
      fill(engineBytes, seed)
      const wanted = Buffer.concat([...piecesOf(one)].map(([at, count]) => engineBytes.slice(at, at + count)))
      const [gathered] = await rig.run(gather)
      const slot = native.windowOf(host, 0, byteCount)
      if (gathered?.status !== 0 || gathered.checksum !== crc32c(wanted)) throw new Error('gather: checksum')
      if (Buffer.compare(slot, wanted) !== 0) throw new Error('gather: bytes')

      fill(slot, seed + 1)
      const model = engineBytes.slice()
      let from = 0
      for (const [at, count] of piecesOf(one)) {
        model.set(slot.subarray(from, from + count), at)
        from += count
      }
      const [scattered] = await rig.run({
        operation: 'scatter',
        sourceRegion: host,
        targetRegion: engine,
        target: one.block,
        byteCount,
        place,
      })
      if (scattered?.checksum !== crc32c(slot)) throw new Error('scatter: checksum')
      if (Buffer.compare(engineBytes, model) !== 0) throw new Error('scatter: bytes')
      native.closePlace(place)
    }),
    { numRuns: 150 },
  )
  t.ok(inside > 0 && outside > 0, `${inside} places inside, ${outside} outside`)
})
