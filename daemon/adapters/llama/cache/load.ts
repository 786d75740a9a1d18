import { loadDeadlineMsDefault } from '../../../../tiers/block/limits.ts'
import type { Answer } from '../../../../tiers/block/wire.ts'
import type { DaemonSession } from '../../client/session.ts'
import type { Upstream } from '../engine/upstream.ts'
import { type Attachment, blockTokens, type Kv } from './attach.ts'
import { tokenUnlike } from './plan.ts'
import type { Slot } from './slots.ts'

type KvOn = Extract<Kv, { as: 'on' }>
type ByTier = Answer<'load'>['byTier']

/** What the daemon brought into a slot. `knownBlocks`: how many blocks of the prompt it holds, or null when it did not
 *  say. */
export type LoadedBlocks = {
  readonly blocks: number
  readonly byTier: ByTier
  readonly reason: string
  readonly knownBlocks: number | null
}

/** Shortest and longest patience with the daemon's word on what it holds, in milliseconds; in between, a tenth of what
 *  computing the blocks would take. It looks in memory, but on a busy machine even that takes a while. */
const lookupMsMin = 250
const lookupMsMax = 2_000
/** Shortest deadline of a load, in milliseconds. */
const loadMsMin = 50
const none: ByTier = { hbm: 0, host: 0, nvme: 0, s3: 0 }

function nothing(reason: string, knownBlocks: number | null): LoadedBlocks {
  return { blocks: 0, byTier: none, reason, knownBlocks }
}

/** Asks how many blocks of these tokens the daemon has ready. */
export async function knownBlocksOf(
  session: DaemonSession,
  kv: KvOn,
  tenant: string,
  tokens: Uint32Array,
): Promise<{ readonly namespace: number; readonly blocks: number; readonly loadMs: number } | string> {
  const namespace = await session.namespaceNumber(kv.namespaceFor(tenant))
  if (namespace === null) return 'no_daemon'
  const computeMs = (tokens.length / blockTokens) * kv.speed.msPerBlock()
  const patienceMs = Math.min(lookupMsMax, Math.max(lookupMsMin, computeMs / 10))
  const result = await session.ask('lookup', { namespace, tokens }, patienceMs)
  if (result.as === 'lost') return result.why
  if (result.as === 'error') return 'refused'
  return { namespace, blocks: result.answer.readyBlocks, loadMs: result.answer.loadMs }
}

/** Brings blocks of the prompt's block part into the slot, when the daemon holds more than the slot keeps and loading
 *  them is faster than computing. A file takes the blocks in; restoring it replaces what the slot held, so it starts
 *  at the first block. */
export async function loadBlocks(
  attachment: Attachment,
  kv: KvOn,
  session: DaemonSession,
  slot: Slot,
  tenant: string,
  blockPart: Uint32Array,
  kept: number,
): Promise<LoadedBlocks> {
  const moves = session.movesBlocks()
  if (moves !== 'yes') return nothing(moves, null)
  const known = await knownBlocksOf(session, kv, tenant, blockPart)
  if (typeof known === 'string') return nothing(known, null)
  const gained = known.blocks - kept / blockTokens
  if (gained <= 0) return nothing('absent', known.blocks)
  if (known.loadMs > gained * kv.speed.msPerBlock()) return nothing('slower_than_recompute', known.blocks)
  const tokens = blockPart.subarray(0, known.blocks * blockTokens)
  const frame = kv.exchange.openFrame(kv.shapeOf(slot.index), tokens, blockTokens)
  try {
    const answer = await fill(session, kv, known.namespace, tokens, gained, frame)
    if (typeof answer === 'string') return nothing(answer, known.blocks)
    if (answer.readyBlocks * blockTokens <= kept) return nothing(answer.stop, answer.knownBlocks)
    const at = answer.readyBlocks * blockTokens
    const foreign = at < tokens.length ? { at, token: tokenUnlike(tokens[at], undefined) } : null
    const refusal = await restore(attachment.upstream, slot, tenant, tokens.subarray(0, at), foreign, frame)
    if (refusal !== null) return nothing('restore_failed', answer.knownBlocks)
    const whole = at === blockPart.length
    return {
      blocks: answer.readyBlocks,
      byTier: answer.byTier,
      reason: whole ? 'complete' : answer.stop === 'complete' ? 'absent' : answer.stop,
      knownBlocks: Math.max(answer.knownBlocks, answer.readyBlocks),
    }
  } finally {
    frame.file.close()
  }
}

type Frame = ReturnType<KvOn['exchange']['openFrame']>

/** Lets the daemon write the blocks into the file, for no longer than computing them would take. A late answer writes
 *  into a file that nobody reads any more. */
async function fill(
  session: DaemonSession,
  kv: KvOn,
  namespace: number,
  tokens: Uint32Array,
  gained: number,
  frame: Frame,
): Promise<Answer<'load'> | string> {
  const region = await session.attach(frame.file.descriptor, frame.file.byteCount, true)
  if (region === null) return 'no_region'
  try {
    const computeMs = Math.ceil(gained * kv.speed.msPerBlock())
    const deadlineMs = Math.min(loadDeadlineMsDefault, Math.max(loadMsMin, computeMs))
    const fields = {
      namespace,
      tokens,
      firstBlock: 0,
      blockCount: tokens.length / blockTokens,
      region: region.region,
      place: frame.frame.place,
      targets: new Uint32Array(),
      deadlineMs,
      prefillMsPerBlock: kv.speed.msPerBlock(),
    }
    const result = await session.ask('load', fields, deadlineMs + lookupMsMin)
    if (result.as === 'lost') return result.why
    return result.as === 'error' ? 'refused' : result.answer
  } finally {
    session.detach(region)
  }
}

/** Restores the file into the slot. Where fewer blocks came than the file has room for, the first token behind them is
 *  made foreign, so that the server uses nothing from there on. */
async function restore(
  upstream: Upstream,
  slot: Slot,
  tenant: string,
  ready: Uint32Array,
  foreign: { readonly at: number; readonly token: number } | null,
  frame: Frame,
): Promise<string | null> {
  slot.content = { as: 'unknown' }
  const refusal = await frame.restore(upstream, foreign)
  if (refusal !== null) return refusal
  const tokens = new Uint32Array(ready.length + (foreign === null ? 0 : 1))
  tokens.set(ready)
  if (foreign !== null) tokens[foreign.at] = foreign.token
  slot.content = { as: 'known', tenant, tokens, whole: ready.length, grows: foreign !== null }
  return null
}
