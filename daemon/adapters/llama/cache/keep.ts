import type { Ask, StoreDrop } from '../../../../tiers/block/wire.ts'
import type { DaemonSession } from '../../client/session.ts'
import { placeOf } from '../slot-file.ts'
import { type Attachment, blockTokens } from './attach.ts'
import type { OpenFile } from './exchange.ts'
import { knownBlocksOf } from './load.ts'
import { commonLength } from './plan.ts'
import type { Slot } from './slots.ts'

/** What became of a request's new blocks. `unlike`: the slot holds another prompt than was guessed, so nothing is
 *  known of how its KV was computed, and nothing is stored. */
export type Kept =
  | { readonly as: 'nothing_new' }
  | { readonly as: 'skipped'; readonly why: string }
  | { readonly as: 'unlike' }
  | { readonly as: 'save_failed'; readonly why: string }
  | { readonly as: 'store'; readonly store: () => Promise<Stored> }
export type Stored =
  | {
      readonly as: 'stored'
      readonly stored: number
      readonly already: number
      readonly dropped: number
      readonly drop: StoreDrop
    }
  | { readonly as: 'failed'; readonly why: string }

/** Longest wait for the daemon to take blocks, in milliseconds. Why: nobody waits for it but memory. */
const storeMsMax = 20_000

/** Looks whether a slot holds whole blocks that the daemon does not, and if so saves the slot once. The slot is needed
 *  until this ends; `store` then works on the file alone. Only blocks of the block part are kept: their KV does not
 *  depend on where a prompt ended. */
export async function keep(
  attachment: Attachment,
  session: DaemonSession | null,
  slot: Slot,
  knownBlocks: number | null,
): Promise<Kept> {
  const { kv } = attachment
  const content = slot.content
  if (kv.as === 'off' || session === null || content.as === 'unknown' || content.whole === 0) {
    return { as: 'nothing_new' }
  }
  const moves = session.movesBlocks()
  if (moves !== 'yes') return { as: 'skipped', why: moves }
  const { tenant } = content
  const wanted = content.tokens.subarray(0, content.whole)
  if (knownBlocks !== null && knownBlocks * blockTokens >= wanted.length) return { as: 'nothing_new' }
  const known = await knownBlocksOf(session, kv, tenant, wanted)
  if (typeof known === 'string') return { as: 'skipped', why: known }
  if (known.blocks * blockTokens >= wanted.length) return { as: 'nothing_new' }
  const saved = await kv.exchange.save(attachment.upstream, slot.index)
  if (saved.as === 'failed') return { as: 'save_failed', why: saved.why }
  const { file, content: found } = saved
  if (found.as !== 'slot' || commonLength(found.tokens, wanted) < wanted.length) {
    file.close()
    slot.content = { as: 'unknown' }
    return found.as === 'refused' ? { as: 'save_failed', why: found.why } : { as: 'unlike' }
  }
  const place = placeOf(found.shape, found.baseOffset, found.tokens.length, blockTokens)
  const fields = {
    namespace: known.namespace,
    tokens: found.tokens.subarray(0, wanted.length),
    firstBlock: known.blocks,
    blockCount: wanted.length / blockTokens - known.blocks,
    place,
    sources: new Uint32Array(),
    // Behind the prompt the slot holds what was answered, but for the very last token.
    answerTokens: Math.max(0, found.tokens.length - content.tokens.length),
  }
  return { as: 'store', store: () => store(session, file, fields) }
}

type StoreFields = Omit<Ask<'store'>, 'region'>

async function store(session: DaemonSession, file: OpenFile, fields: StoreFields): Promise<Stored> {
  try {
    const region = await session.attach(file.descriptor, file.byteCount, false)
    if (region === null) return { as: 'failed', why: 'no_region' }
    try {
      const result = await session.ask('store', { ...fields, region: region.region }, storeMsMax)
      if (result.as === 'lost') return { as: 'failed', why: result.why }
      if (result.as === 'error') return { as: 'failed', why: result.code }
      const { storedBlocks, alreadyBlocks, droppedBlocks, drop } = result.answer
      return { as: 'stored', stored: storedBlocks, already: alreadyBlocks, dropped: droppedBlocks, drop }
    } finally {
      session.detach(region)
    }
  } finally {
    file.close()
  }
}
