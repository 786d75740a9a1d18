import { mkdirSync, readSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { DaemonLink } from '../../daemon/adapters/client/link.ts'
import { type AttachedRegion, DaemonSession } from '../../daemon/adapters/client/session.ts'
import { ensureLlamaServer } from '../../daemon/adapters/llama/build/ensure.ts'
import { type Attachment, attach, blockTokens, type Kv } from '../../daemon/adapters/llama/cache/attach.ts'
import { keep } from '../../daemon/adapters/llama/cache/keep.ts'
import { prepare } from '../../daemon/adapters/llama/cache/prepare.ts'
import { startEngine } from '../../daemon/adapters/llama/engine/supervise.ts'
import { ensureModel } from '../../daemon/adapters/llama/model/ensure.ts'
import { placeOf } from '../../daemon/adapters/llama/slot-file.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import type { Place } from '../../tiers/block/layout.ts'
import type { Ask } from '../../tiers/block/wire.ts'
import { logBook } from '../servers/llama.ts'

/** A load that brings fewer blocks than were promised, with garbage behind them: the real server, restored from a file of which
 *  only the beginning is right, gives the same probabilities to the last bit as a cold one. */

t.setTimeout(280_000)

const tools = resolve(import.meta.dirname, '../../.terrace')
const fetched = { sleep: (ms: number): Promise<void> => realWorld.sleep(ms), lookOnPath: false }
const quiet = (): void => undefined

type KvOn = Extract<Kv, { as: 'on' }>
type Source = { readonly descriptor: number; readonly place: Place; readonly kv: KvOn }

/** A session whose daemon promises more blocks than it brings; the bytes it brings are real, out of a saved slot. */
class ShortSession extends DaemonSession {
  readonly #source: Source
  readonly #promised: number
  readonly #brought: number
  #target = -1
  readonly stores: Ask<'store'>[] = []

  constructor(link: DaemonLink, source: Source, promised: number, brought: number) {
    super(link, null, '')
    this.#source = source
    this.#promised = promised
    this.#brought = brought
  }

  override movesBlocks(): 'yes' {
    return 'yes'
  }

  override async namespaceNumber(): Promise<number> {
    return 1
  }

  override async attach(descriptor: number): Promise<AttachedRegion> {
    this.#target = descriptor
    return { region: 1, generation: 1 }
  }

  override detach(): void {}

  // biome-ignore lint/suspicious/noExplicitAny: answers of two messages, each of its own type
  override async ask(message: string, fields: any): Promise<any> {
    const byTier = { hbm: 0, host: 0, nvme: 0, s3: 0 }
    if (message === 'lookup')
      return { as: 'answer', answer: { readyBlocks: this.#promised, byTier, loadMs: 0 } }
    if (message === 'store') {
      this.stores.push(fields)
      return { as: 'answer', answer: { storedBlocks: 4, alreadyBlocks: 0, droppedBlocks: 0, drop: 'none' } }
    }
    this.#copy((fields as Ask<'load'>).place)
    const answer = { readyBlocks: this.#brought, stop: 'damaged', knownBlocks: this.#brought }
    return { as: 'answer', answer: { ...answer, byTier: { ...byTier, nvme: this.#brought } } }
  }

  /** The brought blocks as they are, and numbers that are none (NaN) in all behind them. */
  #copy(place: Place): void {
    const { descriptor, place: from, kv } = this.#source
    const { shape } = kv.identity
    for (const [plane, rowBytes] of [shape.keyRowBytes, shape.valueRowBytes].entries()) {
      const target = place.planes[plane]
      const source = from.planes[plane]
      if (target === undefined || source === undefined) throw new Error('two planes')
      for (let layer = 0; layer < shape.layerCount; layer++) {
        const bytes = Buffer.alloc(this.#promised * blockTokens * rowBytes, 0xff)
        const count = this.#brought * blockTokens * rowBytes
        readSync(descriptor, bytes, 0, count, source.baseOffset + layer * source.layerStride)
        writeSync(this.#target, bytes, 0, bytes.length, target.baseOffset + layer * target.layerStride)
      }
    }
  }
}

async function answerOf(attachment: Attachment, prompt: Uint32Array): Promise<unknown> {
  const body = {
    prompt: [...prompt],
    n_predict: 6,
    temperature: 0,
    n_probs: 3,
    id_slot: 0,
    cache_prompt: true,
  }
  const reply = await attachment.upstream.post('/completion', body)
  if (reply.as !== 'ok') throw new Error(JSON.stringify(reply))
  return (reply.json as { completion_probabilities: unknown }).completion_probabilities
}

void t.test('fewer blocks than promised', async (t) => {
  const directory = t.testdir()
  const server = await ensureLlamaServer({ ...fetched, cache: join(tools, 'engine') }, quiet)
  const model = await ensureModel({ ...fetched, cache: join(tools, 'model') }, quiet)
  const slotFolder = join(directory, 'slots')
  mkdirSync(slotFolder)
  const size = { contextTokens: 1_024, slotCount: 2, threadCount: 1 }
  const engine = startEngine(
    { server, model, ...size, slotFolder, logFile: join(directory, 'log'), alias: 'm' },
    realWorld,
  )
  t.teardown(() => engine.stop())
  const state = await engine.whenReady(60_000)
  if (state.as !== 'ready') return t.fail(state.as)
  const options = { slotFolder, dataFolder: directory, modelFile: model, modelName: 'm', build: null }
  const attachment = await attach(state.upstream, 1, { ...options, onProgress: quiet })
  if (attachment === null || attachment.kv.as === 'off') return t.fail(JSON.stringify(attachment?.kv))
  const { kv } = attachment
  const [slot] = attachment.slots.slots
  if (slot === undefined) return t.fail('a slot')
  const tokenized = await state.upstream.post('/tokenize', { content: logBook(17), add_special: true })
  if (tokenized.as !== 'ok') return t.fail('tokens')
  const prompt = Uint32Array.from((tokenized.json as { tokens: number[] }).tokens.slice(0, 300))

  const common = {
    attachment,
    slot,
    tenant: 't',
    prompt,
    signal: new AbortController().signal,
    world: realWorld,
  }
  const cold = await prepare({ ...common, session: null })
  t.match(cold, { as: 'ready', whole: 256, computedTokens: 256, reason: 'no_daemon' })
  const saved = await kv.exchange.save(state.upstream, 0)
  if (saved.as !== 'saved' || saved.content.as !== 'slot') return t.fail('saved')
  t.teardown(saved.file.close)
  const { shape, tokens, baseOffset } = saved.content
  const source = {
    descriptor: saved.file.descriptor,
    place: placeOf(shape, baseOffset, tokens.length, 64),
    kv,
  }
  const wanted = await answerOf(attachment, prompt)

  const names = { client: 'c', engine: 'e', worker: 'w' }
  const link = new DaemonLink({ socketPath: join(directory, 'none'), ...names, world: realWorld })
  t.teardown(() => link.close())
  for (const [promised, brought] of [
    [4, 4],
    [4, 2],
    [3, 1],
    [4, 0],
  ] as const) {
    slot.content = { as: 'unknown' }
    const session = new ShortSession(link, source, promised, brought)
    const warm = await prepare({ ...common, session })
    if (warm.as !== 'ready') return t.fail(warm.as)
    t.equal(warm.sources.byTier.nvme, brought * 64, `${brought} of ${promised}: what came is counted`)
    t.equal(warm.computedTokens, 256 - brought * 64, 'and the rest computed')
    t.equal(warm.reason, brought === 4 ? 'complete' : 'damaged')
    t.same(await answerOf(attachment, prompt), wanted, `${brought} of ${promised}: the same to the last bit`)
  }

  const session = new ShortSession(link, source, 0, 0)
  slot.content = { as: 'known', tenant: 't', tokens: prompt, whole: 256, grows: true }
  const kept = await keep(attachment, session, slot, null)
  if (kept.as !== 'store') return t.fail(kept.as)
  await kept.store()
  const [stored] = session.stores
  t.equal(stored?.blockCount, 4, 'a cold prompt is stored')
  t.equal(stored?.answerTokens, 5, 'with the length of its answer, but for the token that was computed last')
})
