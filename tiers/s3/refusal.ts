/** How a request to the store went wrong, in the words the tier decides by. */
export type Refusal =
  /** The object is not there. */
  | { readonly as: 'absent' }
  /** A conditional write found the object there; `again` when an earlier try of the same write may have put it there. */
  | { readonly as: 'exists'; readonly again: boolean }
  /** The range lies outside the object: the object is not the one we know. */
  | { readonly as: 'range' }
  /** The store asked for fewer requests. */
  | { readonly as: 'slow_down' }
  /** The request may go through when it is sent again. */
  | { readonly as: 'failed'; readonly why: string }
  /** It took too long; sent again it would again. The caller's own haste is no fault of the store. */
  | { readonly as: 'late'; readonly why: string; readonly fault: 'store' | 'caller' }
  | { readonly as: 'bucket_missing' }
  /** The store does not know such a call. */
  | { readonly as: 'unsupported' }
  /** Somebody must change something: credentials, region, endpoint. */
  | { readonly as: 'denied'; readonly why: string }

/** Thrown inside a request when its time is up. */
export class Late extends Error {
  override readonly name = 'Late'
  readonly fault: 'store' | 'caller'

  constructor(why: string, fault: 'store' | 'caller') {
    super(why)
    this.fault = fault
  }
}

const denied: Readonly<Record<string, string>> = {
  InvalidBucketName: 'the store does not accept this bucket name',
  InvalidAccessKeyId: 'the access key is unknown: check AWS_ACCESS_KEY_ID',
  SignatureDoesNotMatch: 'the secret key does not fit the access key: check AWS_SECRET_ACCESS_KEY',
  AccessDenied: 'the credentials do not allow it: see the policy in tiers/s3/README.md',
  Forbidden: 'the credentials do not allow it: see the policy in tiers/s3/README.md',
  ExpiredToken: 'the credentials have expired: renew them',
  InvalidToken: 'the session token is not valid: renew the credentials',
  TokenRefreshRequired: 'the credentials have expired: renew them',
  RequestTimeTooSkewed: 'the clock of this machine is off: set it',
  CredentialsProviderError:
    'no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile',
  AuthorizationHeaderMalformed: 'the region is another one: set region in the S3 URL',
  PermanentRedirect: 'the bucket is elsewhere: set endpoint or region in the S3 URL',
  TemporaryRedirect: 'the bucket is elsewhere: set endpoint or region in the S3 URL',
}

const connection: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at the endpoint',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ENOTFOUND: "the endpoint's name is not known",
  EAI_AGAIN: "the endpoint's name could not be looked up",
  EHOSTUNREACH: 'the endpoint cannot be reached',
  ENETUNREACH: 'the endpoint cannot be reached',
  ETIMEDOUT: 'no connection in time',
  TimeoutError: 'no connection in time',
}

/** Sorts whatever the client threw. Only names and codes are looked at: messages of a store may carry what must not be logged. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Late) return { as: 'late', why: error.message, fault: error.fault }
  const name = textAt(error, 'name')
  const code = textAt(error, 'code')
  const status = statusOf(error)
  const known = denied[name] ?? denied[code]
  if (known !== undefined) return { as: 'denied', why: known }
  if (name === 'NoSuchBucket') return { as: 'bucket_missing' }
  if (name === 'NotImplemented' || status === 501) return { as: 'unsupported' }
  if (status === 404) return { as: 'absent' }
  if (status === 412) return { as: 'exists', again: false }
  if (status === 416) return { as: 'range' }
  if (status === 503 || status === 429 || name === 'SlowDown') return { as: 'slow_down' }
  if (status >= 500) return { as: 'failed', why: `the store answered ${status}` }
  if (status >= 300 && status < 400) {
    return { as: 'denied', why: 'the store redirects elsewhere: set endpoint or region in the S3 URL' }
  }
  if (status === 401 || status === 403) {
    return { as: 'denied', why: 'the credentials do not allow it: see the policy in tiers/s3/README.md' }
  }
  if (status >= 400) return { as: 'denied', why: `the store answered ${status} ${wordOf(name)}` }
  const cut = connection[code] ?? connection[name]
  return { as: 'failed', why: cut ?? `the answer could not be read (${wordOf(code || name)})` }
}

/** What a refusal says to a person. */
export function refusalText(refusal: Refusal): string {
  switch (refusal.as) {
    case 'absent':
      return 'the object is not there'
    case 'exists':
      return 'the object is there already'
    case 'range':
      return 'the object is shorter than its index says'
    case 'slow_down':
      return 'the store asked to slow down'
    case 'bucket_missing':
      return 'the bucket does not exist: create it, or name another in the S3 URL'
    case 'unsupported':
      return 'the store does not know this call'
    case 'failed':
    case 'late':
    case 'denied':
      return refusal.why
  }
}

function statusOf(error: unknown): number {
  const metadata: unknown = memberOf(error, '$metadata')
  const status: unknown = memberOf(metadata, 'httpStatusCode')
  if (typeof status === 'number') return status
  // Answers that could not be parsed carry the raw response instead.
  const raw: unknown = memberOf(memberOf(error, '$response'), 'statusCode')
  return typeof raw === 'number' ? raw : 0
}

function textAt(error: unknown, field: string): string {
  const value = memberOf(error, field)
  return typeof value === 'string' ? value : ''
}

function memberOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined
}

/** A word of a foreign origin, cut to what an error code may look like. */
function wordOf(text: string): string {
  return /^[A-Za-z0-9_.]{1,60}$/.test(text) ? text : 'unnamed error'
}
