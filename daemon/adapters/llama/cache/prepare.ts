import type { World } from '../../../../tiers/block/clock.ts'
import type { DaemonSession } from '../../client/session.ts'
import { numberAt } from '../json.ts'
import { type Attachment, blockTokens } from './attach.ts'
import { type LoadedBlocks, loadBlocks } from './load.ts'
import { blockPartOf, overlapOf, type SlotContent, type Sources, sourcesOf, trimOf } from './plan.ts'
import type { Slot } from './slots.ts'

/** A slot made ready for a prompt: its whole blocks are in place and nothing else is. */
export type Prepared =
  | {
      readonly as: 'ready'
      readonly sources: Sources
      /** Leading tokens of the prompt that are in the slot as whole blocks now. */
      readonly whole: number
      /** Why the rest was not cached. */
      readonly reason: string
      /** Prompt tokens computed so far, and the time it took. */
      readonly computedTokens: number
      readonly computedMs: number
      /** Leading blocks that the daemon holds, or null when it was not asked or did not say. */
      readonly knownBlocks: number | null
    }
  /** The server did not take the prompt as tokens. */
  | { readonly as: 'refused' }
  | { readonly as: 'engine_gone' }
  | { readonly as: 'client_gone' }

export type PrepareOptions = {
  readonly attachment: Attachment
  readonly session: DaemonSession | null
  readonly slot: Slot
  readonly tenant: string
  readonly prompt: Uint32Array
  readonly signal: AbortSignal
  readonly world: World
}

/** Trims the slot, loads what the daemon holds, computes the rest of the block part. After it, the request itself
 *  computes the tail alone, which is what a run without any cache does as well: so both give the same answer. */
export async function prepare(options: PrepareOptions): Promise<Prepared> {
  const { slot, tenant, prompt, signal } = options
  const overlap = overlapOf(slot.content, tenant, prompt, blockTokens)
  const blockPart = prompt.subarray(0, blockPartOf(prompt.length, blockTokens))
  const loaded = await loadIfWorth(options, blockPart, overlap.kept)
  if (signal.aborted) return { as: 'client_gone' }
  const trimmed = await trim(options)
  if (trimmed !== null) return ended(trimmed, signal)
  const start = overlapOf(slot.content, tenant, prompt, blockTokens).kept
  const kept = Math.min(overlap.kept, start)
  const sources = sourcesOf(kept, loaded.byTier, blockPart.length, blockTokens)
  const base = {
    as: 'ready',
    sources,
    reason: reasonOf(loaded, blockPart.length),
    knownBlocks: loaded.knownBlocks,
  } as const
  const computed = await computeRest(options, blockPart, start)
  return computed.as === 'computed' ? { ...base, ...computed.part } : computed
}

/** How long one part of a prompt is computed without looking for the client, in milliseconds. Why: the server does not stop
 *  in the middle of what it was given, and a client's leaving is to free its slot within a second. */
const partMs = 400

type Part = { readonly whole: number; readonly computedTokens: number; readonly computedMs: number }

/** Computes the block part from `start` on, some blocks at a time. A failure leaves the slot with what was complete before. */
async function computeRest(
  options: PrepareOptions,
  blockPart: Uint32Array,
  start: number,
): Promise<{ readonly as: 'computed'; readonly part: Part } | Exclude<Prepared, { as: 'ready' }>> {
  const { attachment, slot, tenant, signal } = options
  let [whole, computedTokens, computedMs] = [start, 0, 0]
  for (let at = start, end = at; at < blockPart.length; at = end) {
    if (signal.aborted) return { as: 'client_gone' }
    end = Math.min(blockPart.length, at + partTokens(attachment))
    const tokens = blockPart.subarray(0, end)
    const before = slot.content
    slot.content = { as: 'known', tenant, tokens, whole, grows: false }
    const reply = await attachment.upstream.post(
      '/completion',
      { prompt: [...tokens], n_predict: 0, id_slot: slot.index, cache_prompt: true, n_cache_reuse: 0 },
      signal,
    )
    if (reply.as !== 'ok') {
      slot.content = afterFailure(reply.as, before, tokens, whole, tenant)
      return ended(reply.as, signal)
    }
    const [tokenCount, ms] = [
      numberAt(reply.json, 'timings', 'prompt_n'),
      numberAt(reply.json, 'timings', 'prompt_ms'),
    ]
    const asPlanned = whole === at && numberAt(reply.json, 'timings', 'cache_n') === at
    whole = asPlanned ? end : 0
    slot.content = { as: 'known', tenant, tokens, whole, grows: false }
    computedTokens += tokenCount
    computedMs += ms
    if (attachment.kv.as === 'on') attachment.kv.speed.saw(tokenCount, ms)
  }
  return { as: 'computed', part: { whole, computedTokens, computedMs } }
}

/** Whole blocks, so that parts are computed to the same bits as all at once. */
function partTokens({ kv }: Attachment): number {
  const msPerBlock = kv.as === 'on' ? kv.speed.msPerBlock() : 0
  return msPerBlock > 0 ? blockTokens * Math.max(1, Math.floor(partMs / msPerBlock)) : 2 ** 31
}

function ended(how: 'error' | 'gone', signal: AbortSignal): Exclude<Prepared, { as: 'ready' }> {
  if (how === 'error') return { as: 'refused' }
  return signal.aborted ? { as: 'client_gone' } : { as: 'engine_gone' }
}

/** A block part that was cut off leaves the slot with some of it: more than `start`, in whole batches. Only `start` is
 *  built upon. */
function afterFailure(
  how: 'error' | 'gone',
  before: SlotContent,
  blockPart: Uint32Array,
  start: number,
  tenant: string,
): SlotContent {
  if (how === 'error' || before.as === 'unknown') return { as: 'unknown' }
  return { as: 'known', tenant, tokens: blockPart, whole: start, grows: false }
}

async function loadIfWorth(
  options: PrepareOptions,
  blockPart: Uint32Array,
  kept: number,
): Promise<LoadedBlocks> {
  const { attachment, session, slot, tenant } = options
  const nothing = (reason: string): LoadedBlocks => ({
    blocks: 0,
    byTier: { hbm: 0, host: 0, nvme: 0, s3: 0 },
    reason,
    knownBlocks: null,
  })
  if (blockPart.length === 0) return nothing('short_prompt')
  if (kept === blockPart.length) return nothing('complete')
  if (attachment.kv.as === 'off') return nothing('kv_off')
  if (session === null) return nothing('no_daemon')
  try {
    return await loadBlocks(attachment, attachment.kv, session, slot, tenant, blockPart, kept)
  } catch {
    return nothing('slot_folder')
  }
}

function reasonOf(loaded: LoadedBlocks, blockPartTokens: number): string {
  return loaded.blocks > 0 && loaded.blocks * blockTokens === blockPartTokens ? 'complete' : loaded.reason
}

/** Brings the slot to hold exactly what may be built upon. Null when done; otherwise the engine or the client is gone. */
async function trim(options: PrepareOptions): Promise<'error' | 'gone' | null> {
  const { attachment, slot, tenant, prompt, signal } = options
  const overlap = overlapOf(slot.content, tenant, prompt, blockTokens)
  const step = trimOf(slot.content, tenant, prompt, overlap)
  if (step.as === 'keep') return null
  if (step.as === 'erase') {
    const reply = await attachment.upstream.post(`/slots/${slot.index}?action=erase`, {}, signal)
    slot.content =
      reply.as === 'ok'
        ? { as: 'known', tenant, tokens: new Uint32Array(), whole: 0, grows: false }
        : { as: 'unknown' }
    return reply.as === 'ok' ? null : reply.as
  }
  const tokens = new Uint32Array(step.at + 1)
  tokens.set(prompt.subarray(0, step.at))
  tokens[step.at] = step.token
  const reply = await attachment.upstream.post(
    '/completion',
    { prompt: [...tokens], n_predict: 0, id_slot: slot.index, cache_prompt: true, n_cache_reuse: 0 },
    signal,
  )
  const reused = reply.as === 'ok' ? numberAt(reply.json, 'timings', 'cache_n') : -1
  slot.content =
    reused === step.at ? { as: 'known', tenant, tokens, whole: step.at, grows: false } : { as: 'unknown' }
  if (reply.as !== 'ok') return reply.as
  return reused === step.at ? null : trim(options)
}
