import { connect } from 'node:net'
import t from 'tap'
import { startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, servingCount, startRouter, until } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

let router: RouterProcess
t.before(async () => {
  router = await startRouter([])
})
t.teardown(() => router.stop('SIGKILL'))

function admin(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`${router.adminUrl}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
}

function ask(model: string): Promise<Response> {
  return fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model }),
  })
}

void t.test('workers come and go by HTTP; the union of their models is served', async (t) => {
  t.equal((await fetch(`${router.url}/health`)).status, 503)
  const red = await startMockEngine('red', { model: 'small' })
  const blue = await startMockEngine('blue', { model: 'large' })
  t.teardown(() => Promise.all([red.close(), blue.close()]))
  t.equal((await admin('POST', '/workers', { name: 'red', url: red.url })).status, 201)
  t.equal((await admin('POST', '/workers', { name: 'blue', url: blue.url, model: 'large' })).status, 201)
  t.equal((await admin('POST', '/workers', { name: 'red', url: red.url })).status, 200, 'again is a renewal')
  await until(async () => (await servingCount(router)) === 2, 'both serve')
  const models = (await (await fetch(`${router.url}/v1/models`)).json()) as { data: { id: string }[] }
  t.same(
    models.data.map(({ id }) => id),
    ['large', 'small'],
  )
  t.equal((await ask('small')).headers.get('x-terrace-worker'), 'red')
  t.equal((await ask('large')).headers.get('x-terrace-worker'), 'blue')
  const missing = await fetch(`${router.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"prompt":"x"}',
  })
  t.equal(missing.status, 400, 'two models: one must be named')
  t.equal((await admin('DELETE', '/workers/red')).status, 200)
  t.equal((await admin('DELETE', '/workers/red')).status, 404)
  t.equal((await ask('small')).status, 404)
  t.equal((await admin('DELETE', '/workers/blue')).status, 200)
})

void t.test('a lease that is not renewed ends', async (t) => {
  const green = await startMockEngine('green')
  t.teardown(() => green.close())
  await admin('POST', '/workers', { name: 'green', url: green.url, leaseMs: 1_500 })
  await until(async () => (await servingCount(router)) === 1, 'it serves')
  await until(async () => (await servingCount(router)) === 0, 'its lease ended')
  t.same(await (await admin('GET', '/workers')).json(), { workers: [] })
})

void t.test('bad registrations name the field', async (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [[], /body: must be a JSON object/],
    [{ name: 'a' }, /url: must be a text/],
    [{ name: 'a b', url: 'http://127.0.0.1:1' }, /name: must be/],
    [{ name: 'a', url: 'file:///etc/passwd' }, /url: must start with http/],
    [{ name: 'a', url: 'http://user:pw@127.0.0.1:1' }, /url: must not hold a user/],
    [{ name: 'a', url: 'http://127.0.0.1:1', leaseMs: 5 }, /leaseMs: must be/],
    [{ name: 'a', url: 'http://127.0.0.1:1', weight: 5 }, /weight: not known/],
  ]
  for (const [body, sentence] of cases) {
    const answer = await admin('POST', '/workers', body)
    t.equal(answer.status, 400)
    t.match(await answer.text(), sentence)
  }
})

void t.test('only loopback names are answered', async (t) => {
  const port = Number(new URL(router.adminUrl).port)
  const text = await new Promise<string>((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let got = ''
    socket.on('data', (chunk) => {
      got += String(chunk)
    })
    socket.on('close', () => resolve(got))
    socket.write('GET /workers HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n')
  })
  t.match(text, /^HTTP\/1\.1 403 /)
})

void t.test('explain says what is wrong with a question', async (t) => {
  t.match(await (await admin('GET', '/explain')).text(), /send \{/)
  t.match(await (await admin('POST', '/explain', { path: '/x', body: {} })).text(), /path: must be one of/)
  t.match(await (await admin('POST', '/explain', { body: { model: 'none' } })).text(), /no worker/)
})
