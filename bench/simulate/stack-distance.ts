import type { TouchOrder } from '../../tiers/policy/flat.ts'
import type { Trace } from '../trace/trace.ts'

/** Counts of marks below a place, with changes, in logarithmic time. */
class MarkTree {
  readonly #sums: Int32Array

  constructor(length: number) {
    this.#sums = new Int32Array(length + 1)
  }

  add(place: number, change: number): void {
    const sums = this.#sums
    for (let at = place + 1; at < sums.length; at += at & -at) sums[at] = (sums[at] as number) + change
  }

  /** Marks at places below this one. */
  below(place: number): number {
    const sums = this.#sums
    let total = 0
    for (let at = place; at > 0; at -= at & -at) total += sums[at] as number
    return total
  }
}

/** Hits that every capacity would give, from one pass. */
export type HitCurve = {
  /** `hits[c]` = leading hits with a capacity of c blocks, 0 .. nodeCount. */
  readonly hits: Float64Array
}

/** The hit curve of LRU: a block is resident under a capacity exactly if fewer other blocks were touched since it was. A leading
 *  block is a hit only if all before it are, so its distance is the largest on its way from the root.
 *  Touch times are renumbered when they run out, so memory grows with the distinct blocks and not with the references. */
export function lruCurve(trace: Trace, order: TouchOrder): HitCurve {
  const { refs, starts, nodeCount } = trace
  const places = 2 * nodeCount + longestRequest(trace)
  const placeOf = new Int32Array(nodeCount).fill(-1)
  const atDistance = new Float64Array(nodeCount + 1)
  let marks = new MarkTree(places)
  let clock = 0
  let marked = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    const from = starts[request] as number
    const to = starts[request + 1] as number
    let farthest = 0
    for (let at = from; at < to; at += 1) {
      const place = placeOf[refs[at] as number] as number
      if (place < 0) break
      farthest = Math.max(farthest, marked - marks.below(place))
      atDistance[farthest] = (atDistance[farthest] as number) + 1
    }
    if (clock + to - from > places) {
      marks = renumber(placeOf, places)
      clock = marked
    }
    for (let step = 0; step < to - from; step += 1) {
      const row = refs[order === 'leaf-first' ? to - 1 - step : from + step] as number
      const place = placeOf[row] as number
      if (place >= 0) marks.add(place, -1)
      else marked += 1
      placeOf[row] = clock
      marks.add(clock, 1)
      clock += 1
    }
  }
  const hits = new Float64Array(nodeCount + 1)
  for (let blocks = 1; blocks <= nodeCount; blocks += 1) {
    hits[blocks] = (hits[blocks - 1] as number) + (atDistance[blocks] as number)
  }
  return { hits }
}

function longestRequest(trace: Trace): number {
  let longest = 0
  for (let request = 0; request < trace.requestCount; request += 1) {
    longest = Math.max(longest, (trace.starts[request + 1] as number) - (trace.starts[request] as number))
  }
  return longest
}

/** Gives the marked blocks the places 0, 1, 2 … in their order. */
function renumber(placeOf: Int32Array, places: number): MarkTree {
  const byPlace = [...placeOf.keys()]
    .filter((row) => (placeOf[row] as number) >= 0)
    .sort((a, b) => (placeOf[a] as number) - (placeOf[b] as number))
  const marks = new MarkTree(places)
  byPlace.forEach((row, place) => {
    placeOf[row] = place
    marks.add(place, 1)
  })
  return marks
}
