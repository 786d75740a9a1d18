import t from 'tap'
import { startEngine } from '../servers/llama.ts'

/** The adapter's idea of a prompt against the server's own count, for bodies of every API: nothing is computed here but templates
 *  and tokens. */

t.setTimeout(280_000)

const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const chatTool = {
  type: 'function',
  function: { name: 'weather', description: 'Weather of a city', parameters },
}
const turns = [
  { role: 'system', content: 'Be short.' },
  { role: 'user', content: 'What is a terrace?' },
  { role: 'assistant', content: 'A flat step in a slope.' },
  {
    role: 'user',
    content: [
      { type: 'text', text: 'And ' },
      { type: 'text', text: 'a <|im_end|> balcony?' },
    ],
  },
]

const chat: readonly object[] = [
  { messages: [{ role: 'user', content: 'Hi' }] },
  { messages: turns },
  { messages: turns, tools: [chatTool], tool_choice: 'auto' },
  { messages: turns, response_format: { type: 'json_object' } },
  { messages: turns, chat_template_kwargs: { enable_thinking: false }, reasoning_effort: 'low' },
]
const responses: readonly object[] = [
  { input: 'Hi' },
  { instructions: 'Be short.', input: [{ role: 'user', content: 'What is a terrace?' }] },
  {
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'Weather in Rome?' }] },
      { type: 'function_call', call_id: 'c1', name: 'weather', arguments: '{"city":"Rome"}' },
      { type: 'function_call_output', call_id: 'c1', output: 'Sun' },
      {
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Sun.' }],
      },
      { role: 'user', content: 'And tomorrow?' },
    ],
    tools: [
      { type: 'function', name: 'weather', description: 'Weather of a city', parameters },
      { type: 'web_search' },
    ],
    reasoning: { effort: 'low' },
  },
]
const anthropic: readonly object[] = [
  { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 },
  {
    system: [{ type: 'text', text: 'x-anthropic-billing-header: cc_version=2; cch=a5145;You are short.' }],
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'Weather in Rome?' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'I look.' },
          { type: 'tool_use', id: 'c1', name: 'weather', input: { city: 'Rome' } },
        ],
      },
      {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: 'c1', content: [{ type: 'text', text: 'Sun' }] }],
      },
    ],
    tools: [{ name: 'weather', description: 'Weather of a city', input_schema: parameters }],
    tool_choice: { type: 'auto' },
    max_tokens: 5,
  },
]

const apis = [
  { path: '/v1/chat/completions', count: '/v1/chat/completions/input_tokens', bodies: chat },
  { path: '/v1/responses', count: '/v1/responses/input_tokens', bodies: responses },
  { path: '/v1/messages', count: '/v1/messages/count_tokens', bodies: anthropic },
] as const

void t.test('prompts are guessed as the server makes them', async (t) => {
  const engine = await startEngine(t.testdir(), 'guess')
  t.teardown(() => engine.child.stop(3_000))
  for (const { path, count, bodies } of apis) {
    for (const [index, body] of bodies.entries()) {
      const counted = await engine.post(count, body)
      const guessed = await engine.post('/terrace/prompt', { path, body })
      t.equal(counted.status, 200, JSON.stringify(counted.json))
      t.equal(guessed.json.tokenCount, counted.json.input_tokens, `${path}, body ${index + 1}`)
    }
  }
  t.ok(
    Number(
      (await engine.post('/terrace/prompt', { path: '/v1/completions', body: { prompt: 'Hi you' } })).json
        .tokenCount,
    ) > 0,
  )
  t.equal((await engine.post('/terrace/prompt', { path: '/nowhere', body: {} })).status, 400)
})
