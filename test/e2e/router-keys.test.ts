import { createHash } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { type MockEngine, startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, spawnRouter, startRouter } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

const digest = (key: string): string => createHash('sha256').update(key).digest('hex')
const ask = '{"model":"mock","priority":9}'
const keys = {
  keys: [
    { sha256: digest('sk-acme'), tenant: 'acme', hints: true, explain: true },
    { sha256: digest('sk-blue'), tenant: 'blue' },
    { sha256: digest('sk-slow'), tenant: 'slow', requestsPerMinute: 2 },
  ],
}

const token = 'a-long-admin-token'
let engine: MockEngine
let router: RouterProcess

t.before(async () => {
  const folder = t.testdir({ 'keys.json': JSON.stringify(keys), token: `${token}\n` })
  engine = await startMockEngine('a')
  router = await startRouter(
    [engine],
    ['--keys-file', `${folder}/keys.json`, '--admin-token-file', `${folder}/token`],
  )
})
t.teardown(async () => {
  await router.stop('SIGKILL')
  await engine.close()
})

function post(headers: Readonly<Record<string, string>>, path = '/v1/chat/completions'): Promise<Response> {
  return fetch(`${router.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: ask,
  })
}

void t.test(
  'without a key, or with a wrong one: 401 in the API’s shape, before the body is read',
  async (t) => {
    for (const headers of [{}, { authorization: 'Bearer sk-wrong' }, { authorization: 'Basic sk-acme' }]) {
      const answer = await post(headers)
      t.equal(answer.status, 401)
      t.match(answer.headers.get('www-authenticate'), 'Bearer')
      const text = await answer.text()
      t.match(text, /"code":"(missing|invalid)_api_key"/)
      t.notMatch(text, 'sk-')
    }
    const anthropic = await post({ 'x-api-key': 'sk-wrong' }, '/v1/messages')
    t.match(await anthropic.json(), { error: { type: 'authentication_error' } })
    t.equal((await fetch(`${router.url}/v1/models`)).status, 401)
    t.equal((await fetch(`${router.url}/health`)).status, 200, 'health needs no key')
    t.equal((await fetch(`${router.url}/metrics`)).status, 403, 'tenants are nobody else’s business')
    t.equal(engine.seen.length, 0)
  },
)

void t.test('the key decides the tenant; the worker never sees the key', async (t) => {
  const forms = [
    { headers: { authorization: 'Bearer sk-acme' }, tenant: 'acme' },
    { headers: { authorization: 'bearer sk-blue', 'x-terrace-tenant': 'acme' }, tenant: 'blue' },
    { headers: { 'x-api-key': 'sk-acme' }, tenant: 'acme' },
  ]
  for (const { headers, tenant } of forms) {
    t.equal((await post(headers)).status, 200)
    const seen = engine.seen.at(-1)
    t.equal(seen?.headers['x-terrace-tenant'], tenant)
    t.notMatch(seen?.rawHeaders.join(' ') ?? '', 'sk-')
  }
  t.equal((await fetch(`${router.url}/v1/models`, { headers: { 'x-api-key': 'sk-blue' } })).status, 200)
})

void t.test('hints and explanations only for keys that may', async (t) => {
  const acme = await post({ authorization: 'Bearer sk-acme' })
  t.match(acme.headers.get('x-terrace-explain'), /worker=a/)
  t.match(engine.seen.at(-1)?.body.toString(), /priority/)
  const blue = await post({ authorization: 'Bearer sk-blue' })
  t.equal(blue.headers.get('x-terrace-explain'), null)
  t.equal(engine.seen.at(-1)?.body.toString(), '{"model":"mock"}')
})

void t.test('a tenant past its rate gets 429 and when to come back', async (t) => {
  const statuses: number[] = []
  for (let i = 0; i < 3; i++) {
    const answer = await post({ authorization: 'Bearer sk-slow' })
    statuses.push(answer.status)
    if (answer.status === 429) t.ok(Number(answer.headers.get('retry-after')) > 0)
  }
  t.same(statuses, [200, 200, 429])
  t.equal((await post({ authorization: 'Bearer sk-blue' })).status, 200, 'others are served')
})

void t.test('the admin port asks for its token', async (t) => {
  const status = async (path: string, authorization: string | null): Promise<number> =>
    (await fetch(`${router.adminUrl}${path}`, { headers: authorization === null ? {} : { authorization } }))
      .status
  t.equal(await status('/workers', null), 401)
  t.equal(await status('/metrics', `Bearer ${token}x`), 401)
  t.equal(await status('/workers', `Bearer ${token}`), 200)
  t.equal(await status('/metrics', `Bearer ${token}`), 200)
  t.equal(await status('/health', null), 200)
})

void t.test('what a router cannot start with is one sentence on standard error, and a code', async (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--port', '0', '--host', '0.0.0.0'], /give --keys-file, or bind 127\.0\.0\.1/],
    [['--port', String(router.port)], /port \d+ is in use: .*--port/],
  ]
  for (const [words, sentence] of cases) {
    const child = spawnRouter(words)
    let text = ''
    child.stderr?.on('data', (chunk) => {
      text += String(chunk)
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    t.equal(code, 1, words.join(' '))
    t.match(text, sentence)
    t.equal(text.trim().split('\n').length, 1, 'one sentence')
  }
})
