/** A request trace in columns: no object per block. Node ids are dense, 0.. in order of first appearance, one
 *  per (parent, hash id). Columns lie in shared memory, so that workers read them without a copy. */
export type Trace = {
  readonly name: string
  readonly blockTokens: number
  readonly requestCount: number
  /** Distinct blocks (U). */
  readonly nodeCount: number
  /** Block references (T). */
  readonly referenceCount: number
  /** requestCount + 1 offsets into `refs`. */
  readonly starts: Int32Array
  /** Node ids, root first. */
  readonly refs: Int32Array
  /** Per node, -1 for a root. */
  readonly parents: Int32Array
  /** Per request. */
  readonly arrivalMs: Float64Array
  readonly inputTokens: Int32Array
  readonly outputTokens: Int32Array
  readonly session: Int32Array | null
  readonly tenant: Int32Array | null
  readonly tenantNames: readonly string[]
  readonly delayMs: Float64Array | null
  /** Sentences about what was assumed while reading; reports repeat them. */
  readonly assumed?: readonly string[]
}

/** A trace as it is read: a request is a path of the prefix tree, so its last node names it and no list of
 *  references is kept. What `Trace` has and this lacks is made by `expandTrace`.
 *  Why: references outnumber distinct blocks up to 25 times, and analysis never needs them all at once. */
export type TraceTree = Omit<Trace, 'starts' | 'refs'> & {
  /** Per request its last node, -1 when the request has no block. */
  readonly last: Int32Array
  /** Per node its position in the prompt, 0 for a root. */
  readonly depth: Int32Array
}

/** Largest number of references one expanded trace may have. Why: offsets are 32-bit. */
const referenceCountMax = 2 ** 31 - 1

/** Writes out every request's path, root first. */
export function expandTrace(tree: TraceTree): Trace {
  if (tree.referenceCount > referenceCountMax) {
    throw new RangeError(`${tree.name} has ${tree.referenceCount} block references; sample or re-block it`)
  }
  const starts = sharedInts(tree.requestCount + 1)
  const refs = sharedInts(tree.referenceCount)
  let end = 0
  for (let request = 0; request < tree.requestCount; request += 1) {
    let node = tree.last[request] ?? -1
    end += node < 0 ? 0 : (tree.depth[node] ?? 0) + 1
    starts[request + 1] = end
    for (let at = end - 1; node >= 0; at -= 1) {
      refs[at] = node
      node = tree.parents[node] ?? -1
    }
  }
  const { last: _last, depth: _depth, ...columns } = tree
  return { ...columns, starts, refs }
}

/** Blocks of one request. */
export function blockCountOf(tree: TraceTree, request: number): number {
  const node = tree.last[request] ?? -1
  return node < 0 ? 0 : (tree.depth[node] ?? 0) + 1
}

export function sharedInts(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT))
}

/** The nodes of one request, root first. */
export function pathOf(tree: TraceTree, request: number): number[] {
  const path = new Array<number>(blockCountOf(tree, request))
  let at = path.length
  for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
    at -= 1
    path[at] = node
  }
  return path
}
