import OpenAI from 'openai'
import t from 'tap'
import { type MockEngine, startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, startRouter } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

type Messages = OpenAI.Chat.ChatCompletionMessageParam[]
const messages: Messages = [{ role: 'user', content: 'hello' }]
let engine: MockEngine
let router: RouterProcess
let client: OpenAI

t.before(async () => {
  engine = await startMockEngine('a', { wordMs: 1 })
  router = await startRouter([engine])
  client = new OpenAI({ baseURL: `${router.url}/v1`, apiKey: 'unused', maxRetries: 0 })
})
t.teardown(async () => {
  await router.stop()
  await engine.close()
})

void t.test('chat, whole: answer, usage and headers of the router', async (t) => {
  const { data, response } = await client.chat.completions.create({ model: 'mock', messages }).withResponse()
  t.equal(data.choices[0]?.message.content, 'w0 w1 w2 w3 w4 ')
  t.equal(data.usage?.prompt_tokens_details?.cached_tokens, 7)
  t.equal(response.headers.get('x-terrace-worker'), 'a')
  t.match(response.headers.get('x-terrace-explain'), /^worker=a; total_ms=/)
  t.match(response.headers.get('x-request-id'), /^req_[0-9a-f]{16}$/)
})

void t.test('chat, streamed: every word in order, then the usage', async (t) => {
  const stream = await client.chat.completions.create({ model: 'mock', messages, stream: true })
  let text = ''
  let cached = 0
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    cached = chunk.usage?.prompt_tokens_details?.cached_tokens ?? cached
  }
  t.equal(text, 'w0 w1 w2 w3 w4 ')
  t.equal(cached, 7)
})

void t.test('completions and responses, whole and streamed', async (t) => {
  const completion = await client.completions.create({ model: 'mock', prompt: 'once' })
  t.equal(completion.choices[0]?.text, 'w0 w1 w2 w3 w4 ')
  let text = ''
  for await (const chunk of await client.completions.create({
    model: 'mock',
    prompt: 'once',
    stream: true,
  })) {
    text += chunk.choices[0]?.text ?? ''
  }
  t.equal(text, 'w0 w1 w2 w3 w4 ')
  const whole = await client.responses.create({ model: 'mock', input: 'hi' })
  t.equal(whole.output_text, 'w0 w1 w2 w3 w4 ')
  let delta = ''
  for await (const event of await client.responses.create({ model: 'mock', input: 'hi', stream: true })) {
    if (event.type === 'response.output_text.delta') delta += event.delta
  }
  t.equal(delta, 'w0 w1 w2 w3 w4 ')
})

void t.test('embeddings, models, one model, unknown model', async (t) => {
  const embedding = await client.embeddings.create({
    model: 'mock',
    input: 'x',
    encoding_format: 'float',
  })
  t.same(embedding.data[0]?.embedding, [0.5])
  const models = await client.models.list()
  t.same(
    models.data.map(({ id }) => id),
    ['mock'],
  )
  t.equal((await client.models.retrieve('mock')).id, 'mock')
  await t.rejects(client.models.retrieve('other'), { status: 404, code: 'model_not_found' })
  await t.rejects(client.chat.completions.create({ model: 'other', messages }), {
    status: 404,
    code: 'model_not_found',
    param: 'model',
  })
})

void t.test('Anthropic messages, whole, streamed, counted, and its shape of errors', async (t) => {
  const ask = { model: 'mock', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] }
  const whole = (await (await post('/v1/messages', ask)).json()) as { readonly type: string }
  t.equal(whole.type, 'message')
  const streamed = await (await post('/v1/messages?beta=true', { ...ask, stream: true })).text()
  t.match(streamed, /event: content_block_delta/)
  t.match(streamed, /event: message_stop/)
  t.equal(engine.seen.at(-1)?.path, '/v1/messages?beta=true')
  t.same(await (await post('/v1/messages/count_tokens', ask)).json(), { input_tokens: 100 })
  const wrong = await post('/v1/messages', { ...ask, model: 'other' })
  t.equal(wrong.status, 404)
  t.match(await wrong.json(), { type: 'error', error: { type: 'not_found_error' } })
})

void t.test('the body reaches the worker byte for byte, whatever its spacing', async (t) => {
  const body = '{ "model":"mock",\n\t"messages" : [ {"role":"user","content":"\\u00e4 \\"{"} ], "n": 1.50 }'
  const answer = await fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-custom': 'kept' },
    body,
  })
  t.equal(answer.status, 200)
  t.equal(engine.seen.at(-1)?.body.toString(), body)
  t.equal(engine.seen.at(-1)?.headers['x-custom'], 'kept')
})

void t.test('statuses and bodies of the worker pass through', async (t) => {
  for (const status of [400, 404, 422, 429, 500, 501]) {
    engine.settings = { ...engine.settings, status }
    const answer = await post('/v1/chat/completions', { model: 'mock', messages })
    t.equal(answer.status, status)
    t.equal(await answer.text(), engine.settings.statusBody, String(status))
  }
  engine.settings = { ...engine.settings, status: 503 }
  const busy = await post('/v1/chat/completions', { model: 'mock', messages })
  t.equal(busy.status, 503)
  t.equal(await busy.text(), engine.settings.statusBody)
  t.ok(busy.headers.get('retry-after'), 'a busy worker is worth another try')
  engine.settings = { ...engine.settings, status: null }
})

void t.test('health, live, ready, metrics, unknown paths and methods', async (t) => {
  t.match(await (await fetch(`${router.url}/health`)).json(), {
    status: 'ok',
    workers: { serving: 1, all: 1 },
    models: ['mock'],
  })
  t.equal((await fetch(`${router.url}/live`)).status, 200)
  t.equal((await fetch(`${router.url}/ready`)).status, 200)
  const metrics = await (await fetch(`${router.url}/metrics`)).text()
  t.match(metrics, /terrace_router_requests_total\{endpoint="chat",status="200"\} \d+/)
  t.match(metrics, /terrace_router_realised_hit_tokens_total\{tenant="default"\} \d+/)
  const unknown = await fetch(`${router.url}/v1/nothing`, { method: 'POST', body: '{}' })
  t.equal(unknown.status, 404)
  t.match(await unknown.json(), { error: { type: 'invalid_request_error', code: 'unknown_path' } })
  const wrong = await fetch(`${router.url}/v1/chat/completions`)
  t.equal(wrong.status, 405)
  t.equal(wrong.headers.get('allow'), 'POST')
})

function post(path: string, body: unknown): Promise<Response> {
  return fetch(`${router.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}
