import fc from 'fast-check'
import t from 'tap'
import { Arena, pageRounded, segmentBytesFor } from '../../tiers/arena.ts'
import type { Slot } from '../../tiers/block/id.ts'
import { segmentBytes, slotPageBytes } from '../../tiers/block/limits.ts'

const page = slotPageBytes
const action = fc.oneof(
  fc.record({ take: fc.integer({ min: 1, max: 5 * page }) }),
  fc.record({ give: fc.nat() }),
)

void t.test('slots never overlap, stay inside, and a reused one has a higher generation', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.array(action, { maxLength: 300, size: 'max' }),
      (pages, actions) => {
        const arena = new Arena(pages * page, 4 * page)
        const held = new Map<Slot, number>()
        const owners = new Map<number, Slot>()
        const generations = new Map<number, number>()
        let usedBytes = 0
        for (const one of actions) {
          if ('give' in one) {
            const slot = [...held.keys()][one.give % Math.max(1, held.size)]
            if (slot === undefined) continue
            for (let at = 0; at < (held.get(slot) ?? 0); at++) owners.delete(slot.index + at)
            usedBytes -= (held.get(slot) ?? 0) * page
            held.delete(slot)
            arena.giveBack(slot)
            continue
          }
          const free = arena.freeSlots(one.take)
          const acquired = arena.acquire(one.take)
          if ((acquired.as === 'slot') !== free > 0) throw new Error('freeSlots and acquire disagree')
          if (acquired.as !== 'slot') continue
          const { slot } = acquired
          const length = pageRounded(one.take) / page
          for (let at = slot.index as number; at < slot.index + length; at++) {
            if (owners.has(at)) throw new Error('two owners')
            if (at >= arena.segmentCount * 4) throw new Error('outside')
            owners.set(at, slot)
            if ((generations.get(at) ?? 0) >= slot.generation) throw new Error('generation did not grow')
            generations.set(at, slot.generation)
          }
          held.set(slot, length)
          usedBytes += length * page
          if (arena.usedBytes !== usedBytes) throw new Error('used bytes')
        }
      },
    ),
    { numRuns: 300 },
  )
})

void t.test('a slot is adopted once, at its own size, and keeps its generation', async (t) => {
  const arena = new Arena(8 * page, 4 * page)
  t.equal(arena.adopt(2 as never, 2 * page, 9 as never), true)
  t.equal(arena.adopt(2 as never, 2 * page, 9 as never), false, 'twice')
  t.equal(arena.adopt(1 as never, page, 9 as never), false, 'another size in the segment')
  t.equal(arena.adopt(99 as never, page, 9 as never), false, 'outside')
  arena.raiseFloor(40)
  const first = arena.acquire(2 * page)
  t.match(first, { as: 'slot', slot: { index: 0, generation: 41 } })
  arena.giveBack({ index: 2 as never, generation: 9 as never })
  t.match(arena.acquire(2 * page), { slot: { index: 2, generation: 10 } })
})

void t.test('segments: whole pages, several of them, never above the limit', async (t) => {
  for (const byteCount of [page, 10 * page, 2 ** 22, 2 ** 26 + page, 2 ** 30, 2 ** 36]) {
    const length = segmentBytesFor(byteCount)
    t.equal(length % page, 0)
    t.ok(length <= segmentBytes && length <= byteCount && length > 0, `${byteCount}`)
  }
  t.equal(segmentBytesFor(2 ** 30), segmentBytes)
})
