import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import { tierNames } from '../tiers/block/id.ts'
import { blockBytesOf, type Place, placeProblem } from '../tiers/block/layout.ts'
import {
  blockBytesMax,
  blockBytesMin,
  chainBlocksMax,
  loadDeadlineMsDefault,
  loadDeadlineMsMax,
  sessionHeldBlocksMax,
} from '../tiers/block/limits.ts'
import { type Namespace, namespaceProblem } from '../tiers/block/namespace.ts'
import { type RouteHash, routeHashByteCount, routeScheme } from '../tiers/block/route.ts'
import type { Answer, AnyAsk, Ask, MessageName } from '../tiers/block/wire.ts'
import type { BlockStore, EngineBlocks, TierCounts } from '../tiers/store.ts'
import type { LinkRates } from './links.ts'
import type { DaemonMeter } from './metrics.ts'
import type { OpenNamespace, Session } from './session.ts'

/** Asks that need a session. */
export type SessionMessage = Exclude<MessageName, 'hello'>
type Handlers = {
  readonly [Name in SessionMessage]: (
    session: Session,
    fields: Ask<Name>,
  ) => Answer<Name> | Promise<Answer<Name>>
}

/** What asks are answered with: checks what an engine says, asks the store, counts. Holds no state of its own. */
type FlowParts = {
  readonly world: World
  readonly store: BlockStore
  readonly meter: DaemonMeter
  readonly links: LinkRates
  /** The descriptor handed in under the token, or -1; waits a moment for one that is under way. */
  readonly takeDescriptor: (token: Uint8Array) => Promise<number>
  /** Opens GPU memory from the list that was handed in, and takes its descriptor over. */
  readonly openParts: (list: number, byteCount: number, writable: boolean) => Promise<number>
  /** False once no new blocks are taken. */
  readonly takesStores: () => boolean
}

export class Flow {
  readonly #parts: FlowParts
  readonly #handlers: Handlers

  constructor(parts: FlowParts) {
    this.#parts = parts
    this.#handlers = {
      openNamespace: (session, fields) => this.#openNamespace(session, fields),
      attachRegion: (session, fields) => this.#attachRegion(session, fields),
      detachRegion: async (session, fields) => {
        await session.removeRegion(fields.region)
        return {}
      },
      lookup: (session, fields) => this.#lookup(session, fields),
      load: (session, fields) => this.#load(session, fields),
      store: (session, fields) => this.#store(session, fields),
      held: (session, fields) => this.#held(session, fields),
      name: (session, fields) => this.#name(session, fields),
      report: (session, fields) => this.#report(session, fields),
      ping: () => ({}),
    }
  }

  /** The answer's fields. Throws KvFailure for what the engine did wrong. */
  async answer(
    session: Session,
    ask: Exclude<AnyAsk, { message: 'hello' }>,
  ): Promise<Answer<SessionMessage>> {
    const handler = this.#handlers[ask.message] as (
      session: Session,
      fields: unknown,
    ) => Answer<SessionMessage> | Promise<Answer<SessionMessage>>
    return await handler(session, ask.fields)
  }

  #openNamespace(session: Session, fields: Ask<'openNamespace'>): Answer<'openNamespace'> {
    const { rankIndex, rankCount, ...names } = fields
    const namespace: Namespace = { ...names, rank: { index: rankIndex, count: rankCount } }
    const problem = namespaceProblem(namespace) ?? blockSizeProblem(namespace)
    if (problem !== null) throw new KvFailure('KVT_NAMESPACE_BAD', { why: problem })
    const { number, blockBytes } = session.addNamespace(namespace)
    return { namespace: number, blockBytes }
  }

  async #attachRegion(session: Session, fields: Ask<'attachRegion'>): Promise<Answer<'attachRegion'>> {
    if (fields.kind === 'pool') {
      const why = `kind "${fields.kind}" is not offered by this daemon: use "shared" or "device"`
      throw new KvFailure('KVT_REGION_BAD', { why })
    }
    if (fields.byteCount === 0) throw new KvFailure('KVT_REGION_BAD', { why: 'byteCount must not be 0' })
    session.checkRoomForRegion()
    const descriptor = await this.#parts.takeDescriptor(fields.token)
    if (descriptor < 0) {
      const why = 'no descriptor was handed in at the door under this token'
      throw new KvFailure('KVT_REGION_BAD', { why })
    }
    if (fields.kind === 'shared') return { region: session.addRegion(descriptor, fields) }
    const opening = this.#parts.openParts(descriptor, fields.byteCount, fields.writable !== 0)
    return { region: await session.addDevice(opening, fields) }
  }

  #lookup(session: Session, fields: Ask<'lookup'>): Answer<'lookup'> {
    const { id, namespace } = session.namespaceOf(fields.namespace)
    const answer = this.#parts.store.lookup(id, fields.tokens)
    const tenant = namespace.tenant
    this.#parts.meter.add(
      'terrace_tenant_lookup_blocks_total',
      { tenant },
      wholeBlocks(namespace, fields.tokens),
    )
    this.#countByTier('terrace_predicted_blocks_total', tenant, answer.byTier)
    return answer
  }

  async #load(session: Session, fields: Ask<'load'>): Promise<Answer<'load'>> {
    const { world, store, meter } = this.#parts
    const open = session.namespaceOf(fields.namespace)
    const into = engineBlocks(session, open, { ...fields, indexes: fields.targets })
    if (!session.regionOf(fields.region).writable) {
      throw new KvFailure('KVT_REGION_BAD', { why: 'it was attached read-only and cannot be loaded into' })
    }
    if (hasTwice(into.indexes)) throw new KvFailure('KVT_PLACE_BAD', { why: 'targets names one block twice' })
    const startMs = world.nowMs()
    const waitMs = fields.deadlineMs === 0 ? loadDeadlineMsDefault : fields.deadlineMs
    const answer = await store.load(open.id, fields.tokens, {
      firstBlock: fields.firstBlock,
      blockCount: fields.blockCount,
      into,
      deadlineMs: startMs + Math.min(waitMs, loadDeadlineMsMax),
      prefillMsPerBlock: Math.max(0, fields.prefillMsPerBlock),
    })
    const tenant = open.namespace.tenant
    const asked = fields.firstBlock + fields.blockCount
    meter.add('terrace_tenant_load_wanted_blocks_total', { tenant }, fields.blockCount)
    const possible = Math.min(asked, answer.knownBlocks) - fields.firstBlock
    meter.add('terrace_possible_blocks_total', { tenant }, Math.max(0, possible))
    meter.add('terrace_tenant_loads_total', { tenant, stop: answer.stop })
    this.#countByTier('terrace_tenant_loaded_blocks_total', tenant, answer.byTier)
    this.#parts.links.observe(answer.byTier, open.blockBytes, (world.nowMs() - startMs) / 1_000)
    return answer
  }

  async #store(session: Session, fields: Ask<'store'>): Promise<Answer<'store'>> {
    const { store, meter } = this.#parts
    const open = session.namespaceOf(fields.namespace)
    const from = engineBlocks(session, open, { ...fields, indexes: fields.sources })
    const { firstBlock, blockCount, answerTokens } = fields
    const answer = this.#parts.takesStores()
      ? await store.store(open.id, fields.tokens, { firstBlock, blockCount, from, answerTokens })
      : ({ storedBlocks: 0, alreadyBlocks: 0, droppedBlocks: blockCount, drop: 'stopping' } as const)
    const tenant = open.namespace.tenant
    meter.add('terrace_tenant_store_wanted_blocks_total', { tenant }, blockCount)
    if (answer.droppedBlocks > 0) {
      const labels = { tenant, why: answer.drop }
      meter.add('terrace_tenant_store_dropped_blocks_total', labels, answer.droppedBlocks)
    }
    return answer
  }

  #held(session: Session, fields: Ask<'held'>): Answer<'held'> {
    const { id } = session.namespaceOf(fields.namespace)
    const blocks = new Set<RouteHash>()
    for (const prefix of fields.prefixes) {
      for (const hash of this.#parts.store.routeHashes(id, prefix)) blocks.add(hash)
      if (blocks.size > sessionHeldBlocksMax) break
    }
    session.hold(fields.namespace, blocks)
    return {}
  }

  #name(session: Session, fields: Ask<'name'>): Answer<'name'> {
    const { id, namespace } = session.namespaceOf(fields.namespace)
    const hashes = this.#parts.store.routeHashes(id, fields.tokens).slice(0, chainBlocksMax).map(hashBytes)
    return { scheme: routeScheme, blockTokens: namespace.layout.blockTokens, hashes }
  }

  #report(session: Session, fields: Ask<'report'>): Answer<'report'> {
    const { meter } = this.#parts
    const { namespace } = session.namespaceOf(fields.namespace)
    const { tenant, layout } = namespace
    const cached = tierNames.reduce((sum, tier) => sum + fields.tokensByTier[tier], 0)
    if (cached > fields.promptTokens || fields.computedTokens > fields.promptTokens) {
      const why = 'report: more tokens from tiers, or computed, than the prompt has'
      throw new KvFailure('KVT_WIRE_MALFORMED', { why })
    }
    meter.add('terrace_reports_total', { tenant })
    meter.add('terrace_prompt_tokens_total', { tenant }, fields.promptTokens)
    meter.add('terrace_computed_tokens_total', { tenant }, fields.computedTokens)
    for (const tier of tierNames) {
      const tokens = fields.tokensByTier[tier]
      if (tokens === 0) continue
      meter.add('terrace_realised_tokens_total', { tenant, tier }, tokens)
      meter.add('terrace_realised_blocks_total', { tenant, tier }, Math.floor(tokens / layout.blockTokens))
    }
    if (fields.firstTokenMs > 0) {
      meter.observe('terrace_reported_first_token_seconds', {}, fields.firstTokenMs / 1_000)
    }
    return {}
  }

  #countByTier(
    name: 'terrace_predicted_blocks_total' | 'terrace_tenant_loaded_blocks_total',
    tenant: string,
    byTier: TierCounts,
  ): void {
    for (const tier of tierNames) {
      if (byTier[tier] > 0) this.#parts.meter.add(name, { tenant, tier }, byTier[tier])
    }
  }
}

type Range = {
  readonly tokens: Uint32Array
  readonly firstBlock: number
  readonly blockCount: number
  readonly region: number
  readonly place: Place
  readonly indexes: Uint32Array
}

/** The engine's side of a load or store, once every number of it was checked against tokens, layout and region. */
function engineBlocks(session: Session, open: OpenNamespace, range: Range): EngineBlocks {
  const { firstBlock, blockCount, place } = range
  const region = session.regionOf(range.region)
  const chainBlocks = Math.min(chainBlocksMax, wholeBlocks(open.namespace, range.tokens))
  if (blockCount < 1) throw badPlace('blockCount must be at least 1')
  if (firstBlock + blockCount > chainBlocks) {
    throw badPlace(`firstBlock + blockCount is past the ${chainBlocks} whole blocks of the tokens`)
  }
  if (range.indexes.length !== 0 && range.indexes.length !== blockCount) {
    throw badPlace('targets or sources must be empty or have blockCount entries')
  }
  const indexes = range.indexes.length > 0 ? range.indexes : countingUp(firstBlock, blockCount)
  let blocksEnd = 0
  for (const index of indexes) if (index >= blocksEnd) blocksEnd = index + 1
  const problem = placeProblem(open.namespace.layout, place, blocksEnd, region.byteCount)
  if (problem !== null) throw badPlace(problem)
  return { region: region.region, place, indexes }
}

function countingUp(first: number, count: number): Uint32Array {
  const numbers = new Uint32Array(count)
  for (let i = 0; i < count; i++) numbers[i] = first + i
  return numbers
}

function hasTwice(indexes: Uint32Array): boolean {
  let ascending = true
  for (let i = 1; i < indexes.length && ascending; i++) {
    ascending = (indexes[i] ?? 0) > (indexes[i - 1] ?? 0)
  }
  return !ascending && new Set(indexes).size < indexes.length
}

function wholeBlocks(namespace: Namespace, tokens: Uint32Array): number {
  return Math.floor(tokens.length / namespace.layout.blockTokens)
}

function blockSizeProblem(namespace: Namespace): string | null {
  const blockBytes = blockBytesOf(namespace.layout)
  if (blockBytes >= blockBytesMin && blockBytes <= blockBytesMax) return null
  return `layout: a block has ${blockBytes} bytes, ${blockBytesMin} to ${blockBytesMax} can be stored`
}

function hashBytes(hash: RouteHash): Uint8Array {
  const bytes = new Uint8Array(routeHashByteCount)
  for (let i = 0; i < routeHashByteCount; i++) bytes[i] = Number.parseInt(hash.slice(i * 2, i * 2 + 2), 16)
  return bytes
}

function badPlace(why: string): KvFailure {
  return new KvFailure('KVT_PLACE_BAD', { why })
}
