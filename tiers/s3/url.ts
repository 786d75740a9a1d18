import { KvFailure } from '../block/failures.ts'

/** Where the packs lie: what an operator writes as `s3://bucket/prefix?endpoint=…&region=…&path-style=true`. */
export type S3Location = {
  readonly bucket: string
  /** Object names start with it; empty, or without slashes at its ends. */
  readonly prefix: string
  /** Origin of a store that is not AWS; null for AWS's own. */
  readonly endpoint: string | null
  readonly region: string
  /** Bucket in the path, not in the host's name: what most stores other than AWS want. */
  readonly pathStyle: boolean
}

const parameters = ['endpoint', 'region', 'path-style'] as const
const prefixCharactersMax = 512

/** Reads the URL of an S3 tier. Throws KVT_CONFIG_BAD with the part that is wrong; never repeats a secret. */
export function parseS3Url(url: string): S3Location {
  const match = /^s3:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url)
  if (match === null) throw bad('must have the form s3://bucket/prefix?endpoint=http://host:port')
  const [, bucket = '', path = '', query = ''] = match
  if (bucket.includes('@')) {
    throw bad('must not carry credentials: give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw bad('the bucket must be 3 to 63 lower-case letters, digits, dots or hyphens')
  }
  const prefix = path.replace(/\/+$/, '')
  if (prefix.length > prefixCharactersMax || !/^(?:[A-Za-z0-9!_.*'()-]+(?:\/|$))*$/.test(prefix)) {
    throw bad("the prefix must be letters, digits and -_.!*'() in parts divided by single slashes")
  }
  const given = new URLSearchParams(query)
  for (const name of given.keys()) {
    if (!(parameters as readonly string[]).includes(name)) {
      throw bad(`unknown parameter "${name.slice(0, 40)}": known are ${parameters.join(', ')}`)
    }
    if (given.getAll(name).length > 1) throw bad(`parameter "${name}" is given twice`)
  }
  const endpoint = given.has('endpoint') ? endpointOf(given.get('endpoint') ?? '') : null
  const region = given.get('region') ?? process.env.AWS_REGION ?? 'us-east-1'
  if (!/^[a-z0-9-]{1,40}$/.test(region)) throw bad('region must be lower-case letters, digits and hyphens')
  const pathStyle = given.get('path-style') ?? (endpoint === null ? 'false' : 'true')
  if (pathStyle !== 'true' && pathStyle !== 'false') throw bad('path-style must be true or false')
  return { bucket, prefix, endpoint, region, pathStyle: pathStyle === 'true' }
}

/** What logs and errors may show of a location. */
export function locationText(location: S3Location): string {
  const prefix = location.prefix === '' ? '' : `/${location.prefix}`
  return `s3://${location.bucket}${prefix} at ${location.endpoint ?? `AWS ${location.region}`}`
}

function endpointOf(text: string): string {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw bad('endpoint must be an http:// or https:// address')
  }
  if (url.username !== '' || url.password !== '') throw bad('endpoint must not carry credentials')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw bad('endpoint must be only scheme, host and port')
  }
  return url.origin
}

function bad(why: string): KvFailure {
  return new KvFailure('KVT_CONFIG_BAD', { why: `the S3 URL: ${why}` })
}
