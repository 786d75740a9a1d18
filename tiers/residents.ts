import type { Announcer } from './announce.ts'
import type { KvEvent, RemovedWhy } from './block/event.ts'
import type { BlockKey } from './block/id.ts'
import type { RouteHash } from './block/route.ts'
import type { Seal } from './block/seal.ts'
import { holderOf, type NamespaceBook, type OpenNamespace } from './namespaces.ts'
import type { TierChange } from './tier.ts'

type Resident = { readonly fingerprint: BlockKey; readonly route: RouteHash }

/** What was announced of one cold tier, by key: a tier names only keys when blocks go, events need their routing
 *  names. Blocks of a
 *  namespace that nobody here has opened yet wait for it unannounced. As long as the tier's own index, never longer. */
export class Residents {
  readonly #tier: 'nvme' | 's3'
  readonly #book: NamespaceBook
  readonly #announcer: Announcer
  readonly #byKey = new Map<BlockKey, Resident>()

  constructor(tier: 'nvme' | 's3', book: NamespaceBook, announcer: Announcer) {
    this.#tier = tier
    this.#book = book
    this.#announcer = announcer
  }

  add(seal: Pick<Seal, 'key' | 'namespace' | 'route'>): void {
    if (this.#byKey.has(seal.key)) return
    const resident = { fingerprint: seal.namespace, route: seal.route }
    this.#byKey.set(seal.key, resident)
    const opened = this.#book.withFingerprint(resident.fingerprint)
    if (opened !== null) this.#announcer.stored(this.#tier, opened.id, resident.route)
  }

  remove(keys: readonly BlockKey[], why: RemovedWhy): void {
    for (const key of keys) {
      const resident = this.#byKey.get(key)
      if (resident === undefined) continue
      this.#byKey.delete(key)
      const opened = this.#book.withFingerprint(resident.fingerprint)
      if (opened !== null) this.#announcer.removed(this.#tier, opened.id, resident.route, why)
    }
  }

  take(change: TierChange): void {
    if (change.kind === 'gone') this.remove(change.keys, change.why)
    else for (const seal of change.seals) this.add(seal)
  }

  /** Announces what was found before its namespace was known. */
  opened(opened: OpenNamespace): void {
    for (const resident of this.#byKey.values()) {
      if (resident.fingerprint === opened.fingerprint) {
        this.#announcer.stored(this.#tier, opened.id, resident.route)
      }
    }
  }

  keys(): BlockKey[] {
    return [...this.#byKey.keys()]
  }

  clear(why: RemovedWhy): void {
    this.remove(this.keys(), why)
  }

  /** One `stored` event per holder. */
  holdings(): KvEvent[] {
    const blocks = new Map<OpenNamespace, RouteHash[]>()
    for (const { fingerprint, route } of this.#byKey.values()) {
      const opened = this.#book.withFingerprint(fingerprint)
      if (opened === null) continue
      const routes = blocks.get(opened) ?? []
      routes.push(route)
      blocks.set(opened, routes)
    }
    return [...blocks].map(([opened, routes]) => ({
      kind: 'stored',
      holder: holderOf(opened, this.#tier),
      blocks: routes,
    }))
  }
}
