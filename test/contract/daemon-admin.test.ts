import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Admin, openAdmin } from '../../daemon/admin.ts'
import { EventStreams } from '../../daemon/event-stream.ts'
import { statusOf } from '../../daemon/status.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { decodeBatch, decodeSnapshot } from '../../tiers/block/event.ts'
import { eventReadersMax } from '../../tiers/block/limits.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { startEngineServer } from '../servers/engine-server.ts'
import { smallNamespace, smallPlace, tokensOf, WirePeer } from '../servers/wire-peer.ts'

async function started(t: Test, port = 0) {
  const parts = await startEngineServer(shortFolder(t))
  const { server, store, publisher, heldBlocks, links, meter, socket } = parts
  const streams = new EventStreams(realWorld, publisher, meter)
  const sources = { world: realWorld, server, store, publisher, heldBlocks, links, meter, socket }
  const names = { node: 'node-1', data: '/d', readySinceMs: realWorld.nowMs(), nats: () => 'off' as const }
  const status = () => statusOf({ ...sources, ...names })
  const log = { info: () => undefined, warn: () => undefined }
  const meters = [meter]
  t.teardown(() => parts.stop())
  const wanted = {
    port,
    server,
    store,
    publisher,
    streams,
    meters,
    refreshGauges: () => undefined,
    status,
    log,
  }
  const admin: Admin = await openAdmin(wanted)
  t.teardown(async () => {
    streams.stop()
    await admin.stop()
  })
  return { ...parts, admin, url: `http://127.0.0.1:${admin.port}` }
}

type Message = { readonly event: string; readonly data: string }

/** An open event stream: its messages so far. */
async function follow(url: string) {
  const stop = new AbortController()
  const answer = await fetch(url, { signal: stop.signal })
  const messages: Message[] = []
  let comments = 0
  const ended = (async () => {
    let rest = ''
    for await (const chunk of answer.body ?? []) {
      rest += Buffer.from(chunk).toString()
      for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
        const lines = rest.slice(0, end).split('\n')
        rest = rest.slice(end + 2)
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
        const data = field('data')
        if (data === undefined) comments += 1
        else messages.push({ event: field('event') ?? '', data })
      }
    }
  })().catch(() => undefined)
  return {
    status: answer.status,
    messages,
    comments: () => comments,
    async until(count: number): Promise<void> {
      for (let i = 0; i < 400 && messages.length < count; i++) await sleep(5)
      if (messages.length < count) throw new Error(`only ${messages.length} of ${count} messages came`)
    },
    async stop(): Promise<void> {
      stop.abort()
      await ended
    },
  }
}

async function engineWithBlocks(parts: Awaited<ReturnType<typeof started>>) {
  const peer = await WirePeer.attached(parts.socket)
  const { namespace } = await peer.value('openNamespace', smallNamespace())
  const byteCount = 65_536
  const token = parts.handIn(byteCount)
  const { region } = await peer.value('attachRegion', { kind: 'shared', byteCount, writable: 1, token })
  const place = smallPlace(64)
  let next = 0
  return {
    peer,
    /** Stores one more block, and waits for its batch. */
    async store(): Promise<void> {
      const range = { namespace, region, place, firstBlock: 0, blockCount: 1 }
      const { sequence } = parts.publisher
      await peer.value('store', {
        ...range,
        tokens: tokensOf(4, 100 * next++),
        sources: new Uint32Array(0),
        answerTokens: 0,
      })
      for (let i = 0; i < 400 && parts.publisher.sequence === sequence; i++) await sleep(1)
    },
  }
}

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let said = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('data', (data) => {
      said += String(data)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(said))
  })
}

void t.test('health, metrics, status, explain', async (t) => {
  const parts = await started(t)
  const engine = await engineWithBlocks(parts)
  await engine.store()
  const health = await fetch(`${parts.url}/health`)
  t.equal(health.status, 200)
  t.strictSame(await health.json(), { state: 'serving' })
  const metrics = await (await fetch(`${parts.url}/metrics`)).text()
  t.match(metrics, /^terrace_asks_total\{message="store"\} 1$/m)
  t.match(metrics, /^# TYPE terrace_ask_seconds histogram$/m)
  t.match(await (await fetch(`${parts.url}/status`)).json(), {
    state: 'serving',
    tiers: { host: { blockCount: 1 } },
    sessions: [{ worker: 'worker-1', namespaces: [{ model: 'model-1', blockBytes: 1_024 }] }],
  })
  t.match(await (await fetch(`${parts.url}/explain`)).json(), { findings: [{ finding: 'never_asked' }] })
  await engine.peer.close()
})

void t.test('only this machine by its own name; orders from no web page', async (t) => {
  const { url, admin, store } = await started(t)
  store.stored.add('x')
  const asHost = (host: string): Promise<number> =>
    new Promise((resolve) => {
      const options = { port: admin.port, host: '127.0.0.1', path: '/status', headers: { host } }
      request(options, (answer) => resolve(answer.resume().statusCode ?? 0)).end()
    })
  t.equal(await asHost('evil.example'), 403)
  t.equal(await asHost(`localhost.evil.example:${admin.port}`), 403)
  t.equal(await asHost(`localhost:${admin.port}`), 200)
  t.equal(await asHost('[::1]:1'), 200)
  const answer = await fetch(`${url}/status`, { headers: { origin: 'http://evil.example' } })
  t.equal(answer.headers.get('access-control-allow-origin'), null, 'no CORS')
  for (const headers of [{ origin: 'http://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    t.equal((await fetch(`${url}/clear?which=all`, { method: 'POST', headers })).status, 403)
    t.equal((await fetch(`${url}/drain`, { method: 'POST', headers })).status, 403)
  }
  t.equal(store.stored.size, 1, 'nothing was cleared')
})

void t.test('orders: clear and drain', async (t) => {
  const { url, store, server } = await started(t)
  store.stored.add('x')
  const post = (path: string) => fetch(`${url}${path}`, { method: 'POST' })
  t.match(await (await post('/clear')).json(), {
    code: 'KVT_ADMIN_BAD',
    says: 'which: must be host or local or all',
  })
  t.equal((await fetch(`${url}/clear?which=all`)).status, 404, 'not by GET')
  t.equal(store.stored.size, 1)
  store.openNamespace({ ...smallNamespace(), rank: { index: 0, count: 1 } })
  t.strictSame(await (await post('/clear?which=all')).json(), { cleared: 'all' })
  t.equal(store.stored.size, 0)
  t.strictSame(await (await post('/drain')).json(), { state: 'draining' })
  t.equal(server.state, 'draining')
  t.equal((await fetch(`${url}/health`)).status, 503)
})

void t.test('what HTTP has of malformed, large and unknown is refused', async (t) => {
  const { url, admin } = await started(t)
  t.match(await (await fetch(`${url}/nothing`)).json(), { code: 'KVT_ADMIN_BAD', says: /no such path/ })
  const body = 'x'.repeat(5_000)
  t.equal((await fetch(`${url}/drain`, { method: 'POST', body })).status, 413)
  const head = `GET /health HTTP/1.1\r\nHost: localhost\r\n`
  t.match(await raw(admin.port, `${head}X: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1.1 431/)
  t.match(
    await raw(
      admin.port,
      'POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    ),
    /400/,
  )
  t.match(await raw(admin.port, 'rubbish\r\n\r\n'), /^HTTP\/1.1 400/)
  t.equal((await fetch(`${url}/events?from=-1`)).status, 400)
  t.equal((await fetch(`${url}/events?from=1e9`)).status, 400)
  t.equal((await fetch(`${url}/health`)).status, 200)
})

void t.test('an event stream from a number on, without gaps, alive in between', async (t) => {
  const parts = await started(t)
  const engine = await engineWithBlocks(parts)
  await engine.store()
  await engine.store()
  const stream = await follow(`${parts.url}/events?from=1`)
  await stream.until(2)
  await engine.store()
  await stream.until(3)
  t.strictSame(
    stream.messages.map(({ event }) => event),
    ['batch', 'batch', 'batch'],
  )
  const batches = stream.messages.map(({ data }) => decodeBatch(data))
  t.match(batches, [{ value: { sequence: 1 } }, { value: { sequence: 2 } }, { value: { sequence: 3 } }])
  for (let i = 0; i < 300 && stream.comments() === 0; i++) await sleep(10)
  t.ok(stream.comments() > 0, 'a quiet stream has a pulse')
  t.equal(parts.meter.valueOf('terrace_event_readers'), 1)
  await stream.stop()
  for (let i = 0; i < 100 && parts.meter.valueOf('terrace_event_readers') > 0; i++) await sleep(5)
  t.equal(parts.meter.valueOf('terrace_event_readers'), 0)
  await engine.peer.close()
})

void t.test('a gap, another epoch, or no number: a snapshot first, the stream right after it', async (t) => {
  const parts = await started(t)
  const engine = await engineWithBlocks(parts)
  await engine.store()
  for (const query of ['?from=99', '?from=2&epoch=of-an-earlier-start', '']) {
    const stream = await follow(`${parts.url}/events${query}`)
    await stream.until(1)
    t.equal(stream.messages[0]?.event, 'snapshot', query)
    const snapshot = decodeSnapshot(stream.messages[0]?.data ?? '', 1_000)
    if (snapshot.as === 'refused') throw new Error(snapshot.why)
    t.equal(snapshot.value.sequence, parts.publisher.sequence)
    t.equal(snapshot.value.holdings[0]?.blocks.length, parts.store.stored.size)
    await engine.store()
    await stream.until(2)
    const next = decodeBatch(stream.messages[1]?.data ?? '')
    t.match(next, { as: 'value', value: { sequence: snapshot.value.sequence + 1 } })
    await stream.stop()
  }
  const plain = decodeSnapshot(await (await fetch(`${parts.url}/snapshot`)).text(), 1_000)
  t.match(plain, { as: 'value', value: { epoch: 'epoch-1', sequence: parts.publisher.sequence } })
  await engine.peer.close()
})

void t.test('event readers are bounded', async (t) => {
  const parts = await started(t)
  const streams = await Promise.all(
    Array.from({ length: eventReadersMax }, () => follow(`${parts.url}/events`)),
  )
  t.equal((await fetch(`${parts.url}/events`)).status, 503)
  await Promise.all(streams.map((stream) => stream.stop()))
})

void t.test('a slow event reader is cut, the others are not', async (t) => {
  const parts = await started(t)
  const fast = await follow(`${parts.url}/events?from=1`)
  const slow = connect(parts.admin.port, '127.0.0.1')
  const gone = new Promise((resolve) => slow.once('close', resolve))
  slow.on('error', () => undefined)
  slow.write('GET /events?from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await new Promise((resolve) => slow.once('data', resolve))
  slow.pause()
  const holder = { tier: 'host', worker: '', model: 'm', blockTokens: 4, blockBytes: 512 } as const
  const blocks = Array.from({ length: 4_000 }, (_, i) => i.toString(16).padStart(16, '0') as never)
  let sent = 0
  while (parts.meter.valueOf('terrace_event_readers_cut_total') === 0 && sent < 2_000) {
    parts.publisher.publish([{ kind: 'stored', holder, blocks }])
    parts.publisher.flush()
    sent += 1
    await fast.until(sent)
  }
  t.equal(parts.meter.valueOf('terrace_event_readers_cut_total'), 1)
  slow.resume()
  await gone
  t.equal(fast.messages.length, sent)
  await fast.stop()
})

void t.test('a port in use is named with its option', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => holder.once('listening', resolve))
  const address = holder.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await t.rejects(started(t, port), { code: 'KVT_PORT_IN_USE', message: /another with --admin-port/ })
  holder.close()
})
