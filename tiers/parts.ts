import type { Native } from '../addon/native.ts'
import type { Admissions } from './admit.ts'
import type { Announcer } from './announce.ts'
import type { World } from './block/clock.ts'
import type { BlockKey, TierName } from './block/id.ts'
import type { RouteHash } from './block/route.ts'
import type { Damage, Seal } from './block/seal.ts'
import type { HostTier } from './host.ts'
import type { StoreMeter } from './metrics.ts'
import type { NamespaceBook, OpenNamespace } from './namespaces.ts'
import { noRow } from './policy/eviction.ts'
import type { Residents } from './residents.ts'
import type { Runner } from './run.ts'
import type { Identity } from './table.ts'
import type { ColdTier } from './tier.ts'

/** What the flows of one store share. */
export type Parts = {
  readonly native: Native
  readonly world: World
  readonly meter: StoreMeter
  readonly book: NamespaceBook
  readonly announcer: Announcer
  readonly runner: Runner
  readonly host: HostTier
  /** Nearest first. */
  readonly cold: readonly ColdTier[]
  readonly residents: Readonly<Record<ColdTier['name'], Residents>>
  /** Null where no tier has an admission rule. */
  readonly admissions: Admissions | null
  /** Tells the tiers that keep an order of use that an ask walks a chain, from its root on. A store whose request was loaded for
   *  before is no further use. */
  readonly visited: (ask: 'load' | 'store', keys: readonly BlockKey[], readyCount: number) => void
  /** Tells them that all blocks of a chain that came have come. */
  readonly reordered: (keys: readonly BlockKey[]) => void
  /** Tells them how long the answer to the request with this chain was. */
  readonly answered: (keys: readonly BlockKey[], answerTokens: number) => void
}

/** The nearest tier that could give the block now, or null. */
export function tierOf(parts: Pick<Parts, 'host' | 'cold'>, key: BlockKey): TierName | null {
  if (parts.host.table.sealedRowOf(key) !== noRow) return 'host'
  for (const tier of parts.cold) if (tier.bytesOf(key) !== null) return tier.name
  return null
}

/** Drops a copy that failed a check: a miss, a counter, an event; other copies stay. */
export function dropDamaged(parts: Parts, tier: ColdTier, identity: Identity, why: Damage): void {
  parts.meter.add('terrace_tier_damaged_blocks_total', { tier: tier.name, why })
  tier.drop(identity.key)
  parts.residents[tier.name].remove([identity.key], 'damaged')
}

/** The blocks `[first, first + count)` of a chain as identities. */
export function identitiesOf(
  opened: OpenNamespace,
  keys: readonly BlockKey[],
  routes: readonly RouteHash[],
  first: number,
  count: number,
): Identity[] {
  const identities: Identity[] = []
  for (let position = first; position < first + count; position++) {
    const [key, route] = [keys[position], routes[position]]
    if (key === undefined || route === undefined) break
    const parent = position === 0 ? null : (keys[position - 1] ?? null)
    identities.push({
      key,
      parent,
      namespace: opened.id,
      position,
      route,
      payloadBytes: opened.blockBytes,
    })
  }
  return identities
}

/** The seal of a block. A tier that reuses slots puts its slot's generation in. */
export function sealOf(opened: OpenNamespace, identity: Identity, checksum: number): Seal {
  return {
    key: identity.key,
    parent: identity.parent,
    namespace: opened.fingerprint,
    layout: opened.layout,
    position: identity.position,
    blockTokens: opened.blockTokens,
    payloadBytes: identity.payloadBytes,
    checksum,
    generation: 0,
    route: identity.route,
  }
}
