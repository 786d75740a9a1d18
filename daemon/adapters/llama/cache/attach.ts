import { accessSync, constants } from 'node:fs'
import type { Namespace } from '../../../../tiers/block/namespace.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { OnProgress } from '../fetch/problem.ts'
import { field } from '../json.ts'
import type { CacheShape, SlotShape } from '../slot-file.ts'
import { Exchange } from './exchange.ts'
import { type Identity, modelDigest, namespaceOf } from './identity.ts'
import { testSlots } from './self-test.ts'
import { SlotTable } from './slots.ts'

/** Tokens of one block. Why 64: small enough to hit often, and a multiple of every group of rows that the kernels
 *  compute at once, which is what makes KV computed in parts equal to KV computed at once. */
export const blockTokens = 64

/** One life of one engine, as the adapter uses it. */
export type Attachment = {
  readonly generation: number
  readonly upstream: Upstream
  readonly slots: SlotTable
  readonly contextTokens: number
  readonly build: string
  readonly kv: Kv
  readonly thoughts: Thoughts
}

/** Where the server puts a model's thoughts when it streams: in a field of their own, as in an answer that is not streamed,
 *  or in the text. Not known of a server that was started by somebody else and not tested. */
export type Thoughts = 'apart' | 'in_text' | 'unknown'

/** Whether blocks are moved in and out of this engine, and if not, why. */
export type Kv =
  | { readonly as: 'off'; readonly why: string }
  | {
      readonly as: 'on'
      readonly exchange: Exchange
      readonly identity: Identity
      readonly shapeOf: (slot: number) => SlotShape
      readonly namespaceFor: (tenant: string) => Namespace
      /** Measured speed of computing a prompt. */
      readonly speed: PrefillSpeed
      readonly reasoningFormat: string
    }

/** Milliseconds that one prompt token costs, as a slow mean over what was seen; a few odd prompts do not turn it. */
class PrefillSpeed {
  #msPerToken: number

  constructor(msPerToken: number) {
    this.#msPerToken = msPerToken
  }

  saw(tokens: number, ms: number): void {
    if (tokens >= blockTokens && ms > 0) this.#msPerToken = 0.7 * this.#msPerToken + 0.3 * (ms / tokens)
  }

  msPerBlock(): number {
    return this.#msPerToken * blockTokens
  }
}

export type AttachOptions = {
  readonly slotFolder: string | null
  readonly dataFolder: string
  /** The model's file and name, when the server's own words for them are not to be used. */
  readonly modelFile: string | null
  readonly modelName: string
  /** Build of the server where it is known better than the server says. */
  readonly build: string | null
  readonly onProgress: OnProgress
}

/** Asks a server that has come up what it is, and tests whether its slots can be used. Gives null when it went away
 *  meanwhile. */
export async function attach(
  upstream: Upstream,
  generation: number,
  options: AttachOptions,
): Promise<Attachment | null> {
  const props = await upstream.get('/props')
  if (props.as === 'gone') return null
  const facts = props.as === 'ok' ? props.json : {}
  const slotCount = wholeOr(field(facts, 'total_slots'), 1)
  const contextTokens = wholeOr(field(field(facts, 'default_generation_settings'), 'n_ctx'), 0)
  const build = options.build ?? textOr(field(facts, 'build_info'), 'unknown')
  const modelFile = options.modelFile ?? textOr(field(facts, 'model_path'), '')
  const kv =
    props.as === 'ok'
      ? await testKv(upstream, slotCount, modelFile, build, options)
      : ({ as: 'off', why: `the server does not tell its properties: ${props.says}` } as const)
  const slots = new SlotTable(slotCount, blockTokens)
  const thoughts = thoughtsOf(kv, options.build !== null)
  return { generation, upstream, slots, contextTokens, build, kv, thoughts }
}

/** `ownServer`: started by the adapter, which leaves thoughts where the server puts them by itself. */
function thoughtsOf(kv: Kv, ownServer: boolean): Thoughts {
  if (kv.as === 'off') return ownServer ? 'apart' : 'unknown'
  if (kv.reasoningFormat === '') return 'unknown'
  return kv.reasoningFormat === 'deepseek-legacy' ? 'in_text' : 'apart'
}

async function testKv(
  upstream: Upstream,
  slotCount: number,
  modelFile: string,
  build: string,
  options: AttachOptions,
): Promise<Kv> {
  const { slotFolder } = options
  if (slotFolder === null) return { as: 'off', why: 'no folder for slot files: give it with --slots' }
  try {
    accessSync(slotFolder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch {
    return { as: 'off', why: `the slot folder ${slotFolder} cannot be written: give another with --slots` }
  }
  try {
    accessSync(modelFile, constants.R_OK)
  } catch {
    return { as: 'off', why: `the model file ${modelFile} cannot be read here: name it with --model` }
  }
  const exchange = new Exchange(slotFolder)
  exchange.sweep()
  const adapters = await upstream.get('/lora-adapters')
  const tested = await testSlots(upstream, exchange, slotCount, blockTokens)
  if (tested.as === 'failed') return { as: 'off', why: tested.why }
  const identity: Identity = {
    model: options.modelName,
    modelSha256: await modelDigest(modelFile, options.dataFolder, options.onProgress),
    build,
    computation: tested.computation,
    adapters: adapters.as === 'ok' ? adaptersText(adapters.json) : '',
    shape: tested.shape,
    blockTokens,
  }
  return {
    as: 'on',
    exchange,
    identity,
    shapeOf: shapeOf(tested.shape, tested.streamCount, tested.ownStreams),
    namespaceFor: (tenant) => namespaceOf(identity, tenant),
    speed: new PrefillSpeed(tested.prefillMsPerToken),
    reasoningFormat: tested.reasoningFormat,
  }
}

function shapeOf(cache: CacheShape, streamCount: number, ownStreams: boolean): (slot: number) => SlotShape {
  return (slot) => ({ ...cache, streamCount, stream: ownStreams ? slot : 0, sequence: slot })
}

/** Adapters in effect, by file and scale, in order. Their weights change KV, so they are part of the namespace. */
function adaptersText(json: unknown): string {
  if (!Array.isArray(json)) return ''
  return json
    .map((one) => `${textOr(field(one, 'path'), '?')}@${String(field(one, 'scale'))}`)
    .join(',')
    .slice(0, 1_000)
}

function wholeOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : otherwise
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise
}
