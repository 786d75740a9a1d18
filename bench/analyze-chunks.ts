import { blockCountOf, type TraceTree } from './trace/trace.ts'

type ChunkRate = {
  readonly chunkTokens: number
  /** Leading full chunks hit, in tokens, over all input tokens. */
  readonly tokenHitRate: number
}

/** Hit rate of an unlimited cache that keeps only full chunks of 1, 2, 4 … blocks.
 *  A chunk is named by its last block, because a node of the tree names its whole prefix: so a leading chunk is
 *  known exactly when its last block is, and one count of leading known blocks answers for every size. */
export function chunkRates(tree: TraceTree, sizeCount: number): readonly ChunkRate[] {
  let inputTokens = 0
  for (const tokens of tree.inputTokens) inputTokens += tokens
  const hitTokens = new Float64Array(sizeCount)
  let seenNodes = 0
  for (let request = 0; request < tree.requestCount; request += 1) {
    const known = leadingFull(tree, request, seenNodes)
    const last = tree.last[request] ?? -1
    seenNodes = Math.max(seenNodes, last + 1)
    for (let size = 0; size < sizeCount; size += 1) {
      const chunk = 2 ** size
      hitTokens[size] = (hitTokens[size] ?? 0) + Math.floor(known / chunk) * chunk * tree.blockTokens
    }
  }
  return Array.from(hitTokens, (tokens, size) => ({
    chunkTokens: tree.blockTokens * 2 ** size,
    tokenHitRate: inputTokens === 0 ? 0 : tokens / inputTokens,
  }))
}

/** Leading full blocks that an earlier request had: nodes are numbered by first appearance, so those below
 *  `seenNodes` are known. */
function leadingFull(tree: TraceTree, request: number, seenNodes: number): number {
  let node = tree.last[request] ?? -1
  while (node >= seenNodes) node = tree.parents[node] ?? -1
  const known = node < 0 ? 0 : (tree.depth[node] ?? 0) + 1
  const full = Math.floor((tree.inputTokens[request] ?? 0) / tree.blockTokens)
  return Math.min(known, full, blockCountOf(tree, request))
}
