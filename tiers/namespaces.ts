import type { Native } from '../addon/native.ts'
import type { Holder } from './block/event.ts'
import { type BlockKey, keyAt, keyByteCount, keysIn, type NamespaceId, type TierName } from './block/id.ts'
import { chainSecretOf } from './block/key.ts'
import { blockBytesOf, layoutFingerprint } from './block/layout.ts'
import { namespacesMax } from './block/limits.ts'
import { type Namespace, namespaceFingerprint } from './block/namespace.ts'
import { type RouteHash, routeHashesIn, routeSecretOf } from './block/route.ts'

/** A namespace inside this process, with everything that is derived from it once. */
export type OpenNamespace = {
  readonly id: NamespaceId
  readonly namespace: Namespace
  /** The 32 bytes of the fingerprint, in the form of a key: what seals carry. */
  readonly fingerprint: BlockKey
  readonly layout: string
  readonly blockTokens: number
  readonly blockBytes: number
  readonly chainSecret: Uint8Array
  readonly routeSecret: Uint8Array
}

/** Stands for a namespace of an earlier life that nobody has opened again: no ask can name it. */
export const unknownNamespace = -1 as NamespaceId

/** The namespaces of this process: interned, numbered, never forgotten (they are few and bounded). */
export class NamespaceBook {
  readonly #clusterSecret: Uint8Array
  readonly #native: Pick<Native, 'chain'>
  readonly #byId: OpenNamespace[] = []
  readonly #byFingerprint = new Map<BlockKey, OpenNamespace>()

  constructor(clusterSecret: Uint8Array, native: Pick<Native, 'chain'>) {
    this.#clusterSecret = clusterSecret
    this.#native = native
  }

  /** The same namespace gives the same number. Null when the limit is reached. */
  open(namespace: Namespace): { readonly opened: OpenNamespace; readonly isNew: boolean } | null {
    const fingerprint = keyAt(namespaceFingerprint(namespace), 0)
    const known = this.#byFingerprint.get(fingerprint)
    if (known !== undefined) return { opened: known, isNew: false }
    if (this.#byId.length >= namespacesMax) return null
    const opened: OpenNamespace = {
      id: this.#byId.length as NamespaceId,
      namespace,
      fingerprint,
      layout: layoutFingerprint(namespace.layout),
      blockTokens: namespace.layout.blockTokens,
      blockBytes: blockBytesOf(namespace.layout),
      chainSecret: chainSecretOf(this.#clusterSecret, namespace),
      routeSecret: routeSecretOf(this.#clusterSecret, namespace.tenant, namespace.adapter),
    }
    this.#byId.push(opened)
    this.#byFingerprint.set(fingerprint, opened)
    return { opened, isNew: true }
  }

  of(id: NamespaceId): OpenNamespace | null {
    return this.#byId[id] ?? null
  }

  withFingerprint(fingerprint: BlockKey): OpenNamespace | null {
    return this.#byFingerprint.get(fingerprint) ?? null
  }

  all(): readonly OpenNamespace[] {
    return this.#byId
  }

  /** The keys of all whole token blocks of a prompt. */
  keysOf(opened: OpenNamespace, tokens: Uint32Array): BlockKey[] {
    return keysIn(this.#chain(opened.chainSecret, tokens, opened.blockTokens))
  }

  routesOf(opened: OpenNamespace, tokens: Uint32Array): RouteHash[] {
    return routeHashesIn(this.#chain(opened.routeSecret, tokens, opened.blockTokens))
  }

  #chain(secret: Uint8Array, tokens: Uint32Array, blockTokens: number): Uint8Array {
    const bytes = new Uint8Array(Math.floor(tokens.length / blockTokens) * keyByteCount)
    if (bytes.length > 0) this.#native.chain(secret, tokens, blockTokens, bytes)
    return bytes
  }
}

/** Who an event about blocks of the namespace names as their holder. */
export function holderOf(opened: OpenNamespace, tier: TierName): Holder {
  return {
    tier,
    worker: '',
    model: opened.namespace.model,
    blockTokens: opened.blockTokens,
    blockBytes: opened.blockBytes,
  }
}
