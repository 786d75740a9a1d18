import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { keyAt } from '../../tiers/block/id.ts'
import { s3GapBytesMax, s3RunBytesMax } from '../../tiers/block/limits.ts'
import { routeHashAt } from '../../tiers/block/route.ts'
import { readSeal, type Seal } from '../../tiers/block/seal.ts'
import { Landing } from '../../tiers/s3/landing.ts'
import { blockSpanBytes, layPack, packParts, readIndex, readPack } from '../../tiers/s3/pack.ts'
import { planRuns } from '../../tiers/s3/run.ts'

const id = '0123456789ab-daemon1-00002a'
const namespace = keyAt(randomBytes(32), 0)
const lengths = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 12 })

function sealOf(payload: Uint8Array, position: number): Seal {
  return {
    key: keyAt(randomBytes(32), 0),
    parent: position === 0 ? null : keyAt(randomBytes(32), 0),
    namespace,
    layout: '00112233445566ff',
    position,
    blockTokens: 16,
    payloadBytes: payload.length,
    checksum: crc32c(payload),
    generation: 9,
    route: routeHashAt(randomBytes(8), 0),
  }
}

function packOf(payloadLengths: readonly number[]) {
  const payloads = payloadLengths.map((length) => new Uint8Array(randomBytes(length)))
  const seals = payloads.map(sealOf)
  const index = layPack(id, seals)
  return { payloads, seals, index, bytes: new Uint8Array(Buffer.concat(packParts(index, payloads, crc32c))) }
}

void t.test('what was packed is read from the pack and from its index alike', (t) => {
  fc.assert(
    fc.property(lengths, (payloadLengths) => {
      const { payloads, index, bytes } = packOf(payloadLengths)
      const read = readPack(bytes, crc32c)
      if (read.as !== 'index') throw new Error(read.why)
      t.same(read.index, index)
      const alone = readIndex(bytes.slice(lastEnd(index.entries)), crc32c)
      t.same(alone, read)
      for (const [i, { offset, seal }] of read.index.entries.entries()) {
        const found = readSeal(bytes, offset)
        t.same(found, { as: 'seal', seal })
        t.same(bytes.subarray(offset + 256, offset + 256 + seal.payloadBytes), payloads[i])
      }
    }),
    { numRuns: 100 },
  )
  t.end()
})

function lastEnd(entries: readonly { offset: number; seal: Seal }[]): number {
  const last = entries.at(-1)
  return last === undefined ? 0 : last.offset + blockSpanBytes(last.seal.payloadBytes)
}

void t.test('a range lands right, however it is cut into chunks, whatever part is wanted', (t) => {
  const cuts = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(
      lengths,
      cuts,
      fc.infiniteStream(fc.boolean()),
      fc.boolean(),
      (all, chunks, chosen, ranged) => {
        const { payloads, index, bytes } = packOf(all)
        const wanted = index.entries.flatMap(({ offset, seal }, i) =>
          chosen.next().value === true
            ? [{ offset, payloadBytes: seal.payloadBytes, window: new Uint8Array(seal.payloadBytes), i }]
            : [],
        )
        for (const run of planRuns(wanted)) {
          const landed: number[] = []
          const landing = new Landing(run, bytes.length, (piece, seal) => {
            landed.push(piece.i)
            t.match(readSeal(seal, 0), { as: 'seal', seal: { position: piece.i } })
            t.same(piece.window, payloads[piece.i])
          })
          const body = ranged ? bytes.subarray(run.first, run.last + 1) : bytes
          landing.begin({
            status: ranged ? 206 : 200,
            contentRange: ranged ? `bytes ${run.first}-${run.last}/${bytes.length}` : null,
            contentLength: body.length,
          })
          for (let at = 0, i = 0; at < body.length; i++) {
            const length = chunks[i % chunks.length] ?? 1
            if (landing.take(body.subarray(at, at + length)) === 'enough') break
            at += length
          }
          t.equal(landing.wrong(), null)
          t.same(
            landed,
            run.pieces.map((piece) => piece.i),
          )
        }
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('an answer for another range, of another object, or cut short lands nothing as whole', (t) => {
  const { index, bytes } = packOf([500, 500])
  const pieces = index.entries.map(({ offset, seal }) => ({
    offset,
    payloadBytes: seal.payloadBytes,
    window: new Uint8Array(seal.payloadBytes),
  }))
  const [run] = planRuns(pieces)
  if (run === undefined) throw new Error('no run')
  const outcome = (contentRange: string | null, body: Uint8Array, status = 206) => {
    let landed = 0
    const landing = new Landing(run, bytes.length, () => {
      landed += 1
    })
    const begun = landing.begin({ status, contentRange, contentLength: body.length })
    if (begun === 'go_on') landing.take(body)
    return [landing.wrong(), landed]
  }
  const body = bytes.subarray(run.first, run.last + 1)
  const range = `bytes ${run.first}-${run.last}`
  t.same(outcome(`${range}/${bytes.length}`, body), [null, 2])
  t.same(outcome(`${range}/${bytes.length}`, body.subarray(0, 900)), ['short', 1])
  t.same(outcome(`${range}/${bytes.length + 1}`, body), ['other_length', 0])
  t.same(outcome(`bytes 0-${run.last}/${bytes.length}`, body), ['other_range', 0])
  t.same(outcome(`bytes ${run.first}-${run.last - 1}/${bytes.length}`, body), ['other_range', 0])
  t.same(outcome(null, body), ['other_length', 0])
  t.same(outcome(null, bytes.subarray(1), 200), ['other_length', 0])
  t.end()
})

void t.test('runs cover every wanted block once, join near ones, and stay within their length', (t) => {
  const gaps = fc.array(fc.tuple(fc.nat(2 * s3GapBytesMax), fc.integer({ min: 1, max: 2 ** 20 })), {
    minLength: 1,
    maxLength: 60,
  })
  fc.assert(
    fc.property(gaps, (list) => {
      let free = 4_096
      const pieces = list.map(([gap, payloadBytes], i) => {
        const offset = free + Math.floor(gap / 256) * 256
        free = offset + blockSpanBytes(payloadBytes)
        return { offset, payloadBytes, i }
      })
      const runs = planRuns(pieces.toReversed())
      t.same(
        runs.flatMap((run) => run.pieces.map((piece) => piece.i)),
        pieces.map((piece) => piece.i),
      )
      for (const [i, run] of runs.entries()) {
        t.ok(run.last - run.first < s3RunBytesMax || run.pieces.length === 1)
        t.equal(run.first, run.pieces[0]?.offset)
        const next = runs[i + 1]
        if (next === undefined) continue
        const together =
          (next.pieces[0]?.offset ?? 0) + blockSpanBytes(next.pieces[0]?.payloadBytes ?? 0) - run.first
        t.ok(next.first - run.last - 1 >= s3GapBytesMax || together > s3RunBytesMax, 'no needless cut')
      }
    }),
    { numRuns: 200 },
  )
  const twice = [
    { offset: 4_096, payloadBytes: 100 },
    { offset: 4_096, payloadBytes: 100 },
  ]
  t.equal(planRuns(twice).length, 2, 'a block wanted twice is read twice')
  t.end()
})
