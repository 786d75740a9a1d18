import { RequestDraft, TraceBuilder } from './builder.ts'
import { pathOf, type TraceTree } from './trace.ts'

/** The same trace in blocks of `group` old ones each; a short last group is the partial tail. A coarse block is
 *  named by its last old block: that names the whole prefix, and its depth says how many old blocks the
 *  group has. */
export function reblocked(tree: TraceTree, group: number): TraceTree {
  if (group === 1) return tree
  const builder = new TraceBuilder()
  const draft = new RequestDraft()
  let path = new Int32Array(1_024)
  for (let request = 0; request < tree.requestCount; request += 1) {
    fillColumns(tree, request, draft)
    let count = 0
    for (let node = tree.last[request] ?? -1; node >= 0; node = tree.parents[node] ?? -1) {
      const isEnd = count === 0 || ((tree.depth[node] ?? 0) + 1) % group === 0
      if (!isEnd) continue
      if (count === path.length) {
        const wider = new Int32Array(path.length * 2)
        wider.set(path)
        path = wider
      }
      path[count] = node
      count += 1
    }
    for (let at = count - 1; at >= 0; at -= 1) draft.pushBlock(path[at] ?? 0, 0)
    builder.add(draft)
  }
  return { ...builder.build(tree.name, tree.blockTokens * group), tenantNames: tree.tenantNames }
}

/** Copies a request's columns (all but its blocks) into a draft. Sessions and tenants keep their order of first
 *  appearance, so their numbers stay the same. */
function fillColumns(tree: TraceTree, request: number, draft: RequestDraft): void {
  draft.clear()
  draft.arrivalMs = tree.arrivalMs[request] ?? 0
  draft.inputTokens = tree.inputTokens[request] ?? 0
  draft.outputTokens = tree.outputTokens[request] ?? 0
  const session = tree.session?.[request] ?? -1
  draft.session = session < 0 ? null : session
  const tenant = tree.tenant?.[request] ?? -1
  draft.tenant = tenant < 0 ? null : (tree.tenantNames[tenant] ?? null)
  draft.delayMs = tree.delayMs?.[request] ?? -1
}

/** The same requests by arrival (those of equal time in their old order), with nodes numbered anew. */
export function sortedTree(tree: TraceTree): TraceTree {
  const order = Array.from({ length: tree.requestCount }, (_, request) => request)
  order.sort((a, b) => (tree.arrivalMs[a] ?? 0) - (tree.arrivalMs[b] ?? 0))
  return rebuilt(tree, order)
}

/** `copies` times the traffic: each request comes that often at its time, with blocks and sessions of its own per
 *  copy, so that nothing is shared between copies. Prompts are cut to whole blocks of at most `inputTokensMax`. */
export function multiplied(tree: TraceTree, copies: number, inputTokensMax: number): TraceTree {
  const builder = new TraceBuilder()
  const draft = new RequestDraft()
  const blocksMax = Math.floor(inputTokensMax / tree.blockTokens)
  for (let request = 0; request < tree.requestCount; request += 1) {
    const path = pathOf(tree, request)
    for (let copy = 0; copy < copies; copy += 1) {
      fillColumns(tree, request, draft)
      if (draft.session !== null && copy > 0) draft.session = `${draft.session}/${copy}`
      if (draft.inputTokens > inputTokensMax) draft.inputTokens = blocksMax * tree.blockTokens
      for (const node of path.slice(0, blocksMax)) draft.pushBlock(node, copy)
      builder.add(draft)
    }
  }
  return builder.build(tree.name, tree.blockTokens)
}

/** A trace of the given requests of another, in the given order. */
export function rebuilt(tree: TraceTree, requests: Iterable<number>): TraceTree {
  const builder = new TraceBuilder()
  const draft = new RequestDraft()
  for (const request of requests) {
    fillColumns(tree, request, draft)
    for (const node of pathOf(tree, request)) draft.pushBlock(node, 0)
    builder.add(draft)
  }
  return builder.build(tree.name, tree.blockTokens)
}
