import type { World } from '../block/clock.ts'
import { s3RequestMsMax } from '../block/limits.ts'
import type { Answer, Bucket, CallOptions } from './bucket.ts'
import type { ObjectNames } from './name.ts'
import type { Sum } from './pack.ts'
import { type Refusal, refusalText } from './refusal.ts'

/** What the store was seen to do. Stores differ in exactly these; nothing else of them is relied on. */
export type Capabilities = {
  /** A range comes as 206 with the right bytes. Else whole packs are read. */
  readonly rangedGet: boolean
  /** A second write under the same name is refused when asked to be. Else only the names keep packs apart. */
  readonly conditionalPut: boolean
  /** A checksum sent along is stored and given back, so it was looked at. */
  readonly checksumEcho: boolean
}
export type Probed =
  | { readonly as: 'seen'; readonly capabilities: Capabilities }
  | { readonly as: 'refused'; readonly call: string; readonly why: string }

const bodyBytes = 4_096
const range = { first: 100, last: 299 }

/** Tries what the tier wants to rely on, with one small object that it removes again. Creates the bucket when it is missing
 *  and may be created. */
export async function probe(
  bucket: Bucket,
  names: ObjectNames,
  options: { daemonId: string; createBucket: boolean; world: World; sum: Sum },
): Promise<Probed> {
  const { world, sum } = options
  const call = (): CallOptions => ({ urgency: 'background', deadlineMs: world.nowMs() + s3RequestMsMax })
  const listed = await firstList(bucket, names, options.createBucket, call)
  if (listed !== null) return listed
  const name = names.probe(options.daemonId, Math.floor(world.random() * 2 ** 32).toString(16))
  const body = Uint8Array.from({ length: bodyBytes }, () => Math.floor(world.random() * 256))
  const put = await bucket.put(name, [body], { onlyNew: false, checksum: checksumText(sum(body, 0)) }, call())
  let checksumEcho = put.as === 'ok' && put.value.checksumEchoed
  if (put.as !== 'ok') {
    // A store may refuse the checksum and take the object without.
    const plain = await bucket.put(name, [body], { onlyNew: false, checksum: null }, call())
    if (plain.as !== 'ok') return refused('a write', plain)
    checksumEcho = false
  }
  const again = await bucket.put(name, [body], { onlyNew: true, checksum: null }, call())
  const ranged = await readRange(bucket, name, call())
  if (ranged.as !== 'ok') return refused('a read', ranged)
  const removed = await bucket.remove(name, call())
  if (removed.as !== 'ok') return refused('a delete', removed)
  const wanted = body.subarray(range.first, range.last + 1)
  return {
    as: 'seen',
    capabilities: {
      rangedGet: Buffer.compare(ranged.value, wanted) === 0,
      conditionalPut: again.as === 'exists',
      checksumEcho,
    },
  }
}

/** A checksum as the store wants it: big endian, base64. */
export function checksumText(checksum: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(checksum)
  return bytes.toString('base64')
}

async function firstList(
  bucket: Bucket,
  names: ObjectNames,
  createBucket: boolean,
  call: () => CallOptions,
): Promise<Probed | null> {
  const wanted = { prefix: names.root, after: null, next: null, folders: true, most: 1 }
  const listed = await bucket.list(wanted, call())
  if (listed.as === 'ok') return null
  if (listed.as !== 'bucket_missing') return refused('a listing', listed)
  if (!createBucket) return refused('a listing', listed)
  const created = await bucket.create(call())
  // Daemons that start together all find the bucket missing; one of them makes it.
  if (created.as === 'ok' || (await bucket.list(wanted, call())).as === 'ok') return null
  return refused('to create the missing bucket', created)
}

async function readRange(bucket: Bucket, name: string, call: CallOptions): Promise<Answer<Uint8Array>> {
  const bytes = Buffer.alloc(bodyBytes)
  let count = 0
  const answer = await bucket.get(
    name,
    range,
    {
      begin: (fetched) => (fetched.status === 206 ? 'go_on' : 'enough'),
      take: (chunk) => {
        const kept = chunk.subarray(0, bodyBytes - count)
        bytes.set(kept, count)
        count += kept.length
        return count < bodyBytes ? 'go_on' : 'enough'
      },
    },
    call,
  )
  return answer.as === 'ok' ? { as: 'ok', value: bytes.subarray(0, count) } : answer
}

function refused(call: string, refusal: Refusal): Probed {
  return { as: 'refused', call, why: refusalText(refusal) }
}
