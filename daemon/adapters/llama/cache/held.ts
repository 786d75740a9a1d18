import { sessionRegionsMax } from '../../../../tiers/block/limits.ts'
import type { DaemonSession } from '../../client/session.ts'
import { blockTokens, type Kv } from './attach.ts'
import type { Slot } from './slots.ts'

type KvOn = Extract<Kv, { as: 'on' }>

/** Longest wait for the daemon to take the news, in milliseconds. Nobody waits for it. */
const heldMsMax = 1_000
/** Tenants whose held prefixes are remembered. Why: past that, the oldest is told to hold nothing and forgotten. */
const tenantsMax = 256

/** Tells the daemon what an engine's slots hold, tenant by tenant, when it has changed. The router sends a prompt where its
 *  beginning is held; wrong news cost time, nothing else. */
export class HeldNews {
  readonly #kv: KvOn
  readonly #session: DaemonSession
  readonly #told = new Map<string, string>()

  constructor(kv: KvOn, session: DaemonSession) {
    this.#kv = kv
    this.#session = session
  }

  /** Says what has changed since the last time. */
  async tell(slots: readonly Slot[]): Promise<void> {
    const state = this.#session.link.state()
    if (state.as !== 'ready') return
    const held = new Map<string, Uint32Array[]>()
    for (const { content } of slots) {
      if (content.as !== 'known' || content.whole < blockTokens) continue
      const prefixes = held.get(content.tenant) ?? []
      if (prefixes.length < sessionRegionsMax) prefixes.push(content.tokens.subarray(0, content.whole))
      held.set(content.tenant, prefixes)
    }
    for (const tenant of new Set([...held.keys(), ...this.#told.keys()])) {
      await this.#tellOne(tenant, held.get(tenant) ?? [], state.generation)
    }
    for (const tenant of this.#told.keys()) {
      if (this.#told.size <= tenantsMax) break
      await this.#tellOne(tenant, [], state.generation)
    }
  }

  async #tellOne(tenant: string, prefixes: readonly Uint32Array[], generation: number): Promise<void> {
    const news = `${generation}|${prefixes
      .map((tokens) => `${tokens.length}:${sumOf(tokens)}`)
      .sort()
      .join(',')}`
    if (this.#told.get(tenant) === news) return
    const namespace = await this.#session.namespaceNumber(this.#kv.namespaceFor(tenant))
    if (namespace === null) return
    const result = await this.#session.ask('held', { namespace, prefixes }, heldMsMax)
    if (result.as !== 'answer') return
    if (prefixes.length === 0) this.#told.delete(tenant)
    else this.#told.set(tenant, news)
  }
}

/** A number that tells token lists apart well enough to notice a change. */
function sumOf(tokens: Uint32Array): number {
  let sum = 0
  for (const token of tokens) sum = (Math.imul(sum, 31) + token) >>> 0
  return sum
}
