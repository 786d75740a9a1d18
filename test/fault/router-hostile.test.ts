import { connect } from 'node:net'
import t from 'tap'
import { type MockEngine, startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, startRouter, until } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

const mebibyte = 2 ** 20
let engine: MockEngine
let router: RouterProcess

t.before(async () => {
  engine = await startMockEngine('a')
  router = await startRouter([engine], ['--receive-ms', '1500ms'])
})
t.teardown(async () => {
  await router.stop('SIGKILL')
  await engine.close()
})

/** Sends raw bytes and returns everything that comes back until the connection closes, or a while has passed. */
function raw(bytes: string | Buffer, msMax = 6_000): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(router.port, '127.0.0.1')
    let text = ''
    const timer = setTimeout(() => socket.destroy(), msMax)
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(text)
    })
    socket.write(bytes)
  })
}

function post(body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
}

async function serves(t: { equal: (a: unknown, b: unknown, c: string) => unknown }): Promise<void> {
  t.equal((await post('{"model":"mock"}')).status, 200, 'and the next request is served')
}

void t.test('smuggling forms are refused, and the engine sees nothing of them', async (t) => {
  const before = engine.seen.length
  const line = 'POST /v1/chat/completions HTTP/1.1\r\n'
  const tail = '\r\n\r\n{"model":"mock"}GET /secret HTTP/1.1\r\nhost: x\r\n\r\n'
  const forms = [
    `${line}host: x\r\ncontent-length: 16\r\ntransfer-encoding: chunked${tail}`,
    `${line}host: x\r\ncontent-length: 16\r\ncontent-length: 60${tail}`,
    `${line}host: x\r\ntransfer-encoding : chunked${tail}`,
    `${line}host: x\r\ntransfer-encoding: chunked, identity${tail}`,
    `${line}host: x\r\ntransfer-encoding: xchunked${tail}`,
    `${line}host: x\r\ncontent-length: +16${tail}`,
    `${line}host: x\ncontent-length: 16${tail}`,
    `${line}content-length: 16${tail}`,
    `${line}host: x\r\ncontent-length:\r\n 16${tail}`,
  ]
  for (const [i, form] of forms.entries()) {
    const answer = await raw(form)
    t.match(answer, /^HTTP\/1\.1 400 /, `form ${i}`)
    t.match(answer, /"code":"bad_http"|Bad Request/, `form ${i}`)
  }
  t.equal(engine.seen.length, before)
  await serves(t)
})

void t.test('a chunked body reaches the engine with one plain length', async (t) => {
  const answer = await raw(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n' +
      'transfer-encoding: chunked\r\n\r\n8\r\n{"model"\r\n8\r\n:"mock"}\r\n0\r\n\r\n',
  )
  t.match(answer, /^HTTP\/1\.1 200 /)
  t.equal(engine.seen.at(-1)?.body.toString(), '{"model":"mock"}')
  t.equal(engine.seen.at(-1)?.headers['content-length'], '16')
  t.equal(engine.seen.at(-1)?.headers['transfer-encoding'], undefined)
})

void t.test('header bombs: 431 for large ones and for many', async (t) => {
  t.match(
    await raw(`GET /health HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  )
  const lines = Array.from({ length: 1_500 }, (_, i) => `h${i}: 1`).join('\r\n')
  const many = await raw(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${lines}\r\ncontent-length: 0\r\n\r\n`,
  )
  t.match(many, /^HTTP\/1\.1 431 /)
  await serves(t)
})

void t.test(
  'oversized bodies are refused by their length before they are read, and while they are read',
  async (t) => {
    const declared = await raw(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n` +
        `content-length: ${64 * mebibyte}\r\n\r\n{`,
    )
    t.match(declared, /^HTTP\/1\.1 413 /)
    t.match(declared, /"code":"request_too_large"/)
    const chunk = Buffer.alloc(mebibyte, 0x20)
    const piece = Buffer.concat([Buffer.from(`${mebibyte.toString(16)}\r\n`), chunk, Buffer.from('\r\n')])
    const chunked = await raw(
      Buffer.concat([
        Buffer.from(
          'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
        ),
        ...Array.from({ length: 34 }, () => piece),
      ]),
    )
    t.match(chunked, /^HTTP\/1\.1 413 /)
    await serves(t)
  },
)

void t.test('slow headers and slow bodies are ended with 408', async (t) => {
  t.match(await raw('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n'), /^HTTP\/1\.1 408 /)
  const slow = await raw(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{',
  )
  t.match(slow, /^HTTP\/1\.1 408 /)
  await serves(t)
})

void t.test('malformed, deep and repeated JSON: 400 at once', async (t) => {
  const deep = `{"model":"mock","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  const cases: readonly (readonly [string, string])[] = [
    [deep, 'bad_json'],
    ['', 'bad_json'],
    ['[]', 'bad_json'],
    ['{"model":"mock"', 'bad_json'],
    ['{"model":"mock"} {}', 'bad_json'],
    ['{"model":"mock",}', 'bad_json'],
    ['{"a":[1}', 'bad_json'],
    ['{"model":"mock","id_slot":1,"id_slot":2}', 'repeated_field'],
    ['{"model":"mock","mod\\u0065l":"other"}', 'repeated_field'],
    ['{"model":7}', 'bad_model'],
  ]
  const before = engine.seen.length
  for (const [body, code] of cases) {
    const answer = await post(body)
    t.equal(answer.status, 400, body.slice(0, 40))
    t.match(await answer.json(), { error: { type: 'invalid_request_error', code } })
  }
  t.equal((await post('{}', { 'content-type': 'text/plain' })).status, 415)
  t.equal((await post('{}', { 'content-encoding': 'gzip' })).status, 415)
  t.equal(engine.seen.length, before)
  await serves(t)
})

void t.test('steering fields and headers are dropped, however they are written', async (t) => {
  const body =
    '{"model":"mock", "kv_transfer_params":{"remote_host":"evil"},"bootstrap_host":"evil","bootstrap_port":1,' +
    '"bootstrap_room":2,"disaggregated_params":{"ctx_request_id":1},"id_slot":3,"cache_prompt":false,"nvext":' +
    '{"backend_instance_id":9},"rid":"x","session_params":{"id":"y"},"vllm_xargs":{"kv_transfer_params":"z"},' +
    '"data_parallel_rank":1,"\\u006bv_hints":[1,{"a":"}"}],"messages":[{"role":"user","content":"id_slot"}] }'
  const answer = await post(body, {
    'x-terrace-tenant': 'evil',
    'x-terrace-worker': 'nobody',
    'x-terrace-anything': 'evil',
    'x-dynamo-worker-instance-id': '1',
    'x-data-parallel-rank': '1',
    'x-prefiller-host-port': 'evil:1',
    'x-forwarded-for': '10.0.0.1',
    cookie: 'a=b',
    'x-hop': 'evil',
  })
  t.equal(answer.status, 200)
  const seen = engine.seen.at(-1)
  t.equal(seen?.body.toString(), '{"model":"mock","messages":[{"role":"user","content":"id_slot"}]}')
  const names = Object.keys(seen?.headers ?? {})
  t.same(
    names.filter((name) => /terrace|dynamo|rank|prefill|forwarded|cookie/.test(name)),
    ['x-terrace-tenant'],
  )
  t.equal(seen?.headers['x-terrace-tenant'], 'default')
  const perHop = await raw(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: evil\r\nconnection: close, x-hop\r\nx-hop: evil\r\n' +
      'content-type: application/json\r\ncontent-length: 16\r\n\r\n{"model":"mock"}',
  )
  t.match(perHop, /^HTTP\/1\.1 200 /)
  t.equal(engine.seen.at(-1)?.headers['x-hop'], undefined)
  t.equal(engine.seen.at(-1)?.headers.host, new URL(engine.url).host)
})

void t.test('absolute targets, long queries and CONNECT lead to no other host', async (t) => {
  const absolute = await raw(
    'POST http://127.0.0.1:1/v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 16\r\n\r\n{"model":"mock"}',
  )
  t.match(absolute, /^HTTP\/1\.1 200 /)
  t.equal(engine.seen.at(-1)?.headers.host, new URL(engine.url).host, 'the target names a path, never a host')
  const before = engine.seen.length
  await raw('CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: x\r\n\r\n')
  const long = await fetch(`${router.url}/v1/chat/completions?${'q'.repeat(2_000)}`, {
    method: 'POST',
    body: '{"model":"mock"}',
    headers: { 'content-type': 'application/json' },
  })
  t.equal(long.status, 400)
  t.equal(engine.seen.length, before)
  await serves(t)
})

void t.test('nothing of a request is in logs, metrics, errors or the status', async (t) => {
  const canary = 'canary5309'
  const headers = { 'x-canary': canary, authorization: `Bearer ${canary}`, 'x-session-id': canary }
  const bodies = [
    JSON.stringify({
      model: 'mock',
      messages: [{ role: 'user', content: canary }],
      prompt_cache_key: canary,
    }),
    JSON.stringify({ model: canary, messages: [] }),
    `{"model":"mock","${canary}`,
    JSON.stringify({ model: 'mock', kv_transfer_params: canary }),
  ]
  for (const body of bodies) {
    const answer = await post(body, headers)
    if (answer.status !== 200) t.notMatch(await answer.text(), canary)
  }
  engine.settings = { ...engine.settings, breakAfterWords: 0 }
  await (await post(bodies[0] ?? '', headers)).text()
  engine.settings = { ...engine.settings, breakAfterWords: null }
  await until(async () => (await fetch(`${router.url}/ready`)).status === 200, 'it serves again')
  t.notMatch(router.output(), canary)
  t.notMatch(await (await fetch(`${router.url}/metrics`)).text(), canary)
  t.notMatch(await (await fetch(`${router.adminUrl}/status`)).text(), canary)
  t.notMatch(await (await fetch(`${router.adminUrl}/workers`)).text(), canary)
})
