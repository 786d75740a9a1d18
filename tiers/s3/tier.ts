import type { Native } from '../../addon/native.ts'
import { beforeDeadline, type World } from '../block/clock.ts'
import { sentenceOf } from '../block/failures.ts'
import type { BlockKey } from '../block/id.ts'
import { s3CloseMsMax, s3EntriesMax, s3PollMs, s3RequestMsMax, s3RequestsMax } from '../block/limits.ts'
import type {
  ColdTier,
  ReadResult,
  ReadWanted,
  TierChange,
  TierUsage,
  WriteResult,
  WriteWanted,
} from '../tier.ts'
import { Breaker } from './breaker.ts'
import { Bucket } from './bucket.ts'
import { Discovery } from './discovery.ts'
import { Gate } from './gate.ts'
import type { S3Meter } from './metrics.ts'
import { namespaceFolder, ObjectNames, PackNames } from './name.ts'
import type { PackIndex, Sum } from './pack.ts'
import { type Capabilities, probe } from './probe.ts'
import { Reader } from './reader.ts'
import { type Pack, Shelf } from './shelf.ts'
import { Tempo } from './tempo.ts'
import { locationText, parseS3Url } from './url.ts'
import { Writer } from './writer.ts'

export type S3Options = {
  /** `s3://bucket/prefix?endpoint=…&region=…&path-style=true`. Credentials come from the environment or a profile. */
  readonly url: string
  readonly native: Pick<Native, 'windowOf' | 'crc32c'>
  readonly world: World
  readonly meter: S3Meter
  /** 4 to 32 lower-case letters and digits; must differ from every other daemon's, and stay the same over restarts. */
  readonly daemonId: string
  /** Bytes this daemon's own packs may take; 0 for no limit. */
  readonly bytesMax: number
  /** Whether a missing bucket is created. */
  readonly createBucket: boolean
}
/** What `doctor` and `status` show. */
export type S3Description = {
  readonly location: string
  readonly state: TierUsage['state']
  readonly why: string
  /** Null before the store was tried. */
  readonly capabilities: Capabilities | null
}
export type S3Tier = ColdTier & { openNamespace(namespace: BlockKey): void; describe(): S3Description }

/** Opens the tier and tries the store once. A store that does not answer or refuses is no error: the tier rests and tries
 *  again. Throws KVT_CONFIG_BAD for a URL that cannot be meant. */
export async function openS3Tier(options: S3Options): Promise<S3Tier> {
  const tier = new PackTier(options)
  await tier.start()
  return tier
}

class PackTier implements S3Tier {
  readonly name = 's3'
  readonly #options: S3Options
  readonly #location: ReturnType<typeof parseS3Url>
  readonly #names: ObjectNames
  readonly #packNames: PackNames
  readonly #breaker: Breaker
  readonly #bucket: Bucket
  readonly #shelf = new Shelf(s3EntriesMax)
  readonly #tempo = new Tempo()
  readonly #reader: Reader
  readonly #writer: Writer
  readonly #discovery: Discovery
  readonly #listeners: ((change: TierChange) => void)[] = []
  /** What the start found before anybody listened; null once somebody does. */
  #untold: TierChange[] | null = []
  #capabilities: Capabilities | null = null
  /** What the store said to the last try, until one went through. */
  #refused = 'the store was not tried yet'
  #closing = false
  /** Whether namespaces wait for their first look. */
  #more: 'more' | 'all' = 'all'
  #looking = true
  #work: Promise<void> = Promise.resolve()
  #cancelPoll: () => void = () => undefined

  constructor(options: S3Options) {
    const { native, world, meter } = options
    const sum: Sum = (bytes, previous) => native.crc32c(bytes, previous)
    this.#options = options
    this.#location = parseS3Url(options.url)
    const names = new ObjectNames(this.#location.prefix)
    this.#names = names
    this.#packNames = new PackNames(options.daemonId)
    this.#breaker = new Breaker(world, () => meter.add('terrace_s3_rests_total', {}))
    const bucket = new Bucket(this.#location, world, meter, new Gate(world, s3RequestsMax), this.#breaker)
    this.#bucket = bucket
    const capabilities = (): Capabilities => this.#capabilities ?? nothingSeen
    this.#writer = new Writer({
      ...{ native, world, bucket, names, packNames: this.#packNames, capabilities },
      onStored: (index) => this.#stored(index),
    })
    this.#reader = new Reader({
      ...{ native, world, bucket, names, shelf: this.#shelf, tempo: this.#tempo, capabilities },
      restMs: () => this.#breaker.restMs(),
      onBytes: (byteCount) => meter.add('terrace_s3_read_bytes_total', {}, byteCount),
      onDamaged: (key, why) => {
        meter.add('terrace_s3_damaged_total', { why })
        this.#forget(key, 'damaged')
      },
      onPackLost: (pack, why, asked) => this.#lose(pack, why, asked),
    })
    this.#discovery = new Discovery(bucket, names, world, sum, {
      knows: (id) => this.#shelf.knows(id),
      packIds: (folder) => this.#shelf.packsIn(folder).map((pack) => pack.id),
      roomBlocks: () => (this.#closing ? 0 : s3EntriesMax - this.#shelf.blockCount),
      pack: (index, folder) => this.#appeared(index, folder),
      gone: (id, folder) => {
        const pack = this.#shelf.packsIn(folder).find((one) => one.id === id)
        if (pack !== undefined) this.#lose(pack, 'evicted', new Set())
      },
      damagedIndex: (why) => meter.add('terrace_s3_damaged_total', { why: `index_${why}` }),
    })
  }

  /** Tries the store, looks around, and goes on doing so. */
  async start(): Promise<void> {
    const { world } = this.#options
    const untilMs = world.nowMs() + s3RequestMsMax
    await this.#tryStore()
    while (this.#more === 'more' && world.nowMs() < untilMs) this.#more = await this.#discovery.look()
    this.#looking = false
    this.#pollLater()
  }

  openNamespace(namespace: BlockKey): void {
    this.#discovery.open(namespace)
    this.#more = 'more'
    if (!this.#looking) this.#pollLater()
  }

  bytesOf(key: BlockKey): number | null {
    return this.#shelf.placeOf(key)?.payloadBytes ?? null
  }

  async read(wanted: readonly ReadWanted[], deadlineMs: number): Promise<readonly ReadResult[]> {
    const restMs = this.#restMs()
    const results =
      restMs > 0
        ? wanted.map(({ wanted: { key } }): ReadResult => {
            return this.#shelf.placeOf(key) === null
              ? { as: 'missing' }
              : { as: 'busy', retryAfterMs: restMs }
          })
        : await this.#reader.read(wanted, deadlineMs)
    for (const { as } of results) this.#options.meter.add('terrace_s3_blocks_read_total', { result: as })
    return results
  }

  async write(blocks: readonly WriteWanted[]): Promise<readonly WriteResult[]> {
    const results = await Promise.all(blocks.map((block) => this.#write(block)))
    for (const { as } of results) this.#options.meter.add('terrace_s3_blocks_written_total', { result: as })
    return results
  }

  drop(key: BlockKey): void {
    this.#forget(key, 'dropped')
  }

  onChange(listener: (change: TierChange) => void): void {
    this.#listeners.push(listener)
    const untold = this.#untold ?? []
    this.#untold = null
    for (const change of untold) this.#tell(change)
  }

  blocksMaxOf(payloadBytes: number): number {
    const { bytesMax } = this.#options
    return bytesMax === 0 ? Number.POSITIVE_INFINITY : Math.floor(bytesMax / payloadBytes)
  }

  usage(): TierUsage {
    const { state, why } = this.#state()
    return {
      blockCount: this.#shelf.blockCount,
      usedBytes: this.#shelf.usedBytes,
      capacityBytes: this.#options.bytesMax,
      state,
      why,
    }
  }

  describe(): S3Description {
    return { location: locationText(this.#location), ...this.#state(), capabilities: this.#capabilities }
  }

  readMsOf(byteCount: number): number | null {
    return this.#tempo.readMsOf(byteCount)
  }

  async close(): Promise<void> {
    if (this.#closing) return this.#work
    this.#closing = true
    this.#cancelPoll()
    const { world } = this.#options
    await beforeDeadline(world, world.nowMs() + s3CloseMsMax, this.#writer.flush())
    this.#bucket.close()
    await this.#writer.flush()
    await this.#work
  }

  async #tryStore(): Promise<void> {
    const { daemonId, createBucket, world, native } = this.#options
    const sum: Sum = (bytes, previous) => native.crc32c(bytes, previous)
    const probed = await probe(this.#bucket, this.#names, { daemonId, createBucket, world, sum })
    if (probed.as === 'seen') {
      this.#capabilities = probed.capabilities
      this.#breaker.wake()
      this.#more = await this.#discovery.look()
      return
    }
    this.#breaker.rest(probed.why)
    const { call, why } = probed
    const endpoint = this.#location.endpoint ?? `of AWS ${this.#location.region}`
    this.#refused = sentenceOf('KVT_S3_REFUSED', { endpoint, call, why })
  }

  #pollLater(): void {
    if (this.#closing) return
    this.#cancelPoll()
    const waitMs = this.#more === 'more' ? 0 : s3PollMs
    this.#cancelPoll = this.#options.world.after(Math.max(waitMs, this.#breaker.restMs()), () => {
      this.#work = this.#poll()
    })
  }

  async #poll(): Promise<void> {
    this.#looking = true
    // A namespace that is opened meanwhile asks for another look.
    this.#more = 'all'
    if (this.#capabilities === null) await this.#tryStore()
    else if ((await this.#discovery.look()) === 'more') this.#more = 'more'
    this.#looking = false
    this.#pollLater()
  }

  async #write(block: WriteWanted): Promise<WriteResult> {
    if (this.#closing) return { as: 'refused', why: 'stopping' }
    if (this.#shelf.placeOf(block.seal.key) !== null) return { as: 'already' }
    if (this.#restMs() > 0) return { as: 'refused', why: 'resting' }
    const { bytesMax } = this.#options
    if (bytesMax > 0 && block.seal.payloadBytes > bytesMax) return { as: 'refused', why: 'too_large' }
    return this.#writer.write(block)
  }

  /** Rest left, also before the store was first reached. */
  #restMs(): number {
    return this.#capabilities === null ? Math.max(s3PollMs, this.#breaker.restMs()) : this.#breaker.restMs()
  }

  #state(): { readonly state: TierUsage['state']; readonly why: string } {
    if (this.#closing) return { state: 'off', why: 'the tier is closed' }
    if (this.#restMs() === 0) return { state: 'serving', why: '' }
    return { state: 'resting', why: this.#capabilities === null ? this.#refused : this.#breaker.why() }
  }

  #stored(index: PackIndex): void {
    this.#options.meter.add('terrace_s3_written_bytes_total', {}, index.packBytes)
    this.#shelf.add(index, namespaceFolder(index.namespace), true)
    this.#makeRoom()
  }

  #appeared(index: PackIndex, folder: string): void {
    const seals = this.#shelf.add(index, folder, this.#packNames.isOwn(index.id))
    if (seals.length > 0) this.#tell({ kind: 'appeared', seals })
    this.#makeRoom()
  }

  /** Keeps the budget of own packs and the bound on memory. */
  #makeRoom(): void {
    const { bytesMax } = this.#options
    while (bytesMax > 0 && this.#shelf.ownBytes > bytesMax) {
      const oldest = this.#shelf.oldestOwn()
      if (oldest === null) break
      this.#gone(this.#shelf.remove(oldest), 'evicted')
      this.#deletePack(oldest)
    }
    this.#gone(this.#shelf.shrink(), 'evicted')
  }

  #lose(pack: Pack, why: 'evicted' | 'damaged', asked: ReadonlySet<BlockKey>): void {
    const keys = this.#shelf.remove(pack)
    this.#gone(
      keys.filter((key) => !asked.has(key)),
      why,
    )
  }

  #gone(keys: readonly BlockKey[], why: 'evicted' | 'damaged'): void {
    if (keys.length === 0) return
    this.#options.meter.add('terrace_s3_forgotten_blocks_total', { why }, keys.length)
    this.#tell({ kind: 'gone', keys, why })
  }

  #forget(key: BlockKey, why: 'damaged' | 'dropped'): void {
    if (this.#shelf.placeOf(key) === null) return
    this.#options.meter.add('terrace_s3_forgotten_blocks_total', { why })
    const empty = this.#shelf.forget(key)
    if (empty?.own !== true) return
    this.#shelf.remove(empty)
    this.#deletePack(empty)
  }

  /** Index first: what is listed must be readable. A failure leaves an object that the next start finds again. */
  #deletePack(pack: Pack): void {
    const call = () => ({
      urgency: 'background' as const,
      deadlineMs: this.#options.world.nowMs() + 2 * s3RequestMsMax,
    })
    void this.#bucket.remove(this.#names.index(pack.folder, pack.id), call()).then((removed) => {
      if (removed.as !== 'ok') return undefined
      return this.#bucket.remove(this.#names.pack(pack.folder, pack.id), call())
    })
  }

  #tell(change: TierChange): void {
    this.#untold?.push(change)
    for (const listener of this.#listeners) listener(change)
  }
}

/** Relied on before the store was tried: nothing. */
const nothingSeen: Capabilities = { rangedGet: false, conditionalPut: false, checksumEcho: false }
