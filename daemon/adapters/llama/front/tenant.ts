import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** Tenant of requests that name none. */
export const defaultTenant = 'default'
/** A tenant's name as it may come in a header: it becomes part of keys and metric labels. */
const pattern = /^[\w.@-]{1,64}$/

export type TenantRead =
  | { readonly as: 'tenant'; readonly tenant: string }
  | { readonly as: 'refused'; readonly says: string }

/** The tenant that the router names. Its word counts when it comes over loopback or shows the token; anybody else's is
 *  refused, rather than ignored, because an ignored name would put two tenants into one cache. */
export function tenantOf(request: IncomingMessage, token: string | null): TenantRead {
  const named = request.headers['x-terrace-tenant']
  if (named === undefined) return { as: 'tenant', tenant: defaultTenant }
  if (typeof named !== 'string' || !pattern.test(named)) {
    return { as: 'refused', says: 'x-terrace-tenant must be 1 to 64 letters, digits or . _ @ -' }
  }
  const shown = request.headers['x-terrace-token']
  const trusted = isLoopback(request.socket.remoteAddress) || (token !== null && equal(shown, token))
  if (!trusted) return { as: 'refused', says: 'x-terrace-tenant is taken from the router only' }
  return { as: 'tenant', tenant: named }
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(::ffff:)?127\.|^::1$/.test(address)
}

function equal(shown: string | string[] | undefined, token: string): boolean {
  if (typeof shown !== 'string') return false
  const left = Buffer.from(shown)
  const right = Buffer.from(token)
  return left.length === right.length && timingSafeEqual(left, right)
}
