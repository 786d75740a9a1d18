import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { apiKeysMax } from '../tiers/block/limits.ts'
import { type Refusal, refuse, refuseForNow } from './refusal.ts'

/** Who a request is for, and what it may do. The only source of the tenant: nothing a client sends can set
 *  it. */
export type Tenant = {
  readonly name: string
  /** Whether hints (priority, session) of this key's requests are listened to. */
  readonly hints: boolean
  /** Whether answers carry the terms of the routing decision. */
  readonly explain: boolean
  /** Requests per minute, or null for no limit. */
  readonly requestsPerMinute: number | null
}

/** Everybody, where there are no keys: the router then listens on loopback only. */
export const defaultTenant: Tenant = { name: 'default', hints: true, explain: true, requestsPerMinute: null }

type Entry = Tenant & { readonly digest: Buffer }

type KeysRead =
  | { readonly as: 'keys'; readonly keys: ApiKeys }
  | { readonly as: 'refused'; readonly why: string }

/** Keys by digest. The file holds SHA-256 of keys, never keys. The table is addressed by a digest that is
 *  blinded with a secret of this process, so the time of a look-up tells nothing about how near a guess came.
 *  */
export class ApiKeys {
  readonly #secret = randomBytes(32)
  readonly #entries = new Map<string, Entry>()

  add(entry: Entry): void {
    this.#entries.set(this.#blinded(entry.digest), entry)
  }

  get count(): number {
    return this.#entries.size
  }

  tenantOf(key: string): Tenant | null {
    const digest = hash('sha256', key, 'buffer')
    const entry = this.#entries.get(this.#blinded(digest))
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry : null
  }

  #blinded(digest: Buffer): string {
    return createHmac('sha256', this.#secret).update(digest).digest('base64')
  }
}

/** Reads the text of a key file: `{"keys": [{"sha256": HEX, "tenant": NAME, "hints": BOOL, "explain": BOOL,
 *  "requestsPerMinute": N}]}`. */
export function readKeys(text: string): KeysRead {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { as: 'refused', why: 'not JSON' }
  }
  const list = member(json, 'keys')
  if (!Array.isArray(list)) return { as: 'refused', why: '"keys" must be a list' }
  if (list.length === 0) return { as: 'refused', why: '"keys" is empty: nobody could be served' }
  if (list.length > apiKeysMax) return { as: 'refused', why: `"keys" has more than ${apiKeysMax} entries` }
  const keys = new ApiKeys()
  for (const [i, raw] of list.entries()) {
    const entry = entryOf(raw)
    if (typeof entry === 'string') return { as: 'refused', why: `keys[${i}]${entry}` }
    keys.add(entry)
  }
  return keys.count === list.length
    ? { as: 'keys', keys }
    : { as: 'refused', why: 'two entries have the same "sha256"' }
}

const entryFields: ReadonlySet<string> = new Set([
  'sha256',
  'tenant',
  'hints',
  'explain',
  'requestsPerMinute',
])

/** The checked entry, or what is wrong with it. */
function entryOf(raw: unknown): Entry | string {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return ' must be an object'
  for (const name of Object.keys(raw)) if (!entryFields.has(name)) return `.${name} is not known`
  const digest = member(raw, 'sha256')
  if (typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) {
    return '.sha256 must be the 64 lower-case hexadecimal digits of the SHA-256 of the key'
  }
  const name = member(raw, 'tenant')
  if (typeof name !== 'string' || !/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    return '.tenant must be 1 to 64 letters, digits, ".", "_" or "-"'
  }
  const hints = member(raw, 'hints') ?? false
  const explain = member(raw, 'explain') ?? false
  if (typeof hints !== 'boolean') return '.hints must be true or false'
  if (typeof explain !== 'boolean') return '.explain must be true or false'
  const rate = member(raw, 'requestsPerMinute') ?? null
  if (rate !== null && (typeof rate !== 'number' || !(rate > 0 && rate <= 1e9))) {
    return '.requestsPerMinute must be a number above 0'
  }
  return { name, hints, explain, requestsPerMinute: rate, digest: Buffer.from(digest, 'hex') }
}

function member(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}

/** What stands for one tenant's rate: a bucket that fills with time. */
type Bucket = { tokens: number; atMs: number }

/** Says who sent a request, from its headers alone: before a byte of the body is read. */
export class Identify {
  readonly #keys: ApiKeys | null
  readonly #buckets = new Map<string, Bucket>()

  /** `keys` is null where no key file was given: everybody is the default tenant. */
  constructor(keys: ApiKeys | null) {
    this.#keys = keys
  }

  get hasKeys(): boolean {
    return this.#keys !== null
  }

  identify(
    headers: Readonly<Record<string, string | string[] | undefined>>,
    nowMs: number,
  ): { readonly pass: Tenant } | { readonly done: Refusal } {
    if (this.#keys === null) return { pass: defaultTenant }
    const key = keyIn(headers)
    if (key === null) {
      return {
        done: refuse('unauthenticated', 'missing_api_key', 'no API key: send "Authorization: Bearer KEY"'),
      }
    }
    const tenant = this.#keys.tenantOf(key)
    if (tenant === null)
      return { done: refuse('unauthenticated', 'invalid_api_key', 'the API key is not known') }
    const waitSeconds = this.#take(tenant, nowMs)
    if (waitSeconds === 0) return { pass: tenant }
    return {
      done: refuseForNow(
        'rate_limited',
        'rate_limit_exceeded',
        `tenant over its ${tenant.requestsPerMinute} requests per minute`,
        waitSeconds,
      ),
    }
  }

  /** Takes one request out of the tenant's bucket; else the whole seconds until there is one. */
  #take(tenant: Tenant, nowMs: number): number {
    const perMinute = tenant.requestsPerMinute
    if (perMinute === null) return 0
    const roof = Math.max(1, perMinute)
    const bucket = this.#buckets.get(tenant.name) ?? { tokens: roof, atMs: nowMs }
    bucket.tokens = Math.min(roof, bucket.tokens + ((nowMs - bucket.atMs) / 60_000) * perMinute)
    bucket.atMs = nowMs
    this.#buckets.set(tenant.name, bucket)
    if (bucket.tokens < 1) return Math.max(1, Math.ceil(((1 - bucket.tokens) * 60) / perMinute))
    bucket.tokens -= 1
    return 0
  }
}

function keyIn(headers: Readonly<Record<string, string | string[] | undefined>>): string | null {
  const { authorization } = headers
  if (typeof authorization === 'string' && /^bearer /i.test(authorization))
    return authorization.slice(7).trim()
  const key = headers['x-api-key']
  return typeof key === 'string' && key !== '' ? key : null
}
