import { hash } from 'node:crypto'
import type { World } from '../tiers/block/clock.ts'
import {
  chainBlocksMax,
  promptHashesKeptMax,
  promptNamesKeptMax,
  promptNamesMsMax,
} from '../tiers/block/limits.ts'
import { isRouteHash, type RouteHash } from '../tiers/block/route.ts'
import type { Worker } from './workers.ts'

/** The routing names of one prompt, as a worker's adapter gave them. The scheme is empty when it could not.
 *  */
export type PromptNames = {
  readonly tokenCount: number
  readonly blockTokens: number
  readonly scheme: string
  /** What events call the model; null when the adapter does not say. */
  readonly model: string | null
  readonly hashes: readonly RouteHash[]
}

export type NamesAsked =
  | { readonly as: 'names'; readonly names: PromptNames; readonly from: 'worker' | 'kept' }
  | { readonly as: 'none'; readonly why: NoNamesWhy }
type NoNamesWhy = 'no_adapter' | 'resting' | 'late' | 'failed' | 'refused' | 'malformed'

/** Asks a worker's adapter what the blocks of a prompt are called. Tokenizing stays where the model is; the
 *  router keeps the answers of late, by a digest of the body. */
export class PromptNamer {
  readonly #world: World
  readonly #kept = new Map<string, PromptNames>()
  #keptHashes = 0

  constructor(world: World) {
    this.#world = world
  }

  async ask(worker: Worker, tenant: string, path: string, body: Buffer): Promise<NamesAsked> {
    const digest = hash('sha256', Buffer.concat([Buffer.from(`${tenant}\n${path}\n`), body]), 'base64')
    const kept = this.#kept.get(digest)
    if (kept !== undefined) {
      this.#kept.delete(digest)
      this.#kept.set(digest, kept)
      return { as: 'names', names: kept, from: 'kept' }
    }
    const asked = await this.#fetch(worker, tenant, path, body)
    // Without a scheme the adapter could not name the blocks this time: it may the next.
    if (asked.as === 'names' && asked.names.scheme !== '') this.#keep(digest, asked.names)
    return asked
  }

  async #fetch(worker: Worker, tenant: string, path: string, body: Buffer): Promise<NamesAsked> {
    const late = new AbortController()
    const cancel = this.#world.after(promptNamesMsMax, () => late.abort())
    try {
      const answer = await worker.pool.request({
        path: '/terrace/prompt',
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-terrace-tenant': tenant },
        // The body was scanned to be exactly one JSON object, so it can stand inside another as it is.
        body: Buffer.concat([Buffer.from(`{"path":${JSON.stringify(path)},"body":`), body, Buffer.from('}')]),
        signal: late.signal,
      })
      if (answer.statusCode === 404 || answer.statusCode === 405 || answer.statusCode === 501) {
        await answer.body.dump()
        return { as: 'none', why: 'no_adapter' }
      }
      if (answer.statusCode !== 200) {
        await answer.body.dump()
        return { as: 'none', why: 'refused' }
      }
      const names = promptNamesOf(await answer.body.json())
      return names === null ? { as: 'none', why: 'malformed' } : { as: 'names', names, from: 'worker' }
    } catch {
      return { as: 'none', why: late.signal.aborted ? 'late' : 'failed' }
    } finally {
      cancel()
    }
  }

  #keep(digest: string, names: PromptNames): void {
    this.#kept.set(digest, names)
    this.#keptHashes += names.hashes.length
    for (const [oldest, { hashes }] of this.#kept) {
      if (this.#kept.size <= promptNamesKeptMax && this.#keptHashes <= promptHashesKeptMax) break
      this.#kept.delete(oldest)
      this.#keptHashes -= hashes.length
    }
  }
}

/** The checked answer of an adapter, or null. */
export function promptNamesOf(json: unknown): PromptNames | null {
  const tokenCount = field(json, 'tokenCount')
  const blockTokens = field(json, 'blockTokens')
  const scheme = field(json, 'scheme')
  const hashes = field(json, 'hashes')
  const model = field(json, 'model') ?? null
  if (!isCount(tokenCount) || !isCount(blockTokens) || blockTokens === 0) return null
  if (typeof scheme !== 'string' || (model !== null && typeof model !== 'string')) return null
  if (!Array.isArray(hashes) || hashes.length > chainBlocksMax || !hashes.every(isRouteHash)) return null
  if (hashes.length * blockTokens > tokenCount) return null
  return { tokenCount, blockTokens, scheme, model, hashes }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function field(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}
