import { createHmac } from 'node:crypto'
import { closeSync, constants, mkdtempSync, openSync, read, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { loadNative } from '../../addon/load.ts'
import { completionNumbers, operations, stepNumbers } from '../../addon/native.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { chainBytes } from '../../tiers/block/key.ts'

/** What the addon costs against the plainest way to do the same, both in one run on one machine: only the ratios mean
 *  something elsewhere. `node bench/micro/addon.ts [directory for the file]`. */

const native = loadNative()
const threadCount = 4
const roundsOf = 7

type Row = {
  readonly what: string
  readonly ours: number
  readonly theirs: number
  readonly unit: string
  readonly against: string
}

const into = new Float64Array(4096 * completionNumbers)
let told: () => void = () => undefined
const oneThread = native.openQueue(1, () => told())
const manyThreads = native.openQueue(threadCount, () => told())

/** Submits packed steps, in as many goes as the queue wants, and resolves when all have completed well. */
async function runSteps(queue: number, steps: Float64Array, seals = new Uint8Array(0)): Promise<void> {
  const count = steps.length / stepNumbers
  let sent = 0
  let done = 0
  while (done < count) {
    if (sent < count) {
      sent += native.submit(queue, steps.subarray(sent * stepNumbers), count - sent, seals)
    }
    const moved = native.drain(queue, into)
    for (let i = 0; i < moved; i++) {
      if (into[i * completionNumbers + 1] !== 0) throw new Error(`a step ended with ${into[i * 4 + 1]}`)
    }
    done += moved
    if (moved === 0) {
      await new Promise<void>((resolve) => {
        told = resolve
      })
    }
  }
}

function step(
  numbers: Partial<Record<'source' | 'target' | 'byteCount' | 'place', number>>,
  kind: number[],
): number[] {
  const [operation = 0, sourceRegion = 0, targetRegion = 0] = kind
  const { source = 0, target = 0, byteCount = 0, place = 0 } = numbers
  return [operation, 0, sourceRegion, source, targetRegion, target, byteCount, place, -1, -1]
}

async function medianOf(measure: () => Promise<number>): Promise<number> {
  const rounds: number[] = []
  for (let i = 0; i < roundsOf; i++) rounds.push(await measure())
  return rounds.sort((a, b) => a - b)[roundsOf >> 1] ?? 0
}

/** Milliseconds of the median round. */
async function medianMs(run: () => Promise<void> | void): Promise<number> {
  return await medianOf(async () => {
    const start = realWorld.nowMs()
    await run()
    return realWorld.nowMs() - start
  })
}

/** Milliseconds of processor time of the median round, all threads together: steadier than the clock on a shared machine, and
 *  the truer price of a copy. */
async function medianCpuMs(run: () => Promise<void> | void): Promise<number> {
  return await medianOf(async () => {
    const start = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1000
  })
}

const gigabytesPerSecond = (byteCount: number, ms: number): number => byteCount / ms / 1e6

/** Blocks of one shape, all over a region larger than the caches, against one plain copy of as many bytes. */
async function copyRows(name: string, layerCount: number, pieceBytes: number): Promise<Row[]> {
  const regionBytes = 2 ** 28
  const blockCount = Math.floor(regionBytes / (layerCount * pieceBytes))
  const payloadBytes = layerCount * pieceBytes
  const engine = native.openMemory(regionBytes)
  const host = native.openMemory(regionBytes)
  const place = native.openPlace(
    new Float64Array([0, blockCount * pieceBytes, pieceBytes, layerCount, pieceBytes]),
  )
  const from = native.windowOf(engine, 0, regionBytes)
  const to = native.windowOf(host, 0, regionBytes)
  from.fill(1)
  to.fill(2)
  const blocks = Array.from({ length: blockCount }, (_, block) => block)
  const gathers = new Float64Array(
    blocks.flatMap((block) =>
      step({ source: block, target: block * payloadBytes, byteCount: payloadBytes, place }, [
        operations.gather,
        engine,
        host,
      ]),
    ),
  )
  const scatters = new Float64Array(
    blocks.flatMap((block) =>
      step({ source: block * payloadBytes, target: block, byteCount: payloadBytes, place }, [
        operations.scatter,
        host,
        engine,
      ]),
    ),
  )
  const total = blockCount * payloadBytes
  const plainMs = await medianCpuMs(() => {
    for (const block of blocks) {
      to.set(from.subarray(block * payloadBytes, (block + 1) * payloadBytes), block * payloadBytes)
    }
  })
  const gatherMs = await medianCpuMs(() => runSteps(oneThread, gathers))
  const scatterMs = await medianCpuMs(() => runSteps(oneThread, scatters))
  for (const region of [engine, host]) native.closeRegion(region)
  const against = 'plain copy, not summed'
  const theirs = gigabytesPerSecond(total, plainMs)
  return [
    {
      what: `gather, summed, ${name}`,
      ours: gigabytesPerSecond(total, gatherMs),
      theirs,
      unit: 'GB/s',
      against,
    },
    {
      what: `scatter, summed, ${name}`,
      ours: gigabytesPerSecond(total, scatterMs),
      theirs,
      unit: 'GB/s',
      against,
    },
  ]
}

/** File slots read by the queue's threads, against as many plain reads at a time of the same file into the same memory. */
async function readRows(directory: string): Promise<Row[]> {
  const payloadBytes = 2 ** 20
  const slotBytes = payloadBytes + 4096
  const slotCount = 256
  const path = join(mkdtempSync(join(directory, 'terrace-micro-')), 'slab')
  const readAt = promisify(read)
  try {
    const file = native.openFile(path, slotBytes * slotCount, true)
    const host = native.openMemory(slotBytes * slotCount)
    const window = native.windowOf(host, 0, slotBytes * slotCount)
    window.fill(3)
    const slots = Array.from({ length: slotCount }, (_, slot) => slot)
    const writes = slots.flatMap((slot) => [
      operations.write,
      0,
      host,
      slot * payloadBytes,
      file,
      slot * slotBytes,
      payloadBytes,
      0,
      -1,
      0,
    ])
    await runSteps(manyThreads, new Float64Array(writes), new Uint8Array(256))
    const reads = new Float64Array(
      slots.flatMap((slot) =>
        step({ source: slot * slotBytes, target: slot * payloadBytes, byteCount: payloadBytes }, [
          operations.read,
          file,
          host,
        ]),
      ),
    )
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECT)
    const plain = async (): Promise<void> => {
      let next = 0
      const worker = async (): Promise<void> => {
        while (next < slotCount) {
          const slot = next++
          const part = window.subarray(slot * slotBytes, (slot + 1) * slotBytes)
          await readAt(descriptor, part, 0, slotBytes, slot * slotBytes)
        }
      }
      await Promise.all(Array.from({ length: threadCount }, worker))
    }
    const total = slotBytes * slotCount
    const theirs = gigabytesPerSecond(total, await medianMs(plain))
    const ours = gigabytesPerSecond(total, await medianMs(() => runSteps(manyThreads, reads)))
    closeSync(descriptor)
    for (const region of [file, host]) native.closeRegion(region)
    return [
      {
        what: `read, summed, 1 MiB, ${threadCount} threads`,
        ours,
        theirs,
        unit: 'GB/s',
        against: 'plain pread',
      },
    ]
  } finally {
    rmSync(join(path, '..'), { recursive: true, force: true })
  }
}

async function chainRows(): Promise<Row[]> {
  const tokens = Uint32Array.from({ length: 50_000 }, (_, i) => i * 7)
  const secret = new Uint8Array(32).fill(5)
  const keys = new Uint8Array(3_125 * 32)
  const ours = await medianCpuMs(() => void native.chain(secret, tokens, 16, keys))
  const typescript = await medianCpuMs(() => void chainBytes(secret, tokens, 16))
  const openssl = await medianCpuMs(() => {
    let parent: Uint8Array = new Uint8Array(32)
    for (let block = 0; block < 3_125; block++) {
      const part = new Uint8Array(tokens.buffer, block * 64, 64)
      parent = createHmac('sha256', secret).update(parent).update(part).digest()
    }
  })
  const what = 'chain of 50,000 tokens'
  return [
    { what, ours, theirs: typescript, unit: 'ms', against: 'TypeScript' },
    { what, ours, theirs: openssl, unit: 'ms', against: 'node:crypto' },
  ]
}

/** Milliseconds of the median of many trips, each timed alone. */
async function medianTripMs(trip: () => Promise<void>): Promise<number> {
  const trips: number[] = []
  for (let i = 0; i < 4_000; i++) {
    const start = realWorld.nowMs()
    await trip()
    trips.push(realWorld.nowMs() - start)
  }
  return trips.sort((a, b) => a - b)[2_000] ?? 0
}

async function stepRows(): Promise<Row[]> {
  const region = native.openMemory(4096)
  const count = 40_960
  const steps = new Float64Array(
    Array.from({ length: count }, () => step({ byteCount: 64 }, [operations.sum, region])).flat(),
  )
  const manyMs = await medianCpuMs(() => runSteps(oneThread, steps))
  const plainMs = await medianCpuMs(() => {
    const bytes = native.windowOf(region, 0, 64)
    for (let i = 0; i < count; i++) native.crc32c(bytes, 0)
  })
  const one = steps.subarray(0, stepNumbers)
  const aloneMs = await medianTripMs(() => runSteps(oneThread, one))
  const turnMs = await medianTripMs(() => new Promise<void>((resolve) => void setImmediate(resolve)))
  native.closeRegion(region)
  return [
    {
      what: 'one step of many, submitted to drained',
      ours: (manyMs / count) * 1e6,
      theirs: (plainMs / count) * 1e6,
      unit: 'ns',
      against: 'a call on the same thread',
    },
    {
      what: 'one step alone, there and back',
      ours: aloneMs * 1e3,
      theirs: turnMs * 1e3,
      unit: 'µs',
      against: 'a turn of the event loop',
    },
  ]
}

const rows = [
  ...(await copyRows('60 pieces of 6 KiB', 60, 6_144)),
  ...(await copyRows('one piece of 1 MiB', 1, 2 ** 20)),
  ...(await readRows(process.argv[2] ?? tmpdir())),
  ...(await chainRows()),
  ...(await stepRows()),
]
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores; ${native.describe()}`)
for (const { what, ours, theirs, unit, against } of rows) {
  const price = `${ours.toPrecision(3).padStart(7)} ${unit.padEnd(5)}`
  const ratio = `${(ours / theirs).toFixed(2).padStart(6)} x ${theirs.toPrecision(3)}`
  console.log(`${what.padEnd(42)} ${price} = ${ratio} (${against})`)
}
await Promise.all([native.closeQueue(oneThread), native.closeQueue(manyThreads)])
