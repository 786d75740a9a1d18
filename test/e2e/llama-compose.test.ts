import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import OpenAI from 'openai'
import t from 'tap'
import { startEngine, startLlamaServer } from '../servers/llama.ts'

/** What the adapter puts together from a stream equals, field by field, what the same server answers by itself to the same
 *  request. Left out of the comparison: ids, times, and the slot. */

t.setTimeout(280_000)

/** A chat format with thoughts and tool calls: the small model's own has neither. */
const template = `
{%- if tools %}{{- '<|im_start|>system\\nTools:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
{{- '\\n</tools>\\nCall each one that is needed.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.reasoning_content %}{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content }}
{%- if message.tool_calls %}{%- for call in message.tool_calls %}
{%- if (loop.first and message.content) or not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{%- if call.function.arguments is string %}{{- call.function.arguments }}
{%- else %}{{- call.function.arguments | tojson }}{%- endif %}
{{- '}\\n</tool_call>' }}{%- endfor %}{%- endif %}
{{- '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Paris', 'Rome', 'Oslo', 'Bern'] } },
  required: ['city'],
}
const weather = { name: 'weather', description: 'The weather of a city.' }
const call = (id: string, city: string): object => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: JSON.stringify({ city }) },
})
/** A conversation after which even a small model makes two calls at once. */
const toolChat = {
  messages: [
    { role: 'user', content: 'Paris and Rome?' },
    { role: 'assistant', content: '', tool_calls: [call('1', 'Paris'), call('2', 'Rome')] },
    { role: 'tool', tool_call_id: '1', content: 'sun' },
    { role: 'tool', tool_call_id: '2', content: 'rain' },
    { role: 'user', content: 'Oslo and Bern?' },
  ],
  tools: [{ type: 'function', function: { ...weather, parameters } }],
  tool_choice: 'required',
  parallel_tool_calls: true,
}
const use = (id: string, city: string): object => ({ type: 'tool_use', id, name: 'weather', input: { city } })
const result = (id: string, content: string): object => ({ type: 'tool_result', tool_use_id: id, content })
const toolMessages = {
  messages: [
    { role: 'user', content: 'Paris and Rome?' },
    { role: 'assistant', content: [use('1', 'Paris'), use('2', 'Rome')] },
    { role: 'user', content: [result('1', 'sun'), result('2', 'rain')] },
    { role: 'user', content: 'Oslo and Bern?' },
  ],
  tools: [{ ...weather, input_schema: parameters }],
  tool_choice: { type: 'any' },
}
const functionCall = (id: string, city: string): object => ({
  type: 'function_call',
  call_id: id,
  name: 'weather',
  arguments: JSON.stringify({ city }),
})
const toolInput = {
  input: [
    { role: 'user', content: 'Paris and Rome?' },
    functionCall('1', 'Paris'),
    functionCall('2', 'Rome'),
    { type: 'function_call_output', call_id: '1', output: 'sun' },
    { type: 'function_call_output', call_id: '2', output: 'rain' },
    { role: 'user', content: 'Oslo and Bern?' },
  ],
  tools: [{ type: 'function', ...weather, parameters }],
  tool_choice: 'required',
  parallel_tool_calls: true,
}

const messages = [{ role: 'user', content: 'Say hi' }]
const thought = [
  { type: 'thinking', thinking: 'They want a greeting.' },
  { type: 'text', text: 'Hi there!' },
]
/** A conversation in which even a small model thinks first. */
const thinkingMessages = [
  ...messages,
  { role: 'assistant', content: thought },
  ...messages,
  { role: 'assistant', content: thought },
  ...messages,
]
const thinks = {
  grammar: 'root ::= "<think>\\nShort “thought”.\\n</think>\\n\\nHello 😀 there."',
  max_tokens: 60,
}
const smiles = { grammar: 'root ::= "😀😀😀"' }
const json = { type: 'object', properties: { age: { type: 'integer' } }, required: ['age'] }
const schema = { type: 'json_schema', json_schema: { name: 'a', schema: json } }

const saidBefore = { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Hi' }] }

/** How a request is expected to be served. */
type How = 'composed' | 'plain' | 'again'
type Case = readonly [name: string, how: How, body: object]

const cases: Readonly<Record<string, readonly Case[]>> = {
  '/v1/chat/completions': [
    ['cut by its limit', 'composed', { messages, max_tokens: 8 }],
    ['to its end', 'composed', { messages, max_tokens: 80 }],
    ['a stop word', 'composed', { messages, max_tokens: 40, stop: ['help'] }],
    ['sampled', 'composed', { messages, max_tokens: 12, temperature: 0.9, seed: 7 }],
    ['thoughts', 'composed', { messages, ...thinks }],
    ['thoughts alone', 'composed', { messages, ...thinks, max_tokens: 9 }],
    ['whole characters', 'composed', { messages, ...smiles, max_tokens: 60 }],
    ['cut within a character', 'again', { messages, ...smiles, max_tokens: 4 }],
    ['two answers', 'composed', { messages, max_tokens: 6, n: 2 }],
    ['by a schema', 'composed', { messages, max_tokens: 40, response_format: schema }],
    ['calls', 'composed', { ...toolChat, max_tokens: 150 }],
    ['its own stream words', 'composed', { messages, max_tokens: 4, stream: false, stream_options: null }],
    ['asks for progress', 'composed', { messages, max_tokens: 4, return_progress: true }],
    ['probabilities', 'plain', { messages, max_tokens: 6, logprobs: true, top_logprobs: 2 }],
    ['verbose', 'plain', { messages, max_tokens: 6, verbose: true }],
    ['continued', 'plain', { messages: [...messages, { role: 'assistant', content: 'Hi' }], max_tokens: 6 }],
    ['no messages', 'plain', { messages: 7 }],
    ['too long', 'plain', { messages: [{ role: 'user', content: 'word '.repeat(3_000) }] }],
  ],
  '/v1/completions': [
    ['cut by its limit', 'composed', { prompt: 'Once upon', max_tokens: 8 }],
    ['probabilities', 'composed', { prompt: 'Once upon', max_tokens: 8, logprobs: 3 }],
    ['probabilities to the end', 'composed', { prompt: 'Hi', ...smiles, max_tokens: 60, logprobs: 2 }],
    ['probabilities and a stop word', 'plain', { prompt: 'Once', max_tokens: 9, logprobs: 1, stop: ['a'] }],
    ['a stop word', 'composed', { prompt: 'Count: 1 2 3', max_tokens: 20, stop: ['6'] }],
    ['cut within a stop word', 'again', { prompt: 'Count: 1 2 3 4', max_tokens: 3, stop: [' 5 6 7 8 9'] }],
    ['cut within a character', 'again', { prompt: 'Hi', ...smiles, max_tokens: 2 }],
    ['two prompts', 'composed', { prompt: ['One', 'Two'], max_tokens: 5 }],
    ['two answers', 'composed', { prompt: 'One', max_tokens: 5, n: 2 }],
    ['verbose', 'plain', { prompt: 'One', max_tokens: 5, verbose: true }],
    ['no prompt', 'plain', { max_tokens: 5 }],
  ],
  '/completion': [
    ['cut by its limit', 'composed', { prompt: 'Once upon', n_predict: 8 }],
    ['probabilities', 'composed', { prompt: 'Once upon', n_predict: 8, n_probs: 2 }],
    ['sampled ones', 'composed', { prompt: 'Once', n_predict: 8, n_probs: 2, post_sampling_probs: true }],
    ['a stop word', 'composed', { prompt: 'Count: 1 2 3', n_predict: 20, stop: ['6'] }],
    ['cut within a character', 'again', { prompt: 'Hi', ...smiles, n_predict: 2 }],
    ['two prompts', 'composed', { prompt: ['One', 'Two'], n_predict: 5 }],
    ['by a schema', 'composed', { prompt: 'Age:', n_predict: 40, json_schema: json }],
    ['nothing to compute', 'composed', { prompt: 'Age:', n_predict: 0 }],
    ['its tokens', 'plain', { prompt: 'Age:', n_predict: 4, return_tokens: true }],
    ['chosen fields', 'plain', { prompt: 'Age:', n_predict: 4, response_fields: ['content', 'stop'] }],
  ],
  '/v1/responses': [
    ['cut by its limit', 'composed', { input: 'Say hi', max_output_tokens: 8 }],
    ['to its end', 'composed', { input: 'Say hi', max_output_tokens: 80 }],
    ['thoughts', 'composed', { input: 'Say hi', grammar: thinks.grammar, max_output_tokens: 60 }],
    ['cut within a character', 'again', { input: 'Say hi', ...smiles, max_output_tokens: 2 }],
    ['calls', 'composed', { ...toolInput, max_output_tokens: 150 }],
    ['continued', 'composed', { input: [...messages, saidBefore], max_output_tokens: 8 }],
    ['no input', 'plain', { max_output_tokens: 5 }],
  ],
  '/v1/messages': [
    ['cut by its limit', 'composed', { messages, max_tokens: 8 }],
    ['to its end', 'composed', { messages, max_tokens: 80 }],
    ['a stop word', 'composed', { messages, max_tokens: 40, stop_sequences: ['help'] }],
    ['calls', 'composed', { ...toolMessages, max_tokens: 150 }],
    ['both thoughts and text', 'composed', { messages: thinkingMessages, max_tokens: 60 }],
    ['continued', 'plain', { messages: [...messages, { role: 'assistant', content: 'Hi' }], max_tokens: 6 }],
    ['no messages', 'plain', { max_tokens: 5 }],
  ],
}

/** What the answers of some cases must have in them, or the case would show nothing. */
const shows: Readonly<Record<string, RegExp>> = {
  thoughts: /Short “thought”/,
  'both thoughts and text': /"thinking":.*"text":/,
  'thoughts alone': /"reasoning_content":"Short/,
  'whole characters': /😀😀😀/,
  'cut within a character': /\ufffd|:"😀"/,
  calls: /(weather.*Oslo.*weather.*Bern)|(Oslo.*weather.*Bern.*weather)/,
  'two answers': /"index":1/,
  'two prompts': /"index":1/,
  'a stop word': /"stop/,
  'probabilities to the end': /"token":"<\|im_end\|>"|"token":""/,
  'too long': /exceed_context_size_error/,
}

/** Fields that differ from one run to the next. */
const volatile = new Set(['id', 'call_id', 'created', 'created_at', 'completed_at', 'timings', 'id_slot'])

function steady(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(steady)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, inner]) => !(volatile.has(name) && typeof inner !== 'object') && name !== 'timings')
      .map(([name, inner]) => [name, steady(inner)]),
  )
}

function bodyOf(ofPath: readonly Case[] | undefined, name: string): object {
  return ofPath?.find(([each]) => each === name)?.[2] ?? {}
}

/** The server closes a kept connection after five seconds or a hundred calls, and a call that meets the closing is lost. */
const headers = { 'content-type': 'application/json', connection: 'close' }

/** The events of a streamed answer, named; or its JSON when there is no stream. */
async function eventsOf(url: string, body: object): Promise<unknown> {
  const answer = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) {
    return [answer.status, JSON.parse(text)]
  }
  return text
    .split('\n\n')
    .filter((event) => event !== '' && !event.startsWith(':'))
    .map((event) => {
      const [, name, data = 'null'] = /^event: (.*)\ndata: (.*)$/.exec(event) ?? []
      return { name, data: JSON.parse(data) as unknown }
    })
}

void t.test('composed answers', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'chat.jinja')
  writeFileSync(file, template)
  const server = await startLlamaServer(directory, ['--jinja', '--chat-template-file', file])
  t.teardown(() => server.child.kill())
  const engine = await startEngine(directory, 'composing', ['--url', server.url, '--slots', server.slots])
  t.teardown(() => engine.child.stop(3_000))
  t.match((await engine.status()).kv, { state: 'on' })

  const direct = async (
    path: string,
    body: object,
  ): Promise<{ status: number; type: string; json: unknown }> => {
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    return {
      status: answer.status,
      type: answer.headers.get('content-type') ?? '',
      json: await answer.json(),
    }
  }
  const empty = async (): Promise<void> => {
    for (const slot of [0, 1]) await direct(`/slots/${slot}?action=erase`, {})
  }
  for (const [path, ofPath] of Object.entries(cases)) {
    await t.test(path, async (t) => {
      for (const [name, how, given] of ofPath) {
        // Not cached, so that both are computed in one go: bits of what is computed in parts may differ.
        const body = { temperature: 0, cache_prompt: false, ...given }
        await empty()
        const expected = await direct(path, body)
        await empty()
        const before = (await engine.status()).counters
        const got = await engine.post(path, body)
        const after = (await engine.status()).counters
        t.match(JSON.stringify(expected.json), shows[name] ?? /./)
        t.equal(got.status, expected.status, `${name}: status`)
        t.equal(got.headers.get('content-type'), expected.type, `${name}: type`)
        t.strictSame(steady(got.json), steady(expected.json), `${name}: equal`)
        t.equal(after.composed - before.composed, how === 'composed' ? 1 : 0, `${name}: ${how}`)
        const again = (counters: typeof after): number => counters.askedAgain.cut ?? 0
        t.equal(again(after) - again(before), how === 'again' ? 1 : 0)
      }
    })
  }
  await t.test('by the official client', async (t) => {
    const ask = async (url: string): Promise<unknown[]> => {
      const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
      const bodies = { chat: cases['/v1/chat/completions'], responses: cases['/v1/responses'] }
      const calls = {
        temperature: 0,
        cache_prompt: false,
        model: 'm',
        max_tokens: 150,
        max_output_tokens: 150,
      }
      await empty()
      const chat = await client.chat.completions.create({
        ...calls,
        ...bodyOf(bodies.chat, 'calls'),
      } as never)
      await empty()
      const body = { ...calls, ...bodyOf(bodies.responses, 'thoughts') }
      return [chat, await client.responses.create(body as never)]
    }
    const expected = await ask(server.url)
    t.match(expected, [{ choices: [{ message: { tool_calls: [{ type: 'function' }] } }] }, { output: Array }])
    t.strictSame(steady(await ask(engine.url)), steady(expected))
  })
  // With a cache, as a request has it that says nothing of one: then it is the chat API that computes.
  await t.test('/v1/messages by the chat API, streamed and not', async (t) => {
    for (const [name, , given] of cases['/v1/messages'] ?? []) {
      for (const stream of [true, false]) {
        const body = { temperature: 0, ...given, stream }
        await empty()
        const expected = await eventsOf(server.url, body)
        await empty()
        const got = await eventsOf(engine.url, body)
        if (stream && name !== 'no messages') {
          t.match(JSON.stringify(expected), /content_block_delta.*message_stop/)
        }
        t.strictSame(steady(got), steady(expected), `${name}${stream ? ', streamed' : ''}`)
      }
    }
  })
  t.same(((await engine.status()) as unknown as { notComposed: unknown }).notComposed, [])
})
