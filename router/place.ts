import type { Admitted } from './admit.ts'
import { affineWorker } from './affinity.ts'
import type { PromptNames } from './prompt-names.ts'
import { type Refusal, refuse, refuseForNow } from './refusal.ts'
import type { CandidateFacts, Links, PromptFacts, Run } from './score.ts'
import type { Worker, Workers } from './workers.ts'

/** Where the prefix of a prompt lies, as seen from one worker. */
export type Overlap = {
  readonly runs: readonly Run[]
  readonly links: Links
  readonly blockBytes: number
  /** Why there is no overlap; null when there is some. */
  readonly why: NoOverlapWhy | null
}
export type NoOverlapWhy =
  | 'no_names'
  | 'no_adapter'
  /** The adapter knows the tokens at best: its engine's KV is not in use, or its daemon is away. */
  | 'adapter_unable'
  | 'no_whole_block'
  | 'no_events_of_worker'
  | 'scheme_differs'
  | 'block_size_differs'
  | 'prefix_not_held'

/** Answers where prefixes lie; the index and the daemons' reports stand behind it. */
export interface Overlaps {
  overlapOf(worker: Worker, names: PromptNames | null): Overlap
}

/** The model to serve: the one named, or the only one there is. With `anyModel` a name that nobody has means
 *  the only one too. */
export function modelOf(
  request: Admitted,
  workers: Workers,
  anyModel: boolean,
): { readonly pass: string } | { readonly done: Refusal } {
  const { model } = request
  if (model !== null && workers.knowsModel(model)) return { pass: model }
  const models = workers.models()
  if (models.length === 0) return { done: noWorker() }
  const [only] = models
  if (model !== null && !(anyModel && models.length === 1)) {
    const list = models.slice(0, 8).join(', ')
    return {
      done: refuse('not_found', 'model_not_found', `no worker has that model; there are: ${list}`, 'model'),
    }
  }
  if (models.length === 1 && only !== undefined) return { pass: only }
  return { done: refuse('invalid', 'model_missing', '"model" is missing: name one of /v1/models', 'model') }
}

/** The workers that could take the request now. */
export function candidatesFor(
  request: Admitted,
  model: string,
  workers: Workers,
): { readonly pass: readonly Worker[] } | { readonly done: Refusal } {
  if (request.wantedWorker !== null) {
    const wanted = workers.named(request.wantedWorker)
    if (wanted === null) {
      return { done: refuse('not_found', 'worker_not_found', 'x-terrace-worker names no worker') }
    }
    if (!wanted.serving) return { done: noWorker() }
    return wanted.full ? { done: allBusy() } : { pass: [wanted] }
  }
  const serving = workers.servingWith(model)
  if (serving.length === 0) return { done: noWorker() }
  const free = serving.filter((worker) => !worker.full)
  if (free.length > 0) return { pass: free }
  return { done: allBusy() }
}

function allBusy(): Refusal {
  return refuseForNow('unavailable', 'all_busy', 'every worker is at its limit: try again', 1)
}

function noWorker(): Refusal {
  return refuseForNow('unavailable', 'no_worker', 'no worker serves requests now: try again', 2)
}

/** Tokens of a prompt nobody named: about four bytes each. Only load accounting rests on it. */
export function promptFactsOf(request: Admitted, names: PromptNames | null, blockBytes: number): PromptFacts {
  return {
    tokenCount: names?.tokenCount || Math.ceil(request.body.length / 4),
    blockTokens: names?.blockTokens ?? 1,
    blockBytes,
  }
}

export function factsOf(
  request: Admitted,
  workers: readonly Worker[],
  overlapOf: (worker: Worker) => Overlap,
): readonly CandidateFacts[] {
  const affine =
    request.session === null
      ? null
      : affineWorker(
          request.tenant.name,
          request.session,
          workers.map(({ name }) => name),
        )
  return workers.map((worker) => {
    const { runs, links } = overlapOf(worker)
    return {
      worker: worker.name,
      waitingTokens: worker.load.waitingTokens,
      streams: worker.load.streams,
      prefillTokensPerSecond: worker.rate.tokensPerSecond,
      runs,
      links,
      affine: worker.name === affine,
    }
  })
}
