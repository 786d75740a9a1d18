import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { basename, join } from 'node:path'
import t from 'tap'
import { type EngineRun, logBook, startEngine, until } from '../servers/llama.ts'

/** The front without a daemon: the four APIs, truthful counts whole and streamed, what is refused, what is passed on, clients that go
 *  away, engines that die. */

t.setTimeout(280_000)

const document = logBook(12)
const prompt = `${document}\n\nWhat did the barrel hold on day 3?`

type Shape = { readonly path: string; readonly body: object; readonly read: (json: never) => Read }
type Read = { readonly cached: number; readonly all: number; readonly text: string }
type Chat = {
  usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } }
  choices: [{ message: { content: string }; text: string }]
}
type Responses = {
  usage: { input_tokens: number; input_tokens_details: { cached_tokens: number } }
  output: [{ content: [{ text: string }] }]
}
type Messages = {
  usage: { input_tokens: number; cache_read_input_tokens: number }
  content: [{ text: string }]
}

const messages = [{ role: 'user', content: prompt }]
const shapes: Readonly<Record<string, Shape>> = {
  chat: {
    path: '/v1/chat/completions',
    body: { messages, max_tokens: 6, temperature: 0 },
    read: ({ usage, choices }: Chat) => ({
      cached: usage.prompt_tokens_details.cached_tokens,
      all: usage.prompt_tokens,
      text: choices[0].message.content,
    }),
  },
  responses: {
    path: '/v1/responses',
    body: { input: prompt, max_output_tokens: 6, temperature: 0 },
    read: ({ usage, output }: Responses) => ({
      cached: usage.input_tokens_details.cached_tokens,
      all: usage.input_tokens,
      text: output[0].content[0].text,
    }),
  },
  messages: {
    path: '/v1/messages',
    body: { messages, max_tokens: 6, temperature: 0 },
    read: ({ usage, content }: Messages) => ({
      cached: usage.cache_read_input_tokens,
      all: usage.input_tokens + usage.cache_read_input_tokens,
      text: content[0].text,
    }),
  },
}

async function streamed(engine: EngineRun, path: string, body: object): Promise<string> {
  const answer = await fetch(`${engine.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  })
  return answer.text()
}

void t.test('one engine, all that a client can do to it', async (t) => {
  const directory = t.testdir()
  const engine = await startEngine(directory, 'front')
  t.teardown(() => engine.child.stop(3_000))

  const cold = new Map<string, Read>()
  for (const [name, { path, body, read }] of Object.entries(shapes)) {
    const tenant = { 'x-terrace-tenant': `t-${name}` }
    const first = await engine.post(path, body, tenant)
    const counted = read(first.json as never)
    t.equal(counted.cached, 0, `${name}: what was computed for the request itself is not called cached`)
    t.same(first.from, { engine: 0, host: 0, nvme: 0, s3: 0 })
    cold.set(name, counted)
    const second = await engine.post(path, body, tenant)
    const again = read(second.json as never)
    const whole = Math.floor((counted.all - 1) / 64) * 64
    t.equal(again.cached, whole, `${name}: whole blocks are cached the second time`)
    t.equal(second.from.engine, whole)
    t.equal(again.text, counted.text, `${name}: the same answer`)
  }
  t.same(new Set([...cold.values()].map(({ text }) => text)).size, 1, 'one prompt, one answer, three APIs')
  const all = cold.get('chat')?.all ?? 0
  const whole = Math.floor((all - 1) / 64) * 64

  const chat = await streamed(engine, '/v1/chat/completions', shapes.chat?.body ?? {})
  t.match(chat, /"cached_tokens":0[,}]/, 'streamed, for a tenant that is new: nothing cached')
  const chatAgain = await streamed(engine, '/v1/chat/completions', shapes.chat?.body ?? {})
  t.ok(chatAgain.includes(`"cached_tokens":${whole}`), 'streamed again: the whole blocks')
  t.ok(chatAgain.trimEnd().endsWith('data: [DONE]'))
  const said = await streamed(engine, '/v1/messages', shapes.messages?.body ?? {})
  t.ok(said.includes(`"cache_read_input_tokens":${whole}`), 'messages say it in their first event')
  const responded = await streamed(engine, '/v1/responses', shapes.responses?.body ?? {})
  t.ok(responded.includes(`"cached_tokens":${whole}`), 'responses in their last')

  // Both slots get the document, which makes each the other's rival for a request that names no slot.
  const chatBody = shapes.chat?.body ?? {}
  await Promise.all([
    engine.post('/v1/chat/completions', chatBody),
    engine.post('/v1/chat/completions', chatBody),
  ])
  const wholes = async (): Promise<number[]> =>
    (await engine.status()).slots.map(({ wholeTokens }) => wholeTokens)
  t.same(await wholes(), [whole, whole])
  const placed = await engine.post('/v1/messages', shapes.messages?.body ?? {})
  t.equal(shapes.messages?.read(placed.json as never).cached, whole)
  await streamed(engine, '/v1/messages', shapes.messages?.body ?? {})
  t.same(await wholes(), [whole, whole], 'the Anthropic API empties no rival')

  // Its end is in no stream, so the engine is asked twice; what the first time left in the slot is not built upon.
  const half = { prompt: document, grammar: 'root ::= "\u{1F600}"', max_tokens: 2, temperature: 0 }
  for (const name of ['cold', 'warm']) {
    const cut = await engine.post('/v1/completions', half, { 'x-terrace-tenant': 'half' })
    t.match(cut.json, { choices: [{ text: '\ufffd', finish_reason: 'length' }] }, `${name}: half a character`)
    const { prompt_tokens: tokens, prompt_tokens_details: details } = (cut.json as Chat).usage
    const cached = name === 'cold' ? 0 : Math.floor((tokens - 1) / 64) * 64
    t.equal(details.cached_tokens, cached, `${name}: counted once`)
    t.equal(cut.from.engine, cached)
  }
  t.equal((await engine.status()).counters.askedAgain.cut, 2)

  const refused = await engine.post('/v1/chat/completions', { messages, id_slot: 1 })
  t.equal(refused.status, 400)
  t.match(refused.json, { error: { message: /"id_slot" is chosen by Terrace/ } })
  t.equal((await engine.post('/slots/0?action=erase', {})).status, 403)
  t.equal((await engine.post('/lora-adapters', [])).status, 403)
  t.equal(
    (await engine.post('/v1/chat/completions', { messages }, { 'x-terrace-tenant': 'a b' })).status,
    403,
  )
  const huge = await new Promise<number>((resolve, reject) => {
    const words = {
      method: 'POST',
      headers: { 'content-length': String(2 ** 31), 'content-type': 'application/json' },
    }
    const sent = request(`${engine.url}/v1/completions`, words, (answer) => {
      resolve(answer.statusCode ?? 0)
      answer.destroy()
    })
    sent.once('error', reject)
    sent.write('{')
  })
  t.equal(huge, 413, 'a body beyond the limit is refused before it is read')
  const wrong = await engine.post('/v1/chat/completions', { messages: 7 })
  t.equal(wrong.status, 400, "the server's own error comes through")
  const short = await engine.post('/v1/completions', { prompt: 'Once', max_tokens: 2, temperature: 0 })
  t.equal(short.headers.get('x-terrace-reason'), 'short_prompt')
  const several = await engine.post('/v1/completions', { prompt: ['One', 'Two'], max_tokens: 2 })
  t.equal((several.json as { choices: unknown[] }).choices.length, 2, 'two prompts in one request')
  const long = await engine.post('/v1/completions', { prompt: 'word '.repeat(3_000), max_tokens: 2 })
  t.equal(long.status, 400, "a prompt that fits no slot gets the server's own error")
  t.equal(long.headers.get('x-terrace-reason'), 'too_long')
  const embedded = await engine.post('/v1/embeddings', { input: 'One' })
  t.match(
    embedded.json,
    { error: { message: /embeddings/ } },
    'what the server does not offer, it says itself',
  )
  const uncached = await engine.post('/v1/chat/completions', { ...shapes.chat?.body, cache_prompt: false })
  t.equal(shapes.chat?.read(uncached.json as never).cached, 0, 'no cache when the client wants none')
  t.match(await (await fetch(`${engine.url}/v1/models`)).json(), { object: 'list' })
  const named = await engine.post('/terrace/prompt', { path: '/v1/chat/completions', body: { messages } })
  t.match(named.json, { tokenCount: all, hashes: [] })
  t.same((await engine.status()).counters.wrongGuesses, 0, 'every prompt was what it was taken for')

  for (const file of [engine.log, join(directory, 'front', 'llama-server-front.log')]) {
    t.notOk(readFileSync(file, 'utf8').includes('barrel'), `no prompt in ${basename(file)}`)
  }
  t.notOk(JSON.stringify(await engine.status()).includes('barrel'), 'nor in the status')

  await t.test('a client that goes away frees its slot', async (t) => {
    const gone = new AbortController()
    const endless = { prompt: 'Count: 1 2 3', max_tokens: 2_000, ignore_eos: true, stream: true }
    const answer = await fetch(`${engine.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(endless),
      signal: gone.signal,
    })
    await answer.body?.getReader().read()
    const busy = async (): Promise<boolean> => {
      const slots = (await (await fetch(`${engine.url}/slots`)).json()) as { is_processing: boolean }[]
      return slots.some((slot) => slot.is_processing)
    }
    t.ok(await until(busy, 5_000), 'it computes')
    gone.abort()
    t.ok(await until(async () => !(await busy()), 5_000), 'and then it does not')
    t.ok((await engine.status()).counters.clientsGone > 0)
  })

  await t.test('llama-server killed: it comes back and serves', async (t) => {
    const before = (await engine.status()).engine
    const endless = { prompt: 'Count: 1 2 3', max_tokens: 1_500, ignore_eos: true }
    const begun = engine.post('/v1/completions', endless)
    const busy = async (): Promise<boolean> =>
      /"is_processing":true/.test(await (await fetch(`${engine.url}/slots`)).text())
    t.ok(await until(busy, 5_000), 'it computes')
    process.kill(before.processId, 'SIGKILL')
    const lost = await begun
    t.equal(lost.status, 503, 'half an answer is no answer')
    t.match(lost.json, { error: { message: /went away before it answered/ } })
    const back = async (): Promise<boolean> => {
      const now = (await engine.status()).engine
      return now.generation > before.generation && now.state === 'ready'
    }
    t.ok(await until(back, 60_000), 'another life')
    const ready = async (): Promise<boolean> => (await fetch(`${engine.url}/health`)).status === 200
    t.ok(await until(ready, 60_000))
    const after = await engine.post('/v1/chat/completions', shapes.chat?.body ?? {})
    const counted = shapes.chat?.read(after.json as never)
    t.equal(counted?.cached, 0, 'what the dead one held is not believed')
    t.equal(counted?.text, cold.get('chat')?.text)
  })

  await t.test(
    'the adapter killed: llama-server does not outlive it, its folder goes with the next start',
    async (t) => {
      const { processId } = (await engine.status()).engine
      await engine.child.kill()
      t.ok(await until(() => !existsSync(`/proc/${processId}`), 5_000), 'the server is gone')
      const next = await startEngine(t.testdir(), 'front')
      t.teardown(() => next.child.stop(3_000))
      const folders = existsSync('/dev/shm')
        ? readdirSync('/dev/shm').filter((name) => name.startsWith('terrace-slots-front-'))
        : []
      t.ok(
        folders.every((name) => existsSync(`/proc/${name.split('-').at(-1)}`)),
        'no folder of a dead engine',
      )
      await next.child.stop(5_000)
      t.ok(await until(() => !existsSync(`/dev/shm/terrace-slots-front-${next.child.pid}`), 5_000))
    },
  )
})
