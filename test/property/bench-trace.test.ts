import fc from 'fast-check'
import t from 'tap'
import { RequestDraft, traceOfLists } from '../../bench/trace/builder.ts'
import { fillNative } from '../../bench/trace/mooncake.ts'
import { objectOfLine } from '../../bench/trace/reader.ts'
import { reblocked } from '../../bench/trace/reblock.ts'
import { LineScanner } from '../../bench/trace/scan.ts'
import { expandTrace } from '../../bench/trace/trace.ts'

const idLists = fc.array(fc.array(fc.nat(6), { maxLength: 8 }), { minLength: 1, maxLength: 30 })

void t.test('nodes are (parent, id) pairs in order of first appearance', (t) => {
  fc.assert(
    fc.property(idLists, fc.constantFrom(1, 2 ** 24, 2 ** 40), (lists, factor) => {
      const wide = lists.map((ids) => ids.map((id) => id * factor))
      const trace = expandTrace(traceOfLists('made', wide))
      const known = new Map<string, number>()
      let at = 0
      for (const ids of wide) {
        let parent = -1
        for (const id of ids) {
          const key = `${parent}/${id}`
          if (!known.has(key)) known.set(key, known.size)
          const node = known.get(key) ?? -1
          if (trace.refs[at] !== node || trace.parents[node] !== parent) return false
          parent = node
          at += 1
        }
      }
      return trace.nodeCount === known.size && trace.referenceCount === at && trace.starts.at(-1) === at
    }),
    { numRuns: 300 },
  )
  t.end()
})

void t.test('a coarse block is (coarse parent, last fine block, group length)', (t) => {
  fc.assert(
    fc.property(idLists, fc.integer({ min: 2, max: 4 }), (lists, group) => {
      const fine = expandTrace(traceOfLists('made', lists))
      const coarse = expandTrace(reblocked(traceOfLists('made', lists), group))
      const known = new Map<string, number>()
      const expected: number[] = []
      for (let request = 0; request < fine.requestCount; request += 1) {
        const path = fine.refs.subarray(fine.starts[request], fine.starts[request + 1])
        let parent = -1
        for (let from = 0; from < path.length; from += group) {
          const part = path.subarray(from, from + group)
          const key = `${parent}/${part.at(-1)}/${part.length}`
          if (!known.has(key)) known.set(key, known.size)
          parent = known.get(key) ?? -1
          expected.push(parent)
        }
      }
      return expected.join() === [...coarse.refs].join() && coarse.blockTokens === group
    }),
    { numRuns: 300 },
  )
  t.end()
})

const anyLine = fc.record(
  {
    timestamp: fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e12, noNaN: true })),
    input_length: fc.nat(1e6),
    output_length: fc.nat(1e4),
    hash_ids: fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat() }, fc.maxSafeNat()), { maxLength: 9 }),
    session_id: fc.oneof(fc.nat(), fc.string()),
    delay: fc.nat(1e5),
    tenant: fc.string({ maxLength: 3 }),
    extra: fc.jsonValue(),
  },
  { requiredKeys: ['timestamp', 'input_length', 'output_length', 'hash_ids'] },
)

void t.test('the byte scanner agrees with the JSON parser or gives up', (t) => {
  const scanner = new LineScanner()
  let understood = 0
  fc.assert(
    fc.property(anyLine, fc.constantFrom(0, 1), (line, indent) => {
      const text = JSON.stringify(line, null, indent).replaceAll('\n', ' ')
      const bytes = Buffer.from(text)
      const [quick, slow] = [new RequestDraft(), new RequestDraft()]
      if (!scanner.scan(bytes, 0, bytes.length, quick)) return true
      understood += 1
      fillNative(objectOfLine(bytes, 0, bytes.length), slow)
      return JSON.stringify(plain(quick)) === JSON.stringify(plain(slow))
    }),
    { numRuns: 3_000 },
  )
  t.ok(understood > 20, 'some lines take the quick way')
  t.end()
})

function plain(draft: RequestDraft): unknown {
  const { low, high, blockCount, ...rest } = draft
  return {
    ...rest,
    blockCount,
    low: [...low.subarray(0, blockCount)],
    high: [...high.subarray(0, blockCount)],
  }
}
