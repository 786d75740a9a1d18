import { createHash } from 'node:crypto'
import { readSync, writeSync } from 'node:fs'
import type { Place } from '../../../../tiers/block/layout.ts'
import type { Upstream } from '../engine/upstream.ts'
import { field, numberAt } from '../json.ts'
import { type CacheShape, placeOf, type SlotFile } from '../slot-file.ts'
import type { Exchange, OpenFile } from './exchange.ts'

/** Whether this server's slots can be taken apart and put together without changing what it computes. Asked of the
 *  server itself at every attach; its version is not trusted to say. */
export type SelfTest =
  | {
      readonly as: 'passed'
      readonly shape: CacheShape
      readonly streamCount: number
      /** Whether every slot has a stream of its own. */
      readonly ownStreams: boolean
      readonly prefillMsPerToken: number
      /** Hash of the KV of the test prompt. */
      readonly computation: string
      /** How the server hands out a model's thoughts. */
      readonly reasoningFormat: string
    }
  | { readonly as: 'failed'; readonly why: string }

type SavedContent = Extract<SlotFile, { as: 'slot' }>

const fail = (why: string): SelfTest => ({ as: 'failed', why })

/** Prefills two blocks and a tail in the last slot, saves, cuts to one block, restores into the same slot, computes the
 *  rest, and compares KV bytes and the next token with the first run. Leaves the slot empty. */
export async function testSlots(
  upstream: Upstream,
  exchange: Exchange,
  slotCount: number,
  blockTokens: number,
): Promise<SelfTest> {
  const slot = slotCount - 1
  const prompt = Array.from({ length: 2 * blockTokens + 7 }, (_, index) => 100 + ((index * 37) % 251))
  const run: Run = { upstream, exchange, slot, prompt, blockTokens }
  const blockPart = prompt.slice(0, 2 * blockTokens)
  const cleared = await erase(upstream, slot)
  if (cleared !== null) return fail(`slots cannot be erased: ${cleared}`)
  const prefilled = await compute(upstream, slot, blockPart, 0)
  if (prefilled === null) return fail('a prompt of tokens is not accepted')
  const fresh = await exchange.save(upstream, slot)
  if (fresh.as === 'failed')
    return fail(`slots cannot be saved: ${fresh.why}; start it with --slot-save-path`)
  try {
    if (fresh.content.as === 'refused') return fail(`slot file refused: ${fresh.content.why}`)
    if (fresh.content.as === 'empty') return fail('the saved slot is empty')
    const { shape, tokens, baseOffset } = fresh.content
    if (tokens.length !== blockPart.length || tokens.some((token, index) => token !== blockPart[index])) {
      return fail('the saved slot holds other tokens than were sent')
    }
    const { streamCount, stream, sequence, ...cache } = shape
    const ownStreams = streamCount > 1 || slotCount === 1
    if (sequence !== slot || stream !== (ownStreams ? slot : 0))
      return fail('slots are numbered in another way')
    const problem = await compareRestored(run, fresh.file, fresh.content)
    if (problem !== null) return fail(problem)
    const computation = hashFrom(
      fresh.file,
      baseOffset,
      fresh.file.byteCount - 4 * (streamCount - 1 - stream),
    )
    const prefillMsPerToken = prefilled.msPerToken
    const { reasoningFormat } = prefilled
    return {
      as: 'passed',
      shape: cache,
      streamCount,
      ownStreams,
      prefillMsPerToken,
      computation,
      reasoningFormat,
    }
  } finally {
    fresh.file.close()
    await erase(upstream, slot)
  }
}

type Run = {
  readonly upstream: Upstream
  readonly exchange: Exchange
  readonly slot: number
  readonly prompt: readonly number[]
  readonly blockTokens: number
}

/** Restores the first of the two blocks, computes the second, and compares with the file saved when both were computed
 *  at once. Null when nothing differs. */
async function compareRestored(run: Run, file: OpenFile, content: SavedContent): Promise<string | null> {
  const { upstream, exchange, slot, prompt, blockTokens } = run
  const { shape, tokens, baseOffset } = content
  const blockPart = prompt.slice(0, 2 * blockTokens)
  const first = await compute(upstream, slot, prompt, 1)
  const hidden = await holdsElsewhere(upstream, slot, blockPart)
  if (hidden !== null) return hidden
  const place = placeOf(shape, baseOffset, tokens.length, blockTokens)
  const cut = exchange.openFrame(shape, tokens.subarray(0, blockTokens), blockTokens)
  try {
    copyBlocks(file, place, cut.file, cut.frame.place, shape, blockTokens, 1)
    const refusal = await cut.restore(upstream, null)
    if (refusal !== null) return `a cut slot file is not restored: ${refusal}`
  } finally {
    cut.file.close()
  }
  const rest = await compute(upstream, slot, blockPart, 0)
  if (rest?.reused !== blockTokens) return 'a restored slot is not used'
  const again = await exchange.save(upstream, slot)
  if (again.as === 'failed') return `slots cannot be saved: ${again.why}`
  try {
    if (again.content.as !== 'slot') return 'the slot file changed its form after a restore'
    if (!equalBytes(file, again.file)) return 'KV bytes after a restore differ from those computed at once'
  } finally {
    again.file.close()
  }
  const second = await compute(upstream, slot, prompt, 1)
  if (first === null || second === null || first.token !== second.token) {
    return 'the next token after a restore differs'
  }
  return null
}

/** A server with a cache of its own in host memory would answer from it in place of ours, also across tenants. It
 *  shows when an erased slot still knows an old prompt. */
async function holdsElsewhere(
  upstream: Upstream,
  slot: number,
  blockPart: readonly number[],
): Promise<string | null> {
  const other = blockPart.map((token) => token + 1)
  if ((await compute(upstream, slot, other, 0)) === null) return 'a second prompt is not accepted'
  const back = await compute(upstream, slot, blockPart, 0)
  if (back === null) return 'a prompt of tokens is not accepted'
  return back.reused === 0 ? null : 'the server has a prompt cache of its own; start it with --cache-ram 0'
}

type Computed = {
  readonly reused: number
  readonly token: number
  readonly msPerToken: number
  readonly reasoningFormat: string
}

async function compute(
  upstream: Upstream,
  slot: number,
  prompt: readonly number[],
  newTokens: number,
): Promise<Computed | null> {
  const reply = await upstream.post('/completion', {
    prompt,
    n_predict: newTokens,
    id_slot: slot,
    cache_prompt: true,
    temperature: 0,
    return_tokens: true,
  })
  if (reply.as !== 'ok') return null
  const tokens = field(reply.json, 'tokens')
  const format = field(field(reply.json, 'generation_settings'), 'reasoning_format')
  return {
    reused: numberAt(reply.json, 'timings', 'cache_n'),
    token: Array.isArray(tokens) && typeof tokens[0] === 'number' ? tokens[0] : -1,
    msPerToken: numberAt(reply.json, 'timings', 'prompt_per_token_ms'),
    reasoningFormat: typeof format === 'string' ? format : '',
  }
}

async function erase(upstream: Upstream, slot: number): Promise<string | null> {
  const reply = await upstream.post(`/slots/${slot}?action=erase`, {})
  return reply.as === 'ok' ? null : reply.as === 'error' ? reply.says : reply.why
}

/** Copies the first blocks piece by piece. Only the self-test moves KV bytes itself; requests leave that to the
 *  daemon. */
function copyBlocks(
  from: OpenFile,
  fromPlace: Place,
  to: OpenFile,
  toPlace: Place,
  shape: CacheShape,
  blockTokens: number,
  blockCount: number,
): void {
  for (const [plane, source] of fromPlace.planes.entries()) {
    const target = toPlace.planes[plane]
    if (target === undefined) return
    const rowBytes = plane === 0 ? shape.keyRowBytes : shape.valueRowBytes
    const bytes = Buffer.alloc(blockCount * blockTokens * rowBytes)
    for (let layer = 0; layer < shape.layerCount; layer++) {
      readSync(from.descriptor, bytes, 0, bytes.length, source.baseOffset + layer * source.layerStride)
      writeSync(to.descriptor, bytes, 0, bytes.length, target.baseOffset + layer * target.layerStride)
    }
  }
}

function equalBytes(left: OpenFile, right: OpenFile): boolean {
  if (left.byteCount !== right.byteCount) return false
  const step = 1 << 20
  const ours = Buffer.alloc(step)
  const theirs = Buffer.alloc(step)
  for (let offset = 0; offset < left.byteCount; offset += step) {
    const count = readSync(left.descriptor, ours, 0, step, offset)
    readSync(right.descriptor, theirs, 0, step, offset)
    if (ours.compare(theirs, 0, count, 0, count) !== 0) return false
  }
  return true
}

/** Hash of everything from an offset on but the zero counts of other slots' streams, which depend on the number of
 *  slots. */
function hashFrom(file: OpenFile, offset: number, end: number): string {
  const hash = createHash('sha256')
  const bytes = Buffer.alloc(1 << 20)
  for (let at = offset; at < end; at += bytes.length) {
    const count = readSync(file.descriptor, bytes, 0, Math.min(bytes.length, end - at), at)
    hash.update(bytes.subarray(0, count))
  }
  return hash.digest('hex').slice(0, 16)
}
