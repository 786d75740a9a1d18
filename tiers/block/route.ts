import { type Branded, keyByteCount, textView } from './id.ts'
import { chainBytes } from './key.ts'
import { Hmac } from './sha256.ts'

/** 16 hexadecimal digits that name a prefix for routing. Only ever used to choose a worker: a wrong one costs time. Bytes are
 *  served under block keys alone. */
export type RouteHash = Branded<string, 'RouteHash'>

/** Names the recipe below in registrations and events; two schemes are never mixed. */
export const routeScheme = 'terrace-hmac-1'

export const routeHashByteCount = 8

/** What the route hashes of one tenant are keyed with. Without the model: the index is kept per model anyway. */
export function routeSecretOf(clusterSecret: Uint8Array, tenant: string, adapter: string): Uint8Array {
  const secret = new Uint8Array(keyByteCount)
  const text = `terrace-route-1|${tenant.length}:${tenant}|${adapter.length}:${adapter}`
  new Hmac(clusterSecret).sign(new TextEncoder().encode(text), secret)
  return secret
}

/** One hash per whole token block, each over the whole prefix: the first bytes of a key chain under the route secret. */
export function routeHashes(secret: Uint8Array, tokens: Uint32Array, blockTokens: number): RouteHash[] {
  return routeHashesIn(chainBytes(secret, tokens, blockTokens))
}

/** The route hashes in the bytes of a chain made with a route secret. */
export function routeHashesIn(chain: Uint8Array): RouteHash[] {
  const view = textView(chain)
  const hashes: RouteHash[] = []
  for (let offset = 0; offset + keyByteCount <= chain.length; offset += keyByteCount) {
    hashes.push(routeHashAt(view, offset))
  }
  return hashes
}

export function routeHashAt(bytes: Uint8Array, offset: number): RouteHash {
  return textView(bytes).toString('hex', offset, offset + routeHashByteCount) as RouteHash
}

export function isRouteHash(text: unknown): text is RouteHash {
  return typeof text === 'string' && /^[0-9a-f]{16}$/.test(text)
}
