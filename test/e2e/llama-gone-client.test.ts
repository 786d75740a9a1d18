import OpenAI from 'openai'
import t, { type Test } from 'tap'
import { type EngineRun, logBook, startEngine, until } from '../servers/llama.ts'

/** A client that goes away frees its slot within a second, also when it did not ask for a stream, and also while another slot of
 *  the same server generates: that keeps llama-server from looking for clients that wait. */

t.setTimeout(280_000)

const freeMsMax = 1_000
const endless = { max_tokens: 1_500, ignore_eos: true, temperature: 0 }
const messages = [{ role: 'user' as const, content: 'Write the longest story that you can.' }]

async function busyCount(engine: EngineRun): Promise<number> {
  const slots = (await (await fetch(`${engine.url}/slots`)).json()) as { is_processing: boolean }[]
  return slots.filter(({ is_processing }) => is_processing).length
}

/** A stream that keeps one slot generating until it is told to stop. */
async function neighbour(engine: EngineRun): Promise<{ readonly stop: () => Promise<void> }> {
  const gone = new AbortController()
  const answer = await fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Count: 1 2 3', ...endless, stream: true }),
    signal: gone.signal,
  })
  const read = (async () => {
    for await (const _ of answer.body ?? []);
  })().catch(() => undefined)
  return {
    stop: async () => {
      gone.abort()
      await read
      await until(async () => (await busyCount(engine)) === 0)
    },
  }
}

type Ask = (signal: AbortSignal) => Promise<unknown>

/** Asks beside a neighbour, leaves when the slot works, and looks how long it still does, in milliseconds. */
async function leave(t: Test, engine: EngineRun, ask: Ask, waitMs: number): Promise<number> {
  const other = await neighbour(engine)
  try {
    const gone = new AbortController()
    const asked = ask(gone.signal).then(
      () => 'answered',
      () => 'left',
    )
    t.ok(await until(async () => (await busyCount(engine)) === 2, 30_000), 'both slots work')
    await new Promise((wake) => setTimeout(wake, waitMs))
    t.equal(await busyCount(engine), 2, 'and still do')
    gone.abort()
    const goneMs = performance.now()
    t.ok(await until(async () => (await busyCount(engine)) < 2, 10_000), 'one slot is free')
    const freeMs = performance.now() - goneMs
    t.equal(await busyCount(engine), 1, 'the other one goes on')
    t.equal(await asked, 'left')
    return freeMs
  } finally {
    await other.stop()
  }
}

/** Leaves until a slot was free in time, a few times at most: on a busy machine the looking itself takes long. */
async function leaveInTime(t: Test, engine: EngineRun, ask: Ask, waitMs: number): Promise<void> {
  let freeMs = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 3 && freeMs > freeMsMax; attempt++) {
    freeMs = await leave(t, engine, ask, waitMs)
    leftCount++
  }
  t.ok(freeMs <= freeMsMax, `after ${Math.round(freeMs)} ms`)
}

let leftCount = 0

void t.test('clients that do not stream go away', async (t) => {
  const engine = await startEngine(t.testdir(), 'left')
  t.teardown(() => engine.child.stop(3_000))
  const client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const post = (path: string, body: object, headers: Record<string, string> = {}): Ask => {
    return (signal) => engine.post(path, body, headers, signal)
  }
  const asks: Readonly<Record<string, Ask>> = {
    'chat, by the official client': (signal) =>
      client.chat.completions.create({ model: 'm', messages, ...endless }, { signal }),
    'completions, by the official client': (signal) =>
      client.completions.create({ model: 'm', prompt: 'Once upon', ...endless }, { signal }),
    'responses, by the official client': (signal) =>
      client.responses.create(
        {
          model: 'm',
          input: 'A long story.',
          ...endless,
        } as OpenAI.Responses.ResponseCreateParamsNonStreaming,
        { signal },
      ),
    messages: post('/v1/messages', { messages, max_tokens: 1_500, temperature: 1 }),
    'llama.cpp’s own completion': post('/completion', { prompt: 'Once', n_predict: 1_500, ignore_eos: true }),
    'with a header that keeps streams going': post(
      '/v1/chat/completions',
      { messages, ...endless },
      { 'x-conversation-id': 'a' },
    ),
    'without any cache': post('/v1/chat/completions', { messages, ...endless, cache_prompt: false }),
  }
  for (const [name, ask] of Object.entries(asks)) await t.test(name, (t) => leaveInTime(t, engine, ask, 300))
  await t.test('while its prompt is computed', (t) => {
    const ask = post('/v1/completions', { ...endless, prompt: logBook(80), max_tokens: 4 })
    return leaveInTime(t, engine, ask, 500)
  })
  const { counters } = await engine.status()
  t.equal(counters.clientsGone, 2 * leftCount, 'each of them is counted, and so are the neighbours')
  t.equal(counters.wrongGuesses, 0)
})
