import { Chance } from '../chance.ts'
import { RequestDraft, TraceBuilder } from '../trace/builder.ts'
import type { TraceTree } from '../trace/trace.ts'
import { IdSource } from './prompt.ts'
import type { MadeRequest, Maker, Workload } from './workload.ts'

export type Recipe = {
  readonly kinds: readonly Workload[]
  readonly spanMs: number
  /** Requests per second, all kinds together; each kind gets the same share. */
  readonly rate: number
  readonly blockTokens: number
  readonly inputTokensMax: number
  readonly seed: number
}

/** Requests between two steps. */
const stepRequests = 1_024

/** Makes a trace. Sessions start at random (Poisson) from one hour before the trace on, so that it begins in the
 *  middle of the traffic; requests after its end are dropped. Each kind is a tenant when there are several. */
export function makeTrace(name: string, recipe: Recipe): TraceTree {
  const making = makingTrace(name, recipe)
  for (;;) {
    const next = making.next()
    if (next.done === true) return next.value
  }
}

/** As `makeTrace`, step by step: yields the share that is done, so that whoever waits can be told and can stop. */
export function* makingTrace(name: string, recipe: Recipe): Generator<number, TraceTree> {
  const source = new IdSource()
  const all: { readonly request: MadeRequest; readonly tenant: string }[] = []
  for (const [index, kind] of recipe.kinds.entries()) {
    const chance = new Chance(recipe.seed * 1_009 + index)
    const maker: Maker = {
      chance,
      source,
      blockTokens: recipe.blockTokens,
      inputTokensMax: recipe.inputTokensMax,
    }
    for (const request of trafficOf(kind, maker, recipe)) {
      all.push({ request, tenant: kind.name })
      if (all.length % stepRequests === 0) {
        const ofKind = Math.max(0, Math.min(1, request.atMs / recipe.spanMs))
        yield (index + ofKind) / recipe.kinds.length
      }
    }
  }
  all.sort((a, b) => a.request.atMs - b.request.atMs)
  const builder = new TraceBuilder()
  const draft = new RequestDraft()
  for (const { request, tenant } of all) {
    draft.clear()
    draft.arrivalMs = Math.round(request.atMs)
    draft.session = request.session
    draft.tenant = recipe.kinds.length > 1 ? tenant : null
    draft.inputTokens = request.inputTokens
    draft.outputTokens = request.outputTokens
    if (request.delayMs > 0) draft.delayMs = request.delayMs
    for (const id of request.blocks) draft.pushInteger(id)
    builder.add(draft)
  }
  return builder.build(name, recipe.blockTokens)
}

/** How long before the trace its first sessions start. */
const warmMs = 3_600_000

function* trafficOf(kind: Workload, maker: Maker, recipe: Recipe): Generator<MadeRequest> {
  const sessionsPerMs = recipe.rate / recipe.kinds.length / kind.requestsPerSession / 1_000
  let startMs = -warmMs
  for (let count = 0; ; count += 1) {
    startMs += maker.chance.exponential(1 / sessionsPerMs)
    if (startMs >= recipe.spanMs) return
    for (const request of kind.session(maker, startMs, `${kind.name}-${count}`)) {
      if (request.atMs >= 0 && request.atMs < recipe.spanMs) yield request
    }
  }
}
