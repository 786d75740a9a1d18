import { assert } from './block/assert.ts'
import type { Generation, Slot, SlotIndex } from './block/id.ts'
import { segmentBytes, slotPageBytes } from './block/limits.ts'

/** Segments are at most an eighth of their region, so that a small tier can still serve several size classes. */
const segmentsWanted = 8
const smallSegmentBytes = 2 * 2 ** 20
const generationMax = 2 ** 32 - 1

/** The segment length for a region, in bytes: whole pages. */
export function segmentBytesFor(byteCount: number): number {
  const wanted = Math.max(Math.floor(byteCount / segmentsWanted), Math.min(byteCount, smallSegmentBytes))
  return Math.min(segmentBytes, wanted - (wanted % slotPageBytes))
}

/** Bytes rounded up to whole pages. */
export function pageRounded(byteCount: number): number {
  return Math.ceil(byteCount / slotPageBytes) * slotPageBytes
}

export type Acquired =
  | { readonly as: 'slot'; readonly slot: Slot }
  /** Every slot of the size is taken and no segment is idle: something has to go first. */
  | { readonly as: 'full' }
  /** No segment can hold a slot of this size, ever. */
  | { readonly as: 'too_large' }

/** A segment of the region. Invariant: all its slots have one size; an unassigned one (0 pages) has none in use. */
type Segment = {
  slotPages: number
  /** Generation of each slot's last owner. */
  generations: Uint32Array
  used: Uint8Array
  usedCount: number
  /** No slot of an earlier division of this segment ever had a higher generation. */
  generationFloor: number
}

const none = { generations: new Uint32Array(0), used: new Uint8Array(0) }

/** Deals out the slots of one region: the region is cut into segments, each segment serves one slot size at a time. Pure: it
 *  knows numbers, not memory. The same class serves host memory and the NVMe slab. */
export class Arena {
  readonly segmentBytes: number
  readonly segmentCount: number
  readonly #segmentPages: number
  readonly #segments: Segment[] = []
  readonly #idle: number[] = []
  /** Per slot size in pages: the segments that have a free slot, and how many segments it owns. */
  readonly #partial = new Map<number, Set<number>>()
  readonly #owned = new Map<number, number>()
  #usedBytes = 0

  constructor(byteCount: number, segmentByteCount = segmentBytesFor(byteCount)) {
    assert(
      segmentByteCount >= slotPageBytes && segmentByteCount % slotPageBytes === 0,
      'segments hold whole pages',
    )
    this.segmentBytes = segmentByteCount
    this.#segmentPages = segmentByteCount / slotPageBytes
    this.segmentCount = Math.floor(byteCount / segmentByteCount)
    for (let i = 0; i < this.segmentCount; i++) {
      this.#segments.push({ ...none, slotPages: 0, usedCount: 0, generationFloor: 0 })
      this.#idle.push(this.segmentCount - 1 - i)
    }
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Takes a slot of at least `slotBytes`; its generation is one higher than its last owner's. */
  acquire(slotBytes: number): Acquired {
    const pages = pageRounded(slotBytes) / slotPageBytes
    if (pages > this.#segmentPages || this.segmentCount === 0) return { as: 'too_large' }
    let segment = this.#partialOf(pages).values().next().value
    if (segment === undefined) {
      segment = this.#idle.pop()
      if (segment === undefined) return { as: 'full' }
      this.#assign(segment, pages)
    }
    return { as: 'slot', slot: this.#take(segment, this.#at(segment).used.indexOf(0)) }
  }

  /** Takes the slot back. An emptied segment is idle again and may serve another size. */
  giveBack(slot: Slot): void {
    const { segment, place } = this.#find(slot.index)
    const held = this.#at(segment)
    assert(held.used[place] === 1, 'only a slot in use is given back')
    assert(held.generations[place] === slot.generation, 'a slot is given back by its owner')
    held.used[place] = 0
    held.usedCount -= 1
    this.#usedBytes -= held.slotPages * slotPageBytes
    this.#partialOf(held.slotPages).add(segment)
    if (held.usedCount === 0) this.#idleAgain(segment)
  }

  /** How many more slots of this size could be had without anything leaving. */
  freeSlots(slotBytes: number): number {
    const pages = pageRounded(slotBytes) / slotPageBytes
    const perSegment = Math.floor(this.#segmentPages / pages)
    let free = this.#idle.length * perSegment
    for (const segment of this.#partialOf(pages)) free += perSegment - this.#at(segment).usedCount
    return free
  }

  /** How many slots of this size the whole region could hold. */
  slotsMax(slotBytes: number): number {
    return this.segmentCount * Math.floor(this.#segmentPages / (pageRounded(slotBytes) / slotPageBytes))
  }

  /** Segments that serve this size now. */
  segmentsOf(slotBytes: number): number {
    return this.#owned.get(pageRounded(slotBytes) / slotPageBytes) ?? 0
  }

  /** Whether segments serve any other size now. */
  hasOthers(slotBytes: number): boolean {
    const pages = pageRounded(slotBytes) / slotPageBytes
    for (const [size, count] of this.#owned) if (size !== pages && count > 0) return true
    return false
  }

  segmentOf(index: SlotIndex): number {
    return Math.floor(index / this.#segmentPages)
  }

  /** Size of the slots of a segment in bytes, 0 for an idle one. */
  slotBytesOf(segment: number): number {
    return this.#at(segment).slotPages * slotPageBytes
  }

  /** Slots of the segment in use: what must go before it can serve another size. */
  slotsIn(segment: number): Slot[] {
    const held = this.#at(segment)
    const slots: Slot[] = []
    for (let place = 0; place < held.used.length; place++) {
      if (held.used[place] === 1) slots.push(this.#slot(segment, place))
    }
    return slots
  }

  /** Segments of other sizes, the emptiest first: the candidates for taking over. */
  othersByUse(slotBytes: number): number[] {
    const pages = pageRounded(slotBytes) / slotPageBytes
    const others: number[] = []
    for (const [i, held] of this.#segments.entries()) {
      if (held.slotPages !== 0 && held.slotPages !== pages) others.push(i)
    }
    const bytesIn = (segment: number) => this.#at(segment).usedCount * this.#at(segment).slotPages
    return others.sort((a, b) => bytesIn(a) - bytesIn(b))
  }

  byteOffsetOf(index: SlotIndex): number {
    return index * slotPageBytes
  }

  /** Recovery: a slot that was found in use. False when another slot size or owner is there already. */
  adopt(index: SlotIndex, slotBytes: number, generation: Generation): boolean {
    const pages = pageRounded(slotBytes) / slotPageBytes
    const segment = this.segmentOf(index)
    const held = this.#segments[segment]
    const inside = index - segment * this.#segmentPages
    if (held === undefined || inside % pages !== 0 || inside + pages > this.#segmentPages) return false
    if (held.slotPages === 0) {
      this.#idle.splice(this.#idle.indexOf(segment), 1)
      this.#assign(segment, pages)
    }
    if (held.slotPages !== pages || held.used[inside / pages] === 1) return false
    held.generations[inside / pages] = generation - 1
    this.#take(segment, inside / pages)
    return true
  }

  /** Recovery: slots without a readable seal may have had any generation up to this one. */
  raiseFloor(generation: number): void {
    for (const held of this.#segments) {
      held.generationFloor = Math.max(held.generationFloor, generation)
      for (let i = 0; i < held.used.length; i++) {
        if (held.used[i] === 0)
          held.generations[i] = Math.max(held.generations[i] as number, held.generationFloor)
      }
    }
  }

  #take(segment: number, place: number): Slot {
    const held = this.#at(segment)
    assert(place >= 0 && held.used[place] === 0, 'a slot is handed out once')
    held.used[place] = 1
    held.usedCount += 1
    const before = held.generations[place] as number
    held.generations[place] = before >= generationMax ? 1 : before + 1
    this.#usedBytes += held.slotPages * slotPageBytes
    if (held.usedCount === held.used.length) this.#partialOf(held.slotPages).delete(segment)
    return this.#slot(segment, place)
  }

  #slot(segment: number, place: number): Slot {
    const held = this.#at(segment)
    return {
      index: (segment * this.#segmentPages + place * held.slotPages) as SlotIndex,
      generation: held.generations[place] as Generation,
    }
  }

  #find(index: SlotIndex): { segment: number; place: number } {
    const segment = this.segmentOf(index)
    const held = this.#at(segment)
    const place = (index - segment * this.#segmentPages) / held.slotPages
    assert(Number.isInteger(place) && place < held.used.length, 'a slot index names a slot')
    return { segment, place }
  }

  #assign(segment: number, pages: number): void {
    const held = this.#at(segment)
    const count = Math.floor(this.#segmentPages / pages)
    held.slotPages = pages
    held.generations = new Uint32Array(count).fill(held.generationFloor)
    held.used = new Uint8Array(count)
    held.usedCount = 0
    this.#partialOf(pages).add(segment)
    this.#owned.set(pages, (this.#owned.get(pages) ?? 0) + 1)
  }

  #idleAgain(segment: number): void {
    const held = this.#at(segment)
    for (const generation of held.generations) {
      held.generationFloor = Math.max(held.generationFloor, generation)
    }
    this.#partialOf(held.slotPages).delete(segment)
    this.#owned.set(held.slotPages, (this.#owned.get(held.slotPages) ?? 1) - 1)
    held.slotPages = 0
    held.generations = none.generations
    held.used = none.used
    this.#idle.push(segment)
  }

  #partialOf(pages: number): Set<number> {
    let partial = this.#partial.get(pages)
    if (partial === undefined) {
      partial = new Set()
      this.#partial.set(pages, partial)
    }
    return partial
  }

  #at(segment: number): Segment {
    const held = this.#segments[segment]
    assert(held !== undefined, 'a segment lies inside its region')
    return held
  }
}
