import { goOn, type OnStep } from '../progress.ts'
import type { TraceTree } from '../trace/trace.ts'

/** The LRU stack of a trace's blocks, touched leaf-first, as a Fenwick tree over the times of last use.
 *  The rank of a block (1 = newest) is the smallest capacity at which LRU holds it, so one pass over a trace
 *  answers for every capacity. */
class LruStack {
  #slots: Int32Array
  readonly #sums: Int32Array
  readonly #place: Int32Array
  readonly #size: number
  #next = 1
  #count = 0

  constructor(nodeCount: number) {
    this.#size = 2 ** Math.ceil(Math.log2(Math.max(16, nodeCount * 2)))
    this.#slots = new Int32Array(this.#size + 1)
    this.#sums = new Int32Array(this.#size + 1)
    this.#place = new Int32Array(nodeCount)
  }

  /** Rank of a block, or 0 when it was never touched. */
  rank(node: number): number {
    const place = this.#place[node] ?? 0
    if (place === 0) return 0
    let older = 0
    for (let at = place - 1; at > 0; at &= at - 1) older += this.#sums[at] ?? 0
    return this.#count - older
  }

  /** Makes the block the newest. */
  touch(node: number): void {
    const place = this.#place[node] ?? 0
    if (place !== 0) {
      this.#add(place, -1)
      this.#slots[place] = 0
    } else this.#count += 1
    if (this.#next > this.#size) this.#compact()
    this.#slots[this.#next] = node + 1
    this.#place[node] = this.#next
    this.#add(this.#next, 1)
    this.#next += 1
  }

  #add(place: number, change: number): void {
    const sums = this.#sums
    for (let at = place; at <= this.#size; at += at & -at) sums[at] = (sums[at] ?? 0) + change
  }

  /** Moves the live places together, in order. */
  #compact(): void {
    let next = 1
    this.#sums.fill(0)
    const slots = new Int32Array(this.#size + 1)
    for (const entry of this.#slots) {
      if (entry === 0) continue
      slots[next] = entry
      this.#place[entry - 1] = next
      next += 1
    }
    for (let at = 1; at < next; at += 1) this.#add(at, 1)
    this.#slots = slots
    this.#next = next
  }
}

/** What LRU would hold of each request at each capacity of a rising list. */
export type HeldBlocks = {
  readonly capacities: Int32Array
  /** Leading blocks held when request `r` arrives, at `r * capacities.length + capacity index`. */
  readonly leading: Int32Array
  /** Touches that find their block not held, per capacity: what must be brought in, and once full, what leaves. */
  readonly entering: Float64Array
  /** Hits per capacity, in blocks. */
  readonly hits: Float64Array
  /** Requests looked at: less than all when the pass was stopped. */
  readonly requestsDone: number
}

/** Requests between two looks at whether to go on. */
const requestsPerStep = 256

/** One pass over the trace. Ends early (with `requestsDone` short) when `onStep` says so. */
export async function heldBlocks(
  tree: TraceTree,
  capacities: Int32Array,
  onStep: OnStep = goOn,
): Promise<HeldBlocks> {
  const stack = new LruStack(tree.nodeCount)
  const width = capacities.length
  const leading = new Int32Array(tree.requestCount * width)
  const entering = new Float64Array(width)
  const hits = new Float64Array(width)
  let request = 0
  for (; request < tree.requestCount; request += 1) {
    if (request % requestsPerStep === 0 && !(await onStep(request / tree.requestCount))) break
    const row = leading.subarray(request * width, (request + 1) * width)
    countLeading(tree, request, stack, capacities, row)
    for (let at = 0; at < width; at += 1) hits[at] = (hits[at] ?? 0) + (row[at] ?? 0)
    touchPath(tree, request, stack, capacities, entering)
  }
  return { capacities, leading, entering: enteringPerCapacity(entering), hits, requestsDone: request }
}

/** Blocks are held from the root on, so the held ones of a path are its leading ones. */
function countLeading(
  tree: TraceTree,
  request: number,
  stack: LruStack,
  capacities: Int32Array,
  row: Int32Array,
): void {
  for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
    const rank = stack.rank(node)
    if (rank === 0) continue
    const from = firstAtLeast(capacities, rank)
    if (from < row.length) row[from] = (row[from] ?? 0) + 1
  }
  for (let at = 1; at < row.length; at += 1) row[at] = (row[at] ?? 0) + (row[at - 1] ?? 0)
}

function touchPath(
  tree: TraceTree,
  request: number,
  stack: LruStack,
  capacities: Int32Array,
  entering: Float64Array,
): void {
  for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
    const rank = stack.rank(node)
    const missing = rank === 0 ? capacities.length : firstAtLeast(capacities, rank)
    // Counted at the largest capacity that misses; smaller ones are added up at the end of the list.
    if (missing > 0) entering[missing - 1] = (entering[missing - 1] ?? 0) + 1
    stack.touch(node)
  }
}

/** Turns counts per largest missing capacity into counts per capacity. */
function enteringPerCapacity(counts: Float64Array): Float64Array {
  const sums = Float64Array.from(counts)
  for (let at = sums.length - 2; at >= 0; at -= 1) sums[at] = (sums[at] ?? 0) + (sums[at + 1] ?? 0)
  return sums
}

/** Index of the first capacity that is at least `value`; the length when none is. */
function firstAtLeast(capacities: Int32Array, value: number): number {
  let low = 0
  let high = capacities.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((capacities[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}
