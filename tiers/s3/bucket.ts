import { Agent as PlainAgent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { Readable } from 'node:stream'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { World } from '../block/clock.ts'
import {
  s3BytesPerSecondMin,
  s3RequestMsMax,
  s3RequestsMax,
  s3RetriesMax,
  s3RetryMs,
} from '../block/limits.ts'
import type { Breaker } from './breaker.ts'
import type { Gate, Urgency } from './gate.ts'
import type { S3Meter } from './metrics.ts'
import { Pace } from './pace.ts'
import { type Refusal, refusalOf, refusalText } from './refusal.ts'
import { drain, endBody, type Fetched, piecesOf, type Sink, sentPieceBytes } from './stream.ts'
import type { S3Location } from './url.ts'

/** What a request came to. */
export type Answer<Value> = { readonly as: 'ok'; readonly value: Value } | Refusal

export type Listed = { readonly name: string; readonly byteCount: number }
export type Listing = {
  readonly objects: readonly Listed[]
  readonly folders: readonly string[]
  /** Where the next page starts; null at the end. */
  readonly next: string | null
}
export type CallOptions = { readonly urgency: Urgency; readonly deadlineMs: number }

type Call = 'get' | 'put' | 'list' | 'delete' | 'create'
const connectMsMax = 1_000

/** One bucket of an object store: every request through the gate, under a deadline and a rate floor, with few retries, counted,
 *  and told to the breaker. */
export class Bucket {
  readonly #client: S3Client
  readonly #location: S3Location
  readonly #world: World
  readonly #meter: S3Meter
  readonly #gate: Gate
  readonly #breaker: Breaker
  readonly #running = new Set<Pace>()
  readonly #pauses = new Set<() => void>()
  #closed = false

  constructor(location: S3Location, world: World, meter: S3Meter, gate: Gate, breaker: Breaker) {
    this.#location = location
    this.#world = world
    this.#meter = meter
    this.#gate = gate
    this.#breaker = breaker
    this.#client = clientOf(location)
  }

  /** Ends everything that runs. */
  close(): void {
    this.#closed = true
    for (const pace of this.#running) pace.stop('the tier is closing', 'caller')
    for (const end of this.#pauses) end()
    this.#client.destroy()
  }

  create(options: CallOptions): Promise<Answer<null>> {
    return this.#call('create', 0, options, async (pace) => {
      const command = new CreateBucketCommand({ Bucket: this.#location.bucket })
      await this.#client.send(command, { abortSignal: pace.signal })
      return null
    })
  }

  list(
    wanted: { prefix: string; after: string | null; next: string | null; folders: boolean; most: number },
    options: CallOptions,
  ): Promise<Answer<Listing>> {
    return this.#call('list', 0, options, async (pace) => {
      const command = new ListObjectsV2Command({
        Bucket: this.#location.bucket,
        Prefix: wanted.prefix,
        MaxKeys: wanted.most,
        ...(wanted.after === null ? {} : { StartAfter: wanted.after }),
        ...(wanted.next === null ? {} : { ContinuationToken: wanted.next }),
        ...(wanted.folders ? { Delimiter: '/' } : {}),
      })
      const answer = await this.#client.send(command, { abortSignal: pace.signal })
      return {
        objects: (answer.Contents ?? []).map((one) => ({ name: one.Key ?? '', byteCount: one.Size ?? 0 })),
        folders: (answer.CommonPrefixes ?? []).map((one) => one.Prefix ?? ''),
        next: answer.IsTruncated === true ? (answer.NextContinuationToken ?? null) : null,
      }
    })
  }

  /** Stores an object from its parts, which are sent from where they lie. */
  put(
    name: string,
    parts: readonly Uint8Array[],
    how: { readonly onlyNew: boolean; readonly checksum: string | null },
    options: CallOptions,
  ): Promise<Answer<{ readonly checksumEchoed: boolean }>> {
    const byteCount = parts.reduce((sum, part) => sum + part.length, 0)
    return this.#call('put', byteCount, options, async (pace) => {
      const command = new PutObjectCommand({
        Bucket: this.#location.bucket,
        Key: name,
        Body: Readable.from(piecesOf(parts, pace), { objectMode: false, highWaterMark: sentPieceBytes }),
        ContentLength: byteCount,
        ...(how.onlyNew ? { IfNoneMatch: '*' } : {}),
        ...(how.checksum === null ? {} : { ChecksumCRC32C: how.checksum }),
      })
      const answer = await this.#client.send(command, { abortSignal: pace.signal })
      return { checksumEchoed: how.checksum !== null && answer.ChecksumCRC32C === how.checksum }
    })
  }

  /** Reads an object, or the range [first, last] of it, into the sink. No byte reaches the sink after the promise has ended. */
  get(
    name: string,
    range: { readonly first: number; readonly last: number } | null,
    sink: Sink,
    options: CallOptions,
  ): Promise<Answer<null>> {
    return this.#call('get', range === null ? 0 : range.last - range.first + 1, options, async (pace) => {
      const command = new GetObjectCommand({
        Bucket: this.#location.bucket,
        Key: name,
        ...(range === null ? {} : { Range: `bytes=${range.first}-${range.last}` }),
      })
      const answer = await this.#client.send(command, { abortSignal: pace.signal })
      const fetched: Fetched = {
        status: answer.$metadata.httpStatusCode ?? 0,
        contentRange: answer.ContentRange ?? null,
        contentLength: answer.ContentLength ?? null,
      }
      if (sink.begin(fetched) === 'enough') endBody(answer.Body)
      else await drain(answer.Body, sink, pace)
      return null
    })
  }

  remove(name: string, options: CallOptions): Promise<Answer<null>> {
    return this.#call('delete', 0, options, async (pace) => {
      const command = new DeleteObjectCommand({ Bucket: this.#location.bucket, Key: name })
      await this.#client.send(command, { abortSignal: pace.signal })
      return null
    })
  }

  async #call<Value>(
    call: Call,
    byteCount: number,
    options: CallOptions,
    work: (pace: Pace) => Promise<Value>,
  ): Promise<Answer<Value>> {
    const aliveMs = (byteCount / s3BytesPerSecondMin) * 1_000
    const ownMs = this.#world.nowMs() + s3RequestMsMax + aliveMs
    const fault = options.deadlineMs < ownMs ? 'caller' : 'store'
    const deadlineMs = Math.min(options.deadlineMs, ownMs)
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#attempt(call, { deadlineMs, fault }, options.urgency, work)
      if (answer.as === 'exists') return { as: 'exists', again: attempt > 0 }
      if (answer.as !== 'failed' && answer.as !== 'slow_down') return answer
      if (attempt >= s3RetriesMax || this.#breaker.restMs() > 0 || this.#closed) return answer
      const base = s3RetryMs * (answer.as === 'slow_down' ? 10 : 1) * 2 ** attempt
      const waitMs = base * (0.5 + this.#world.random() / 2)
      if (this.#world.nowMs() + waitMs >= deadlineMs) return answer
      await this.#pause(waitMs)
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#pauses.delete(end)
        cancel()
        resolve()
      }
      const cancel = this.#world.after(ms, end)
      this.#pauses.add(end)
    })
  }

  async #attempt<Value>(
    call: Call,
    limit: { readonly deadlineMs: number; readonly fault: 'store' | 'caller' },
    urgency: Urgency,
    work: (pace: Pace) => Promise<Value>,
  ): Promise<Answer<Value>> {
    const { deadlineMs, fault } = limit
    if (!(await this.#gate.enter(urgency, deadlineMs))) {
      return { as: 'late', why: 'no place among the running requests', fault: 'caller' }
    }
    const startMs = this.#world.nowMs()
    let answer: Answer<Value> = { as: 'late', why: 'no time left', fault: 'caller' }
    if (startMs < deadlineMs && !this.#closed) {
      const flow = call === 'get' || call === 'put' ? 'flowing' : 'waiting'
      const pace = new Pace(this.#world, { ms: deadlineMs - startMs, fault }, flow)
      this.#running.add(pace)
      try {
        answer = { as: 'ok', value: await Promise.race([work(pace), pace.ended]) }
      } catch (error) {
        answer = refusalOf(pace.signal.aborted ? pace.signal.reason : error)
      } finally {
        pace.done()
        this.#running.delete(pace)
      }
    }
    this.#gate.leave(urgency)
    this.#meter.add('terrace_s3_requests_total', { call, outcome: answer.as })
    this.#meter.observe('terrace_s3_request_seconds', { call }, (this.#world.nowMs() - startMs) / 1_000)
    this.#judge(answer)
    return answer
  }

  #judge(answer: Answer<unknown>): void {
    if (this.#closed) return
    switch (answer.as) {
      case 'ok':
      case 'absent':
      case 'exists':
      case 'range':
      case 'unsupported':
        this.#breaker.good()
        return
      case 'denied':
      case 'bucket_missing':
        this.#breaker.rest(refusalText(answer))
        return
      case 'late':
        if (answer.fault === 'store') this.#breaker.bad(answer.why)
        return
      default:
        this.#breaker.bad(refusalText(answer))
    }
  }
}

const silent = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

function clientOf(location: S3Location): S3Client {
  const agent = { keepAlive: true, maxSockets: s3RequestsMax }
  return new S3Client({
    region: location.region,
    forcePathStyle: location.pathStyle,
    ...(location.endpoint === null ? {} : { endpoint: location.endpoint }),
    // Retries are ours: they must know the deadline and the breaker. Checksums are asked for where the probe saw them.
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    // Errors come back as values; what the client would print may name keys and endpoints.
    logger: silent,
    requestHandler: {
      connectionTimeout: connectMsMax,
      logger: silent,
      httpAgent: new PlainAgent(agent),
      httpsAgent: new TlsAgent(agent),
    },
  })
}
