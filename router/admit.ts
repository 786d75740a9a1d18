import type { IncomingMessage } from 'node:http'
import { requestBodyBytesMax, requestBytesHeldMax, requestQueryBytesMax } from '../tiers/block/limits.ts'
import type { Endpoint } from './endpoints.ts'
import { type Member, membersOf } from './members.ts'
import { type Refusal, refuse, refuseForNow } from './refusal.ts'
import { repeatedField, withoutSteering } from './steering.ts'
import type { Tenant } from './tenant.ts'

/** A request whose bytes are within every limit, and what the router read in them. */
export type Admitted = {
  readonly requestId: string
  readonly tenant: Tenant
  readonly path: string
  /** Path and query as they go to the worker. */
  readonly target: string
  readonly endpoint: Endpoint
  /** Without steering fields; else the client's very bytes. */
  readonly body: Buffer
  readonly droppedFields: readonly string[]
  readonly model: string | null
  readonly stream: boolean
  /** What ties the requests of one conversation together, or null. A preference for routing, never an
   *  identity. */
  readonly session: string | null
  /** The worker that the client asked for, where the router lets it. */
  readonly wantedWorker: string | null
}

/** Counts the bytes of bodies that are held, over all requests. */
export class HeldBytes {
  #held = 0

  get byteCount(): number {
    return this.#held
  }

  /** False when there is no room; nothing is taken then. */
  take(byteCount: number): boolean {
    if (this.#held + byteCount > requestBytesHeldMax) return false
    this.#held += byteCount
    return true
  }

  give(byteCount: number): void {
    this.#held -= byteCount
  }
}

type BodyRead =
  | { readonly as: 'body'; readonly body: Buffer }
  | { readonly as: 'refused'; readonly refusal: Refusal }
  /** The client went away while it sent. */
  | { readonly as: 'gone' }

/** Reads the whole body within its limit. Bytes stay counted in `held`; who calls gives them back when the
 *  request ends. */
export async function readBody(
  request: IncomingMessage,
  held: HeldBytes,
): Promise<BodyRead & { readonly heldBytes: number }> {
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > requestBodyBytesMax) return { as: 'refused', refusal: tooLarge(), heldBytes: 0 }
  const chunks: Buffer[] = []
  let byteCount = 0
  try {
    // The socket stays open on an early return: the client still has to get the refusal.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (byteCount + chunk.length > requestBodyBytesMax) {
        return { as: 'refused', refusal: tooLarge(), heldBytes: byteCount }
      }
      if (!held.take(chunk.length)) return { as: 'refused', refusal: noRoom(), heldBytes: byteCount }
      byteCount += chunk.length
      chunks.push(chunk)
    }
  } catch {
    return { as: 'gone', heldBytes: byteCount }
  }
  const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
  return { as: 'body', body, heldBytes: byteCount }
}

function tooLarge(): Refusal {
  return refuse('too_large', 'request_too_large', `the body is larger than ${requestBodyBytesMax} bytes`)
}

function noRoom(): Refusal {
  return refuseForNow('unavailable', 'router_busy', 'the router holds too many large requests: try again', 1)
}

/** Checks of the head, before the body is read. Null when nothing is wrong. */
export function headProblem(request: IncomingMessage, query: string): Refusal | null {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    return refuse('media', 'unsupported_encoding', 'a compressed body is not taken: send it plain')
  }
  const type = request.headers['content-type']
  if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type)) {
    return refuse('media', 'unsupported_media_type', 'the body must be application/json')
  }
  if (query.length > requestQueryBytesMax || !/^[\x21-\x7e]*$/.test(query)) {
    return refuse('invalid', 'bad_query', 'the query string is too long or has characters it may not have')
  }
  return null
}

type AdmitWanted = {
  readonly requestId: string
  readonly tenant: Tenant
  readonly path: string
  readonly query: string
  readonly endpoint: Endpoint
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly workerChoice: boolean
}

/** Reads what routing needs in the body, and takes out what a client must not steer. */
export function admit(wanted: AdmitWanted): { readonly pass: Admitted } | { readonly done: Refusal } {
  const { body, headers, tenant } = wanted
  const scanned = membersOf(body)
  if (scanned.as === 'refused') {
    return { done: refuse('invalid', 'bad_json', `malformed request body: ${scanned.why}`) }
  }
  const { members } = scanned
  const repeated = repeatedField(members)
  if (repeated !== null) {
    return {
      done: refuse(
        'invalid',
        'repeated_field',
        `"${repeated}" stands in the body twice: send it once`,
        repeated,
      ),
    }
  }
  const model = textOf(body, members, 'model')
  if (model === 'other' || (typeof model === 'object' && model !== null && model.text.length > 256)) {
    return { done: refuse('invalid', 'bad_model', '"model" must be a short text', 'model') }
  }
  const session = textOf(body, members, 'prompt_cache_key')
  const stripped = withoutSteering(body, members, tenant.hints)
  return {
    pass: {
      requestId: wanted.requestId,
      tenant,
      path: wanted.path,
      target: wanted.query === '' ? wanted.path : `${wanted.path}?${wanted.query}`,
      endpoint: wanted.endpoint,
      body: stripped.body,
      droppedFields: stripped.dropped,
      model: model === null ? null : model.text,
      stream: streamOf(body, members),
      session: tenant.hints ? (headerOf(headers, 'x-session-id') ?? wordOf(session)) : null,
      wantedWorker: wanted.workerChoice ? headerOf(headers, 'x-terrace-worker') : null,
    },
  }
}

type TextOf = { readonly text: string } | 'other' | null

function textOf(body: Buffer, members: readonly Member[], name: string): TextOf {
  const found = members.find((member) => member.name === name)
  if (found === undefined) return null
  // A long text is none of ours; the bound keeps a request from costing more than its scan.
  if (body[found.valueStart] !== 0x22 || found.end - found.valueStart > 4_096) {
    return body.toString('latin1', found.valueStart, found.end) === 'null' ? null : 'other'
  }
  try {
    return { text: JSON.parse(body.toString('utf8', found.valueStart, found.end)) as string }
  } catch {
    return 'other'
  }
}

function streamOf(body: Buffer, members: readonly Member[]): boolean {
  const found = members.find((member) => member.name === 'stream')
  return found !== undefined && body.toString('latin1', found.valueStart, found.end) === 'true'
}

function wordOf(text: TextOf): string | null {
  return typeof text === 'object' && text !== null && text.text !== '' ? text.text : null
}

function headerOf(headers: AdmitWanted['headers'], name: string): string | null {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : null
}
