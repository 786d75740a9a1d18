import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { realWorld, type World } from '../../tiers/block/clock.ts'
import { KvFailure } from '../../tiers/block/failures.ts'
import {
  heartbeatMs,
  heartbeatsMissedMax,
  sessionAsksMax,
  sessionRegionsMax,
  sessionsMax,
} from '../../tiers/block/limits.ts'
import { encodeAsk, wireVersion } from '../../tiers/block/wire.ts'
import { startEngineServer } from '../servers/engine-server.ts'
import { helloFrom, smallNamespace, smallPlace, tokensOf, WirePeer } from '../servers/wire-peer.ts'

type Parts = Awaited<ReturnType<typeof startEngineServer>>

/** Paths of sockets are short; those of `t.testdir` are not. */
function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'terrace-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

async function started(t: Test, options: Parameters<typeof startEngineServer>[1] = {}): Promise<Parts> {
  const parts = await startEngineServer(folder(t), options)
  t.teardown(() => parts.stop())
  return parts
}

async function withRegion(parts: Parts, peer: WirePeer, byteCount = 64 * 1_024) {
  const { namespace } = await peer.value('openNamespace', smallNamespace())
  const token = parts.handIn(byteCount)
  const { region } = await peer.value('attachRegion', { kind: 'shared', byteCount, writable: 1, token })
  return { namespace, region, place: smallPlace(64) }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await sleep(5)
  }
  throw new Error(`never happened: ${what}`)
}

void t.test('the socket belongs to its user alone, and is gone after the stop', async (t) => {
  const parts = await startEngineServer(folder(t))
  t.equal(statSync(parts.socket).mode & 0o777, 0o600)
  await parts.stop()
  t.notOk(existsSync(parts.socket))
})

void t.test('store, look up, load, name: ranges and counts', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  const tokens = tokensOf(42)
  const range = { namespace, tokens, firstBlock: 0, blockCount: 10, region, place }
  const none = new Uint32Array(0)
  t.match(await peer.value('store', { ...range, sources: none, answerTokens: 0 }), {
    storedBlocks: 10,
    drop: 'none',
  })
  t.match(await peer.value('store', { ...range, sources: none, answerTokens: 0 }), {
    storedBlocks: 0,
    alreadyBlocks: 10,
  })
  t.match(await peer.value('lookup', { namespace, tokens }), { readyBlocks: 10, byTier: { host: 10 } })
  const targets = Uint32Array.of(9, 3, 5)
  const load = { ...range, firstBlock: 2, blockCount: 3, targets, deadlineMs: 0, prefillMsPerBlock: 1 }
  t.match(await peer.value('load', load), { readyBlocks: 3, stop: 'complete', knownBlocks: 10 })
  t.strictSame([...(parts.store.loads[0]?.into.indexes ?? [])], [9, 3, 5])
  const names = await peer.value('name', { namespace, tokens })
  t.equal(names.hashes.length, 10)
  t.equal(names.blockTokens, 4)
  t.equal(parts.meter.valueOf('terrace_possible_blocks_total', { tenant: 'default' }), 3)
  t.equal(parts.meter.valueOf('terrace_tenant_load_wanted_blocks_total', { tenant: 'default' }), 3)
  await peer.close()
})

void t.test('what an engine says wrongly is refused by code, and the session goes on', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  const none = new Uint32Array(0)
  const store = {
    namespace,
    tokens: tokensOf(8),
    firstBlock: 0,
    blockCount: 2,
    region,
    place,
    sources: none,
    answerTokens: 0,
  }
  const { sources: _sources, ...range } = store
  const load = { ...range, targets: none, deadlineMs: 100, prefillMsPerBlock: 0 }
  const far = { planes: [...place.planes.slice(1), { baseOffset: 2 ** 40, layerStride: 0, blockStride: 1 }] }
  t.match(await peer.refusal('store', { ...store, namespace: 9 }), /KVT_NAMESPACE_UNKNOWN: namespace 9/)
  t.match(await peer.refusal('store', { ...store, region: 9 }), /KVT_REGION_UNKNOWN: region 9/)
  t.match(await peer.refusal('store', { ...store, blockCount: 0 }), /KVT_PLACE_BAD.*blockCount must be/)
  t.match(await peer.refusal('store', { ...store, blockCount: 3 }), /KVT_PLACE_BAD.*past the 2 whole blocks/)
  t.match(await peer.refusal('store', { ...store, firstBlock: 2 ** 32 - 1 }), /KVT_PLACE_BAD.*past/)
  t.match(
    await peer.refusal('store', { ...store, sources: tokensOf(1), answerTokens: 0 }),
    /KVT_PLACE_BAD.*entries/,
  )
  t.match(await peer.refusal('store', { ...store, sources: tokensOf(2, 63) }), /KVT_PLACE_BAD.*outside/)
  t.match(await peer.refusal('store', { ...store, place: far }), /KVT_PLACE_BAD.*outside the region/)
  t.match(await peer.refusal('store', { ...store, place: { planes: [] } }), /KVT_PLACE_BAD.*match/)
  t.match(await peer.refusal('load', { ...load, targets: Uint32Array.of(3, 3) }), /KVT_PLACE_BAD.*twice/)
  const ns = smallNamespace()
  t.match(await peer.refusal('openNamespace', { ...ns, tenant: '' }), /KVT_NAMESPACE_BAD.*tenant/)
  t.match(await peer.refusal('openNamespace', { ...ns, rankIndex: 1 }), /KVT_NAMESPACE_BAD.*rank/)
  const tiny = { ...ns.layout, planes: [{ name: 'k', layerCount: 1, pieceBytes: 8 }] }
  t.match(await peer.refusal('openNamespace', { ...ns, layout: tiny }), /KVT_NAMESPACE_BAD.*8 bytes/)
  const report = {
    namespace,
    promptTokens: 10,
    computedTokens: 0,
    tokensByTier: { hbm: 6, host: 5, nvme: 0, s3: 0 },
    firstTokenMs: 1,
    prefillMsPerBlock: 1,
  }
  t.match(await peer.refusal('report', report), /KVT_WIRE_MALFORMED/)
  t.same(await peer.value('ping', {}), {}, 'the session is alive')
  t.equal(parts.store.stores.length, 0, 'nothing reached the store')
  await peer.close()
})

void t.test('GPU memory that opens after its engine has left goes back', async (t) => {
  const opening = Promise.withResolvers<number>()
  const asked = Promise.withResolvers<void>()
  const openParts = () => {
    asked.resolve()
    return opening.promise
  }
  const parts = await started(t, { native: { openParts } })
  const peer = await WirePeer.attached(parts.socket)
  const wanted = { kind: 'device', byteCount: 4_096, writable: 1, token: parts.handIn(4_096) } as const
  peer.ask('attachRegion', wanted).catch(() => undefined)
  await asked.promise
  await peer.close()
  await until('the session has ended', () => /session_ended/.test(parts.lines.join()))
  opening.resolve(7)
  await until('it was given back', () => parts.store.devices.size === 0 && parts.store.gaveBack.has(7))
})

void t.test('regions: by token only, of the size said, bounded in number', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const wanted = { kind: 'shared', byteCount: 4_096, writable: 1, token: parts.handIn(4_096) } as const
  const wrongToken = { ...wanted, token: new Uint8Array(16) }
  t.match(await peer.refusal('attachRegion', wrongToken), /KVT_REGION_BAD.*no descriptor/)
  t.match(await peer.refusal('attachRegion', { ...wanted, kind: 'pool' }), /KVT_REGION_BAD.*"pool"/)
  const onDevice = { ...wanted, kind: 'device', token: parts.handIn(4_096) } as const
  t.match(await peer.refusal('attachRegion', onDevice), /KVT_REGION_BAD.*no GPU here/)
  t.match(await peer.refusal('attachRegion', { ...wanted, byteCount: 0 }), /KVT_REGION_BAD.*byteCount/)
  const longer = { ...wanted, byteCount: 8_192, token: parts.handIn(4_096) }
  t.match(await peer.refusal('attachRegion', longer), /KVT_REGION_BAD.*shorter/)
  const { region } = await peer.value('attachRegion', wanted)
  t.match(await peer.refusal('attachRegion', wanted), /KVT_REGION_BAD/, 'a token is good once')
  await peer.value('detachRegion', { region })
  t.equal(parts.store.regions.size, 0)
  t.match(await peer.refusal('detachRegion', { region }), /KVT_REGION_UNKNOWN/)
  for (let i = 0; i < sessionRegionsMax; i++) {
    await peer.value('attachRegion', { ...wanted, byteCount: 16, token: parts.handIn(16) })
  }
  const oneMore = { ...wanted, byteCount: 16, token: parts.handIn(16) }
  t.match(await peer.refusal('attachRegion', oneMore), /KVT_TOO_MANY: too many regions/)
  await peer.close()
})

void t.test('a read-only region is stored from, not loaded into', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace } = await peer.value('openNamespace', smallNamespace())
  const token = parts.handIn(65_536)
  const { region } = await peer.value('attachRegion', {
    kind: 'shared',
    byteCount: 65_536,
    writable: 0,
    token,
  })
  const range = {
    namespace,
    tokens: tokensOf(4),
    firstBlock: 0,
    blockCount: 1,
    region,
    place: smallPlace(64),
  }
  const none = new Uint32Array(0)
  t.match(await peer.value('store', { ...range, sources: none, answerTokens: 0 }), { storedBlocks: 1 })
  const load = { ...range, targets: none, deadlineMs: 100, prefillMsPerBlock: 0 }
  t.match(await peer.refusal('load', load), /KVT_REGION_BAD.*read-only/)
  await peer.close()
})

void t.test('hello comes first, once, in our version', async (t) => {
  const parts = await started(t)
  const early = await WirePeer.open(parts.socket)
  t.match(await early.refusal('ping', {}), /KVT_WIRE_ORDER: message ping came before hello/)
  await early.closed
  const old = await WirePeer.open(parts.socket)
  const hello = helloFrom('w')
  t.match(
    await old.refusal('hello', { ...hello, version: wireVersion + 1 }),
    /KVT_WIRE_VERSION: the daemon speaks wire version 1, the engine 2/,
  )
  await old.closed
  const twice = await WirePeer.attached(parts.socket)
  t.match(await twice.refusal('hello', hello), /KVT_WIRE_MALFORMED.*hello came twice/)
  await twice.closed
  t.equal(parts.server.sessions().length, 0)
})

void t.test('who says nothing is not waited for', async (t) => {
  const parts = await started(t)
  const silent = await WirePeer.open(parts.socket)
  await silent.closed
  t.equal(parts.meter.valueOf('terrace_peers_refused_total', { why: 'silent' }), 1)
})

void t.test('an engine that falls silent loses its session; one that pings does not', async (t) => {
  let lateMs = 0
  const nowMs = () => realWorld.nowMs() + lateMs
  // Looks come at once; how much time has passed is ours to say.
  const after: World['after'] = (_ms, run) => realWorld.after(5, run)
  const parts = await started(t, { world: { ...realWorld, nowMs, after } })
  const silent = await WirePeer.attached(parts.socket, 'silent')
  const alive = await WirePeer.attached(parts.socket, 'alive')
  await silent.value('openNamespace', smallNamespace())
  // In the middle of a frame is silence too.
  silent.socket.write(Buffer.from([50, 0, 0, 0]))
  for (let beat = 0; beat < heartbeatsMissedMax + 2; beat++) {
    lateMs += heartbeatMs
    await alive.value('ping', {})
  }
  await silent.closed
  t.strictSame(
    parts.server.sessions().map(({ worker }) => worker),
    ['alive'],
  )
  t.equal(parts.meter.valueOf('terrace_sessions_ended_total', { why: 'silent' }), 1)
  await alive.close()
})

void t.test('malformed and oversized frames end the connection with a code', async (t) => {
  const parts = await started(t)
  const large = await WirePeer.open(parts.socket)
  const frame = Buffer.from(encodeAsk('hello', 1, helloFrom('w')))
  frame.writeUInt32LE(100_000, 0)
  large.socket.write(frame)
  await large.closed
  t.match(
    large.strays[0],
    { as: 'error', error: { code: 'KVT_WIRE_MALFORMED' } },
    'before hello, 8 KiB at most',
  )
  const huge = await WirePeer.attached(parts.socket)
  const header = Buffer.alloc(12)
  header.writeUInt32LE(2 ** 31, 0)
  huge.socket.write(header)
  await huge.closed
  t.match(huge.strays[0], { as: 'error', error: { code: 'KVT_WIRE_MALFORMED' } })
  t.equal(parts.meter.valueOf('terrace_frames_malformed_total'), 2)
  const fine = await WirePeer.attached(parts.socket)
  await fine.close()
})

void t.test('a peer of another user is refused', async (t) => {
  const parts = await started(t, { native: { peerOf: () => Int32Array.of(1, 12_345, 1) } })
  const peer = await WirePeer.open(parts.socket)
  await peer.closed
  t.match(peer.strays[0], { as: 'error', error: { code: 'KVT_PEER_REFUSED' } })
  t.equal(parts.meter.valueOf('terrace_peers_refused_total', { why: 'user' }), 1)
})

void t.test('asks at once are bounded; answers still come for the others', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  let open = (): void => undefined
  parts.store.gate = new Promise((resolve) => {
    open = resolve
  })
  const ask = { namespace, tokens: tokensOf(4), firstBlock: 0, blockCount: 1, region, place }
  const sources = new Uint32Array(0)
  const answers = Array.from({ length: sessionAsksMax + 5 }, () =>
    peer.ask('store', { ...ask, sources, answerTokens: 0 }),
  )
  t.match(await answers[sessionAsksMax], { as: 'error', error: { code: 'KVT_TOO_MANY' } })
  t.equal(parts.server.sessions()[0]?.asksInFlight, sessionAsksMax)
  open()
  t.match(await answers[0], { as: 'value' })
  await Promise.all(answers)
  await peer.close()
})

void t.test('a session that ends gives everything back once its copies have ended', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  await peer.value('held', { namespace, prefixes: [tokensOf(16)] })
  t.equal(parts.heldBlocks.blockCount(), 4)
  let end = (): void => undefined
  parts.store.gate = new Promise((resolve) => {
    end = resolve
  })
  const ask = { namespace, tokens: tokensOf(4), firstBlock: 0, blockCount: 1, region, place }
  void peer.ask('store', { ...ask, sources: new Uint32Array(0), answerTokens: 0 })
  await until('the store has the ask', () => parts.store.stores.length === 1)
  await peer.close()
  await until('the session is over', () => parts.server.sessions().length === 0)
  t.equal(parts.heldBlocks.blockCount(), 0, 'what it held is withdrawn at once')
  t.equal(parts.store.regions.size, 1, 'a copy still runs on the region')
  end()
  await until('the region is given back', () => parts.store.regions.size === 0)
  t.equal(parts.meter.valueOf('terrace_sessions_ended_total', { why: 'closed' }), 1)
})

void t.test('an unexpected failure is one failed ask, told to whoever watches', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  const range = { namespace, tokens: tokensOf(4), firstBlock: 0, blockCount: 1, region, place }
  const load = { ...range, targets: new Uint32Array(0), deadlineMs: 100, prefillMsPerBlock: 0 }
  parts.store.failure = new Error('boom with CANARY inside')
  const says = await peer.refusal('load', load)
  t.match(says, /KVT_INTERNAL: the daemon failed while it answered load/)
  t.notMatch(says, /CANARY/)
  t.equal(parts.broken.length, 1)
  parts.store.failure = new KvFailure('KVT_STOPPING', {})
  t.match(await peer.refusal('load', load), /KVT_STOPPING/)
  t.equal(parts.broken.length, 1, 'an expected one is not told')
  await peer.close()
})

void t.test('a reader that does not read is cut, others are served', async (t) => {
  const parts = await started(t)
  const slow = await WirePeer.attached(parts.socket)
  const { namespace } = await slow.value('openNamespace', smallNamespace())
  slow.socket.pause()
  const frame = encodeAsk('name', 7, { namespace, tokens: tokensOf(200_000) })
  for (let i = 0; i < 60 && parts.server.sessions().length > 0; i++) {
    slow.socket.write(frame)
    await sleep(5)
  }
  await until('it was cut', () => parts.server.sessions().length === 0)
  t.equal(parts.meter.valueOf('terrace_sessions_ended_total', { why: 'slow_reader' }), 1)
  slow.socket.destroy()
  const other = await WirePeer.attached(parts.socket)
  await other.close()
})

void t.test('sessions are bounded', async (t) => {
  const parts = await started(t)
  const peers = await Promise.all(Array.from({ length: sessionsMax }, () => WirePeer.attached(parts.socket)))
  const oneMore = await WirePeer.open(parts.socket)
  await oneMore.closed
  t.match(oneMore.strays[0], { as: 'error', error: { code: 'KVT_TOO_MANY' } })
  await Promise.all(peers.map((peer) => peer.close()))
  await until('room again', () => parts.server.sessions().length === 0)
  const again = await WirePeer.attached(parts.socket)
  await again.close()
})

void t.test('draining: no new sessions, no new blocks; loads go on', async (t) => {
  const parts = await started(t)
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  const range = { namespace, tokens: tokensOf(8), firstBlock: 0, blockCount: 1, region, place }
  const none = new Uint32Array(0)
  await peer.value('store', { ...range, sources: none, answerTokens: 0 })
  parts.server.drain()
  const late = { ...range, firstBlock: 1, sources: none, answerTokens: 0 }
  t.match(await peer.value('store', late), { storedBlocks: 0, droppedBlocks: 1, drop: 'stopping' })
  const load = { ...range, targets: none, deadlineMs: 100, prefillMsPerBlock: 0 }
  t.match(await peer.value('load', load), { readyBlocks: 1 })
  const other = await WirePeer.open(parts.socket)
  t.match(await other.refusal('hello', helloFrom('late')), /KVT_STOPPING/)
  await peer.close()
})

void t.test('a stop answers what is in flight, then ends', async (t) => {
  const parts = await startEngineServer(folder(t))
  const peer = await WirePeer.attached(parts.socket)
  const { namespace, region, place } = await withRegion(parts, peer)
  let end = (): void => undefined
  parts.store.gate = new Promise((resolve) => {
    end = resolve
  })
  const range = { namespace, tokens: tokensOf(4), firstBlock: 0, blockCount: 1, region, place }
  const answer = peer.ask('store', { ...range, sources: new Uint32Array(0), answerTokens: 0 })
  await until('the store has the ask', () => parts.store.stores.length === 1)
  const stopped = parts.stop()
  await sleep(30)
  end()
  t.match(await answer, { as: 'value', value: { storedBlocks: 1 } })
  await stopped
  await peer.closed
  t.equal(parts.store.regions.size, 0)
})

void t.test('the socket of a dead daemon is replaced, a living one and other files are not', async (t) => {
  const directory = folder(t)
  const parts = await startEngineServer(directory)
  await t.rejects(startEngineServer(directory), { code: 'KVT_SOCKET_BAD', message: /listens on it/ })
  await parts.stop()
  const path = join(directory, 'daemon.sock')
  const listener = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`
  t.equal(spawnSync(process.execPath, ['-e', listener]).signal, 'SIGKILL')
  t.ok(existsSync(path), 'it left its socket behind')
  await (await startEngineServer(directory)).stop()
  writeFileSync(path, 'mine')
  await t.rejects(startEngineServer(directory), { code: 'KVT_SOCKET_BAD', message: /another file/ })
})
