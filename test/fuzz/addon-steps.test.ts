import { join } from 'node:path'
import t from 'tap'
import { operations, statuses } from '../../addon/native.ts'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { Rig, type StepWanted } from '../addon-rig.ts'

/** Random steps, good and bad, against a model of three regions in plain arrays: what is taken does exactly what the model
 *  does, what is refused does nothing, and no byte outside a step's target ever changes. */

const pageBytes = 4_096
const regionBytes = 32 * pageBytes
const planes = [
  { base: 512, layerStride: 9_000, blockStride: 300, layerCount: 4, pieceBytes: 256 },
  { base: 60_000, layerStride: 1_000, blockStride: 5_000, layerCount: 2, pieceBytes: 700 },
] as const
const payloadBytes = 4 * 256 + 2 * 700

/** A small generator of our own: the same seed gives the same steps. */
function chanceOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

type Model = {
  readonly memory: ReadonlyMap<number, Uint8Array>
  readonly file: Uint8Array
  readonly fileRegion: number
}
type Expected = { readonly status: number; readonly byteCount: number; readonly checksum: number }

function piecesOf(block: number): (readonly [number, number])[] {
  return planes.flatMap((plane) =>
    Array.from(
      { length: plane.layerCount },
      (_, layer) =>
        [plane.base + layer * plane.layerStride + block * plane.blockStride, plane.pieceBytes] as const,
    ),
  )
}

/** Whether the step may be taken, by the words of native.ts. */
function isGood(model: Model, place: number, step: Required<StepWanted>): boolean {
  const paged = Math.ceil(step.byteCount / pageBytes) * pageBytes
  const inMemory = (region: number, at: number, byteCount: number): boolean =>
    model.memory.has(region) && at + byteCount <= regionBytes
  const inFile = (region: number, at: number): boolean =>
    region === model.fileRegion && at % pageBytes === 0 && at + pageBytes + paged <= regionBytes
  const inPlace = (region: number, block: number): boolean =>
    model.memory.has(region) &&
    step.place === place &&
    step.byteCount === payloadBytes &&
    piecesOf(block).every(([at, count]) => at + count <= regionBytes)
  const { sourceRegion, source, targetRegion, target, byteCount } = step
  if (step.operation === operations.flush) return targetRegion === model.fileRegion
  if (byteCount < 1) return false
  switch (step.operation) {
    case operations.gather:
      return inPlace(sourceRegion, source) && inMemory(targetRegion, target, byteCount)
    case operations.scatter:
      return inMemory(sourceRegion, source, byteCount) && inPlace(targetRegion, target)
    case operations.write:
      return (
        step.seal >= 0 &&
        source % pageBytes === 0 &&
        inMemory(sourceRegion, source, paged) &&
        inFile(targetRegion, target)
      )
    case operations.read:
      return target % pageBytes === 0 && inMemory(targetRegion, target, paged) && inFile(sourceRegion, source)
    case operations.copy: {
      const apart =
        sourceRegion !== targetRegion || source + byteCount <= target || target + byteCount <= source
      return apart && inMemory(sourceRegion, source, byteCount) && inMemory(targetRegion, target, byteCount)
    }
    case operations.sum:
      return inMemory(sourceRegion, source, byteCount)
    default:
      return false
  }
}

/** Does to the model what the step does. `seals` holds 16 headers; those that a read finds are put there. */
function apply(model: Model, step: Required<StepWanted>, seals: Uint8Array): Expected {
  const { sourceRegion, source, targetRegion, target, byteCount } = step
  const from = model.memory.get(sourceRegion) ?? model.file
  const to = model.memory.get(targetRegion) ?? model.file
  const paged = Math.ceil(byteCount / pageBytes) * pageBytes
  let slot = new Uint8Array(0)
  switch (step.operation) {
    case operations.gather: {
      let at = target
      for (const [piece, count] of piecesOf(source)) {
        to.set(from.slice(piece, piece + count), at)
        at += count
      }
      slot = to.slice(target, target + byteCount)
      break
    }
    case operations.scatter: {
      // The order of the pieces matters where they lie over the slot itself.
      let at = source
      for (const [piece, count] of piecesOf(target)) {
        to.set(from.slice(at, at + count), piece)
        at += count
      }
      slot = from.slice(source, source + byteCount)
      break
    }
    case operations.write:
      from.fill(0, source + byteCount, source + paged)
      to.set(from.subarray(source, source + paged), target + pageBytes)
      to.fill(0, target, target + pageBytes)
      to.set(seals.subarray(step.seal, step.seal + 256), target)
      return { status: statuses.ok, byteCount, checksum: 0 }
    case operations.read:
      to.set(from.subarray(source + pageBytes, source + pageBytes + paged), target)
      if (step.seal >= 0) seals.set(from.subarray(source, source + 256), step.seal)
      slot = to.slice(target, target + byteCount)
      break
    case operations.copy:
      to.set(from.subarray(source, source + byteCount), target)
      slot = to.slice(target, target + byteCount)
      break
    case operations.sum:
      slot = from.slice(source, source + byteCount)
      break
    default:
      return { status: statuses.ok, byteCount: 0, checksum: 0 }
  }
  const checksum = crc32c(slot)
  const wrong = step.checksum >= 0 && step.checksum !== checksum
  return { status: wrong ? statuses.checksum : statuses.ok, byteCount, checksum }
}

function isRefused(submit: () => number): boolean {
  try {
    submit()
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EINVAL'
  }
  return false
}

void t.test('random steps do what the model does, or are refused and do nothing', async (t) => {
  const rig = new Rig(2)
  const { native } = rig
  const engine = native.openMemory(regionBytes)
  const host = native.openMemory(regionBytes)
  const file = native.openFile(join(t.testdir({}), 'slab'), regionBytes, true)
  const place = native.openPlace(
    new Float64Array(
      planes.flatMap((p) => [p.base, p.layerStride, p.blockStride, p.layerCount, p.pieceBytes]),
    ),
  )
  const chance = chanceOf(20_260_101)
  const model: Model = {
    memory: new Map([
      [engine, new Uint8Array(regionBytes)],
      [host, new Uint8Array(regionBytes)],
    ]),
    file: new Uint8Array(regionBytes),
    fileRegion: file,
  }
  const seals = rig.seals.slice()
  for (const bytes of [seals, ...model.memory.values()]) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = chance(256)
  }
  rig.seals.set(seals)
  for (const [region, bytes] of model.memory) native.windowOf(region, 0, regionBytes).set(bytes)

  const pick = (values: readonly number[]): number => values[chance(values.length)] ?? 0
  const offset = (): number =>
    pick([
      0,
      chance(30),
      chance(32) * pageBytes,
      chance(regionBytes),
      regionBytes,
      regionBytes - 1,
      2 ** 53 - 1,
    ])
  const draw = (): Required<StepWanted> => {
    const operation = pick([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7])
    const usual = { region: pick([engine, host]), at: offset() }
    return {
      operation,
      ticket: 0,
      sourceRegion: operation === operations.read ? file : pick([usual.region, usual.region, file, place, 0]),
      source: operation === operations.gather ? pick([chance(40), offset()]) : offset(),
      targetRegion:
        operation === operations.write || operation === operations.flush
          ? pick([file, file, host])
          : pick([engine, host, host, file]),
      target: operation === operations.scatter ? pick([chance(40), offset()]) : offset(),
      byteCount:
        operation <= 2 ? pick([payloadBytes, payloadBytes, 100]) : pick([1, 5_000, chance(20_000), 0]),
      place: pick([place, place, place, host]),
      checksum: pick([-1, -1, -1, chance(2 ** 32)]),
      seal: pick([-1, chance(16) * 256, chance(16) * 256]),
    }
  }
  let taken = 0
  let bad = 0
  let refused = 0
  for (let round = 0; round < 24_000; round++) {
    const step = draw()
    // A piece that lies over the slot it is copied from or to has no order that the boundary promises.
    if ((step.operation === 1 || step.operation === 2) && step.sourceRegion === step.targetRegion) continue
    const good = isGood(model, place, step)
    if (!good) {
      refused += isRefused(() => rig.submit([step])) ? 1 : 0
      bad++
      continue
    }
    taken++
    const expected = apply(model, step, seals)
    const [done] = await rig.run(step)
    if (
      done?.status !== expected.status ||
      done.checksum !== expected.checksum ||
      done.byteCount !== expected.byteCount
    ) {
      t.strictSame({ ...done }, { ticket: 0, ...expected }, `round ${round}: ${JSON.stringify(step)}`)
      break
    }
    if (Buffer.compare(rig.seals, seals) !== 0) t.fail(`round ${round}: headers differ`)
    if (taken % 64 > 0) continue
    for (const [region, bytes] of model.memory) {
      if (Buffer.compare(native.windowOf(region, 0, regionBytes), bytes) !== 0)
        t.fail(`round ${round}: bytes differ`)
    }
  }
  t.equal(refused, bad, 'every bad step was refused')
  t.ok(taken > 2_000, `${taken} steps were taken, ${bad} refused`)
  await rig.close()
})
