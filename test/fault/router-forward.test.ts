import { connect } from 'node:net'
import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { engineQueueMax } from '../../tiers/block/limits.ts'
import { type MockEngine, startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, seriesIn, servingCount, startRouter, until } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

const ask = { model: 'mock', messages: [{ role: 'user' as const, content: 'hello' }] }

/** Two engines and a router in front; `engines[0]` and `[1]` are named a and b. */
async function pair(
  t: Test,
  words: readonly string[] = [],
): Promise<{ readonly a: MockEngine; readonly b: MockEngine; readonly router: RouterProcess }> {
  const a = await startMockEngine('a')
  const b = await startMockEngine('b')
  const router = await startRouter([a, b], ['--allow-worker-choice', ...words])
  t.teardown(async () => {
    await router.stop('SIGKILL')
    await Promise.all([a.close(), b.close()])
  })
  return { a, b, router }
}

void t.test('a client that goes away frees the worker within a second', async (t) => {
  const { a, router } = await pair(t)
  a.settings = { ...a.settings, words: 10_000, wordMs: 20 }
  const leave = new AbortController()
  const answer = await post(router, { ...ask, stream: true }, { 'x-terrace-worker': 'a' }, leave.signal)
  await answer.body?.getReader().read()
  t.equal(a.active, 1)
  leave.abort()
  await until(() => a.aborted === 1, 'the stream was aborted', 1_000)

  a.settings = { ...a.settings, firstMs: 30_000 }
  const early = new AbortController()
  const waiting = post(router, ask, { 'x-terrace-worker': 'a' }, early.signal).catch(() => null)
  await until(() => a.active === 1, 'the request arrived')
  early.abort()
  await waiting
  await until(() => a.aborted === 2, 'aborted before its first byte', 1_000)
  await until(
    async () => (await metric(router, 'terrace_router_cut_total{why="client_gone"}')) === 2,
    'counted',
  )
})

void t.test('a worker lost before the first byte: another one answers, and nobody notices', async (t) => {
  const { a, b, router } = await pair(t)
  for (const broken of [a, b]) {
    broken.settings = { ...broken.settings, breakAfterWords: 0 }
    for (let i = 0; i < 4; i++) {
      const answer = await post(router, { ...ask, stream: i % 2 === 0 })
      t.equal(answer.status, 200)
      t.not(answer.headers.get('x-terrace-worker'), broken.name)
      await answer.text()
    }
    broken.settings = { ...broken.settings, breakAfterWords: null }
    await until(async () => (await servingCount(router)) === 2, 'both serve again')
  }
})

void t.test('a request that loses its workers is not tried on all of them', async (t) => {
  const { a, b, router } = await pair(t)
  const c = await startMockEngine('c')
  t.teardown(() => c.close())
  await fetch(`${router.adminUrl}/workers`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'c', url: c.url }),
  })
  await until(async () => (await servingCount(router)) === 3, 'three serve')
  for (const engine of [a, b, c]) engine.settings = { ...engine.settings, breakAfterWords: 0 }
  const answer = await post(router, ask)
  t.equal(answer.status, 502)
  t.match(await answer.json(), { error: { code: 'worker_lost' } })
  t.equal(a.seen.length + b.seen.length + c.seen.length, 2)
  const out = async (): Promise<boolean> => {
    await (await post(router, ask, { 'x-terrace-worker': 'a' })).text()
    return (await metric(router, 'terrace_router_worker_changes_total{worker="a",to="out"}')) > 0
  }
  await until(out, 'failed requests alone put a worker out, although its health is good')
})

void t.test('the header comes together with the first event, in one piece', async (t) => {
  const { a, router } = await pair(t)
  a.settings = { ...a.settings, firstMs: 60, wordMs: 60 }
  const body = JSON.stringify({ ...ask, stream: true })
  const first = await new Promise<string>((resolve) => {
    const socket = connect(router.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.once('data', (chunk) => resolve(String(chunk)))
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-terrace-worker: a\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    )
  })
  t.match(first, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n[0-9a-f]+\r\ndata: \{.*"w0 "/)
})

void t.test('a worker that refuses connections is out at once and back after one good look', async (t) => {
  const { a, b, router } = await pair(t)
  const port = Number(new URL(a.url).port)
  await a.close()
  for (let i = 0; i < 4; i++) {
    const answer = await post(router, ask)
    t.equal(answer.headers.get('x-terrace-worker'), 'b')
    await answer.text()
  }
  await until(async () => (await servingCount(router)) === 1, 'a is out')
  const chosen = await post(router, ask, { 'x-terrace-worker': 'a' })
  t.equal(chosen.status, 503)
  t.ok(chosen.headers.get('retry-after'))
  await b.close()
  await until(async () => (await servingCount(router)) === 0, 'both are out')
  const none = await post(router, ask)
  t.equal(none.status, 503)
  t.match(await none.json(), { error: { code: 'no_worker' } })
  t.equal((await fetch(`${router.url}/health`)).status, 503)
  const back = await startMockEngine('a', {}, port)
  t.teardown(() => back.close())
  await until(async () => (await servingCount(router)) === 1, 'a is back')
  t.equal((await post(router, ask)).status, 200)
})

void t.test(
  'busy workers: the next one is asked; when all are busy their own refusal is passed on',
  async (t) => {
    const { a, b, router } = await pair(t)
    a.settings = { ...a.settings, status: 503 }
    for (let i = 0; i < 4; i++) {
      const answer = await post(router, ask)
      t.equal(answer.status, 200)
      t.equal(answer.headers.get('x-terrace-worker'), 'b')
      await answer.text()
    }
    b.settings = { ...b.settings, status: 503 }
    const busy = await post(router, ask)
    t.equal(busy.status, 503)
    t.ok(busy.headers.get('retry-after'))
    t.equal(await busy.text(), a.settings.statusBody)
    t.equal(await servingCount(router), 2, 'busy is not out')
  },
)

void t.test(
  'a worker lost in the middle: an error event where an event ends, else a broken connection',
  async (t) => {
    const { a, b, router } = await pair(t)
    for (const engine of [a, b]) engine.settings = { ...engine.settings, breakAfterWords: 2, wordMs: 1 }
    const client = new OpenAI({ baseURL: `${router.url}/v1`, apiKey: 'unused', maxRetries: 0 })
    const words: string[] = []
    await t.rejects(
      async () => {
        for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
          words.push(chunk.choices[0]?.delta.content ?? '')
        }
      },
      { message: /worker was lost/ },
    )
    t.same(words, ['w0 ', 'w1 '])
    const messages = await post(router, { ...ask, stream: true }, {}, null, '/v1/messages')
    t.match(await messages.text(), /event: error\ndata: \{"type":"error","error":\{"type":"api_error"/)
    await until(async () => (await servingCount(router)) === 2, 'both serve')
    for (const engine of [a, b]) engine.settings = { ...engine.settings, breakInside: true }
    const inside = await post(router, { ...ask, stream: true })
    await t.rejects(inside.text(), 'no client can take it for a whole answer')
    t.ok((await metric(router, 'terrace_router_cut_total{why="worker_lost"}')) >= 3)
  },
)

void t.test(
  'deadlines: a late first byte is 504, a stall inside is an error event, and the worker is freed',
  async (t) => {
    const { a, b, router } = await pair(t, ['--first-byte-ms', '900ms', '--stall-ms', '300ms'])
    for (const engine of [a, b]) engine.settings = { ...engine.settings, firstMs: 20_000 }
    const late = await post(router, { ...ask, stream: true })
    t.equal(late.status, 504)
    t.match(await late.json(), { error: { code: 'first_byte_late' } })
    for (const engine of [a, b]) engine.settings = { ...engine.settings, firstMs: 0, wordMs: 20_000 }
    const stalled = await post(router, { ...ask, stream: true })
    t.equal(stalled.status, 200)
    t.match(await stalled.text(), /"code":"stalled"/)
    await until(() => a.active + b.active === 0, 'the workers are free')
    t.equal(await servingCount(router), 2)
  },
)

void t.test('a client that does not read: nothing piles up, and after a while it is cut', async (t) => {
  const { a, router } = await pair(t, ['--stall-ms', '700ms'])
  a.settings = { ...a.settings, words: 200_000 }
  const body = JSON.stringify({ ...ask, stream: true })
  const socket = connect(router.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-terrace-worker: a\r\ncontent-type: application/json\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  )
  await until(async () => (await metric(router, 'terrace_router_cut_total{why="slow_client"}')) === 1, 'cut')
  await until(() => a.active === 0, 'the worker is free')
})

void t.test(
  'stopping: streams under way end, new requests are refused, and it is over within 3 s',
  async (t) => {
    const { a, router } = await pair(t)
    a.settings = { ...a.settings, words: 10, wordMs: 50 }
    const short = await post(router, { ...ask, stream: true }, { 'x-terrace-worker': 'a' })
    const stopped = router.stop('SIGTERM')
    t.match(await short.text(), /\[DONE\]/, 'a short stream comes to its end')
    t.equal(await stopped, 0)

    const { a: c, router: other } = await pair(t)
    c.settings = { ...c.settings, words: 10_000, wordMs: 20 }
    const long = await post(other, { ...ask, stream: true }, { 'x-terrace-worker': 'a' })
    const start = performance.now()
    const code = other.stop('SIGINT')
    t.match(await long.text(), /"code":"stopping"/, 'a long one is told')
    t.equal(await code, 0)
    t.ok(performance.now() - start < 3_000, 'within what a stop may take')
  },
)

void t.test('a second signal ends at once, and a parent that is gone ends it too', async (t) => {
  const { a, router } = await pair(t)
  a.settings = { ...a.settings, words: 10_000, wordMs: 20 }
  const long = await post(router, { ...ask, stream: true }, { 'x-terrace-worker': 'a' })
  router.child.kill('SIGINT')
  await until(() => router.output().includes('stopping'), 'it is stopping')
  t.equal(await router.stop('SIGINT'), 130)
  await t.rejects(long.text())

  const { router: orphan } = await pair(t)
  orphan.child.stdin?.end()
  await until(() => orphan.child.exitCode === 0, 'it stopped')
})

function post(
  router: RouterProcess,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  signal: AbortSignal | null = null,
  path = '/v1/chat/completions',
): Promise<Response> {
  return fetch(`${router.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal,
  })
}

async function metric(router: RouterProcess, series: string): Promise<number> {
  return seriesIn(await (await fetch(`${router.url}/metrics`)).text(), series)
}

void t.test('workers at their limit: 503 and when to come back, and room again afterwards', async (t) => {
  const { a, router } = await pair(t)
  a.settings = { ...a.settings, firstMs: 4_000 }
  const choice = { 'x-terrace-worker': 'a' }
  const many = Array.from({ length: engineQueueMax }, () => post(router, ask, choice))
  await until(() => a.active === engineQueueMax, 'as many as it may have')
  const over = await post(router, ask, choice)
  t.equal(over.status, 503)
  t.ok(over.headers.get('retry-after'))
  t.match(await over.json(), { error: { code: 'all_busy' } })
  for (const answer of await Promise.all(many)) t.equal(answer.status, 200)
  a.settings = { ...a.settings, firstMs: 0 }
  t.equal((await post(router, ask, choice)).status, 200)
})
