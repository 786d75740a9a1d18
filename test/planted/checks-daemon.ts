import { checksOf } from './check.ts'

const admin = checksOf('test/contract/daemon-admin.test.ts', [
  [
    'admin: any host name is answered',
    'daemon/admin.ts',
    "return 'host: must be 127.0.0.1 or localhost'",
    'return null',
  ],
  [
    'admin: a web page may give orders',
    'daemon/admin.ts',
    "return fromPage && request.method !== 'GET' ?",
    "return fromPage && request.method === 'PUT' ?",
  ],
  ['admin: clear clears nothing', 'daemon/admin.ts', '    await parts.store.clear(which)\n', ''],
  ['admin: drain drains nothing', 'daemon/admin.ts', '    parts.server.drain()\n', ''],
  ['admin: bodies of any size', 'daemon/admin.ts', 'bodyLimit: bodyBytesMax,', 'bodyLimit: 1_000_000,'],
  [
    'events: a stream of another epoch goes on without a snapshot',
    'daemon/publish.ts',
    '(epoch !== null && epoch !== this.epoch) || ',
    '',
  ],
  [
    'events: what is too old is left out',
    'daemon/publish.ts',
    'from < first || from > this.#sequence + 1',
    'from < 0',
  ],
  [
    'events: a batch has no number of its own',
    'daemon/publish.ts',
    '    this.#sequence += 1\n',
    '    this.#sequence ||= 1\n',
  ],
  [
    'events: a quiet stream has no pulse',
    'daemon/event-stream.ts',
    'if (response.writableLength === 0) response.write(',
    'if (response.writableLength < 0) response.write(',
  ],
  [
    'events: a slow reader is kept',
    'daemon/event-stream.ts',
    'if (response.writableLength > eventReaderBytesMax) {',
    'if (response.writableLength < 0) {',
  ],
  [
    'events: any number of readers',
    'daemon/event-stream.ts',
    'return this.#open.size >= eventReadersMax',
    'return false',
  ],
  [
    'events: a reader that left is counted',
    'daemon/event-stream.ts',
    '      this.#open.delete(response)\n      this.#meter.set(',
    '      this.#meter.set(',
  ],
])

const server = checksOf('test/contract/daemon-server.test.ts', [
  [
    'server: a process of another user attaches',
    'daemon/server.ts',
    'peer.user !== ours\n',
    'peer.user === -2\n',
  ],
  ['server: any number of sessions', 'daemon/server.ts', 'this.#connections.size >= sessionsMax', 'false'],
  [
    'server: an engine of another version attaches',
    'daemon/server.ts',
    'if (hello.version !== wireVersion) {',
    'if (hello.version < 0) {',
  ],
  [
    'server: asks before hello are answered',
    'daemon/connection.ts',
    "this.end('order', new KvFailure('KVT_WIRE_ORDER', { message: ask.message }), header.ask)",
    '',
  ],
  [
    'server: frames of any length before hello',
    'daemon/connection.ts',
    'new FrameReader(helloFrameBytesMax)',
    'new FrameReader(frameBytesMax)',
  ],
  [
    'server: any number of asks at once',
    'daemon/connection.ts',
    'if (this.#asksInFlight >= sessionAsksMax) {',
    'if (this.#asksInFlight < 0) {',
  ],
  [
    'server: who does not read is kept',
    'daemon/connection.ts',
    "if (this.#socket.writableLength > sessionAnswerBytesMax) this.end('slow_reader')",
    '',
  ],
  [
    'server: a silent peer is waited for',
    'daemon/connection.ts',
    "if (silentMs > silentMsMax && this.#asksInFlight === 0) this.end('silent')",
    "if (silentMs < 0) this.end('silent')",
  ],
  [
    'server: a failure tells what it was about',
    'daemon/connection.ts',
    "const failure = known ? error : new KvFailure('KVT_INTERNAL', { message })",
    "const failure = known ? error : new KvFailure('KVT_INTERNAL', { message: String(error) })",
  ],
  [
    'server: a read-only region is loaded into',
    'daemon/flow.ts',
    'if (!session.regionOf(fields.region).writable) {',
    "if (session.regionOf(fields.region).kind === 'pool') {",
  ],
  [
    'server: two blocks are loaded into one place',
    'daemon/flow.ts',
    "if (hasTwice(into.indexes)) throw new KvFailure('KVT_PLACE_BAD', { why: 'targets names one block twice' })",
    '',
  ],
  [
    'server: a place may lie outside its region',
    'daemon/flow.ts',
    'if (problem !== null) throw badPlace(problem)',
    '',
  ],
  [
    'server: blocks behind the tokens are stored',
    'daemon/flow.ts',
    'if (firstBlock + blockCount > chainBlocks) {',
    'if (firstBlock < 0) {',
  ],
  [
    'server: a draining daemon takes blocks',
    'daemon/server.ts',
    "takesStores: () => this.#state === 'serving',",
    'takesStores: () => true,',
  ],
  [
    'server: a session that ends keeps its regions',
    'daemon/session.ts',
    'await Promise.all(regions.map(({ region }) => this.#store.detachRegion(region)))',
    'void regions',
  ],
  [
    'server: a stop does not answer what is in flight',
    'daemon/server.ts',
    'while (busy() && world.nowMs() < deadlineMs) await world.sleep(5)',
    '',
  ],
  [
    'server: a living daemon’s socket is taken',
    'daemon/server.ts',
    "if (alive) throw new KvFailure('KVT_SOCKET_BAD', { path, why: 'another process listens on it' })",
    '',
  ],
  [
    'server: another file of the socket’s name is removed',
    'daemon/server.ts',
    "if (!stat.isSocket()) throw new KvFailure('KVT_SOCKET_BAD', { path, why: 'another file has this name' })",
    '',
  ],
])

const nats = checksOf('test/contract/daemon-nats.test.ts', [
  [
    'nats: what could not be sent is not counted',
    'daemon/nats.ts',
    "      if (kind === 'events') this.#meter.add('terrace_nats_dropped_batches_total', {})\n      return",
    '      return',
  ],
  [
    'nats: no beats',
    'daemon/nats.ts',
    "    this.#send('beat', JSON.stringify({ publisher, epoch, sequence }))\n",
    '',
  ],
  [
    'nats: a snapshot is one message, whatever its size',
    'daemon/nats.ts',
    'if (byteCount + pieceBytes > eventBatchBytesMax) {',
    'if (byteCount < 0) {',
  ],
  [
    'nats: a broker that went is not noticed',
    'daemon/nats.ts',
    "if (status.type === 'disconnect') this.#tell(false)",
    '',
  ],
])

const start = checksOf(
  'test/e2e/daemon-process.test.ts',
  [
    [
      'start: a refused one leaves its directory',
      'daemon/parts.ts',
      "      process.off('exit', abandon)\n      data.abandon()\n",
      "      process.off('exit', abandon)\n      data.release()\n",
    ],
    [
      'start: a refused one takes what was there before with it',
      'daemon/data-directory.ts',
      'const abandon = (): void => leave((name) => found.has(name))',
      'const abandon = (): void => leave(() => false)',
    ],
    [
      'start: one that hangs and is ended leaves its directory',
      'daemon/parts.ts',
      "    process.once('exit', abandon)\n",
      '',
    ],
    [
      'start: two daemons on one directory',
      'daemon/data-directory.ts',
      "if (winner !== null) throw new KvFailure('KVT_DATA_IN_USE', { directory, pid: winner.pid })",
      '',
    ],
  ],
  ['start'],
)

const full = checksOf('test/fault/daemon-full-disk.test.ts', [
  [
    'full drive: the catalog’s failure is not counted',
    'tiers/disk.ts',
    "meter.add('terrace_tier_catalog_failed_total', { why: catalogFailureOf(this.#catalog.why) })",
    '',
  ],
  [
    'full drive: a failing drive is never left alone',
    'tiers/rest.ts',
    'this.#untilMs = this.#world.nowMs() + tierRestMs',
    'this.#untilMs = this.#world.nowMs()',
  ],
  [
    'full drive: a drive that failed is left alone for ever',
    'tiers/rest.ts',
    'this.#untilMs = this.#world.nowMs() + tierRestMs',
    'this.#untilMs = this.#world.nowMs() + 1_000 * tierRestMs',
  ],
  [
    'full drive: a block whose write failed counts as stored',
    'tiers/disk.ts',
    'const isWritten = failure === null ||',
    'const isWritten = failure !== undefined ||',
  ],
])

const scrub = checksOf('test/unit/store-scrub.test.ts', [
  [
    'scrub: damage is found and left',
    'tiers/scrub.ts',
    "if (result?.as === 'damaged') dropDamaged(this.#parts, this.#disk, identity, result.why)",
    '',
  ],
  [
    'scrub: as fast as the drive',
    'tiers/scrub.ts',
    'restMs: Math.ceil((payloadBytes / scrubBytesPerSecond) * 1_000)',
    'restMs: 1',
  ],
  [
    'scrub: beside the copies of engines',
    'tiers/scrub.ts',
    'key !== undefined && this.#parts.runner.inFlight() > 0',
    'key === undefined',
  ],
  ['scrub: goes on after close', 'tiers/scrub.ts', '    if (this.#stopped) return\n', ''],
  ['scrub: does not wait for its read at close', 'tiers/scrub.ts', '    await this.#work\n', ''],
  [
    'scrub: a block that was not read is passed over',
    'tiers/scrub.ts',
    "if (verified.as === 'done') this.#walk.pop()",
    'this.#walk.pop()',
  ],
  [
    'scrub: a copy that left while it was read is damage',
    'tiers/disk.ts',
    "if (why !== null && !isIndexed) return { as: 'missing' }",
    '',
  ],
])

const s3 = [
  ...checksOf('test/unit/s3-stream.test.ts', [
    [
      's3: a chunk that comes after the end lands in memory',
      'tiers/s3/stream.ts',
      'if (pace.signal.aborted || !(chunk instanceof Uint8Array)) return',
      'if (!(chunk instanceof Uint8Array)) return',
    ],
    [
      's3: memory is sent after the end of a write',
      'tiers/s3/stream.ts',
      '      if (pace.signal.aborted) return\n',
      '',
    ],
  ]),
  ...checksOf('test/fault/s3-tier.test.ts', [
    [
      's3: a read that ended goes on listening',
      'tiers/s3/bucket.ts',
      'const answer = await this.#client.send(command, { abortSignal: pace.signal })\n      const fetched',
      'const answer = await this.#client.send(command)\n      const fetched',
    ],
    [
      's3: a write that ended goes on sending',
      'tiers/s3/bucket.ts',
      'const answer = await this.#client.send(command, { abortSignal: pace.signal })\n      return { checksumEchoed',
      'const answer = await this.#client.send(command)\n      return { checksumEchoed',
    ],
    [
      's3: a listing that ended goes on',
      'tiers/s3/bucket.ts',
      'const answer = await this.#client.send(command, { abortSignal: pace.signal })\n      return {\n',
      'const answer = await this.#client.send(command)\n      return {\n',
    ],
  ]),
]

export const daemonChecks = [...admin, ...server, ...nats, ...start, ...full, ...scrub, ...s3]
