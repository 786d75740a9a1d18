import t from 'tap'
import type { Composed } from '../../daemon/adapters/llama/front/compose/composer.ts'
import { Composition } from '../../daemon/adapters/llama/front/compose/composition.ts'
import { MessagesEvents } from '../../daemon/adapters/llama/front/compose/messages-events.ts'
import { MessagesOfChatComposer } from '../../daemon/adapters/llama/front/compose/messages-of-chat.ts'
import { Translation } from '../../daemon/adapters/llama/front/compose/translation.ts'
import { chatRequestOfMessages } from '../../daemon/adapters/llama/front/convert.ts'

/** Requests of the Anthropic API that are sent to the chat API: the request, the answer, the stream. Equality with the server's own is
 *  shown by test/e2e/llama-compose.test.ts. */

type Json = Record<string, unknown>

const chunk = (delta: Json, more: Json = {}, finish: string | null = null): Json => ({
  choices: [{ finish_reason: finish, index: 0, delta }],
  id: 'x',
  model: 'm',
  object: 'chat.completion.chunk',
  ...more,
})
const counted = (predicted: number): Json => ({
  timings: { cache_n: 8, prompt_n: 4, predicted_n: predicted },
})
const call = (index: number, name: string, text: string): Json => ({
  tool_calls: [{ index, ...(name === '' ? {} : { id: `id${index}` }), function: { name, arguments: text } }],
})
const last = (finish: string, word = ''): Json =>
  chunk({}, { __verbose: { stopping_word: word, tokens_predicted: 9 } }, finish)
const usage = {
  choices: [],
  id: 'x',
  model: 'm',
  object: 'chat.completion.chunk',
  usage: { completion_tokens: 9, prompt_tokens: 12, prompt_tokens_details: { cached_tokens: 8 } },
}
const stream = (...chunks: Json[]): Buffer =>
  Buffer.from(
    [...chunks.map((one) => JSON.stringify(one)), '[DONE]'].map((data) => `data: ${data}\n\n`).join(''),
  )

const said = [
  chunk({ role: 'assistant', content: null }),
  chunk({ reasoning_content: 'Hm' }, counted(1)),
  chunk({ content: 'Well' }, counted(3)),
  chunk(call(0, 'weather', '{'), counted(5)),
  chunk(call(0, '', '"a":1}'), counted(6)),
  chunk(call(1, 'time', '{}'), counted(8)),
]

void t.test('an answer', (t) => {
  const composed = (...chunks: Json[]): Composed => {
    const composition = new Composition(new MessagesOfChatComposer())
    composition.push(stream(...chunks))
    return composition.end()
  }
  t.strictSame(composed(...said, last('tool_calls'), usage), {
    as: 'answer',
    json: {
      id: 'x',
      type: 'message',
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Hm', signature: '' },
        { type: 'text', text: 'Well' },
        { type: 'tool_use', id: 'id0', name: 'weather', input: { a: 1 } },
        { type: 'tool_use', id: 'id1', name: 'time', input: {} },
      ],
      model: 'm',
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: { cache_read_input_tokens: 8, input_tokens: 4, output_tokens: 9 },
    },
  })
  t.match(composed(...said, last('stop', 'END'), usage), {
    json: { stop_reason: 'end_turn', stop_sequence: 'END' },
  })
  t.same(composed(...said, last('length'), usage), { as: 'again', why: 'cut' }, 'the last token said nothing')
  const whole = composed(...said, chunk({ content: '.' }, counted(9)), last('length'), usage)
  t.match(whole, { json: { stop_reason: 'max_tokens' } })
  const unknown = composed(...said, chunk({}, {}, 'stop'), usage)
  t.same(unknown, { as: 'again', why: 'unlike' }, 'a server that does not tell the stop word')
  t.end()
})

/** The events as short words. */
function told(events: MessagesEvents, ...chunks: Json[]): string[] {
  return chunks
    .flatMap((one) => events.take(one))
    .map(({ name, data }) => {
      const { content_block: block, delta } = data as { content_block?: Json; delta?: Json }
      const what = block?.name ?? block?.type ?? delta?.text ?? delta?.thinking ?? delta?.partial_json
      return [name.replace('content_block_', ''), data.index, what]
        .filter((word) => word !== undefined)
        .join(' ')
    })
}

void t.test('a stream', (t) => {
  const events = new MessagesEvents()
  t.same(events.take(said[0] as Json), [], 'the beginning waits for the counts of the prompt')
  const [start] = events.take(said[1] as Json)
  t.strictSame(start?.data, {
    type: 'message_start',
    message: {
      id: 'x',
      type: 'message',
      role: 'assistant',
      content: [],
      model: 'm',
      stop_reason: null,
      stop_sequence: null,
      usage: { cache_read_input_tokens: 8, input_tokens: 4, output_tokens: 0 },
    },
  })
  t.same(told(new MessagesEvents(), ...said, last('tool_calls'), usage), [
    'message_start',
    'start 0 thinking',
    'delta 0 Hm',
    'start 1 text',
    'delta 1 Well',
    'start 2 weather',
    'delta 2 {',
    'delta 2 "a":1}',
    'start 3 time',
    'delta 3 {}',
    'delta 0',
    'stop 0',
    'stop 1',
    'stop 2',
    'stop 3',
    'message_delta',
    'message_stop',
  ])
  const end = { __verbose: { stopping_word: 'END', tokens_predicted: 9 } }
  const late = [chunk({ content: '!' }, end), chunk(call(1, '', ' ')), chunk({}, {}, 'stop')]
  t.same(
    told(new MessagesEvents(), ...said, ...late).slice(10, 14),
    ['start 1 text', 'delta 1 !', 'start 3 time', 'delta 3  '],
    'what the last step adds begins its block anew',
  )
  const words = new MessagesEvents()
  told(words, ...said)
  t.match(words.take(last('stop', 'END')).at(-2)?.data, {
    delta: { stop_reason: 'end_turn', stop_sequence: 'END' },
    usage: { output_tokens: 9 },
  })
  t.same(new MessagesEvents().take({ error: { code: 500 } }), [{ name: 'error', data: { code: 500 } }])
  t.same(
    told(new MessagesEvents(), chunk({ content: 'a' }, counted(2))),
    ['start 0 text', 'delta 0 a'],
    'no first token',
  )
  t.end()
})

void t.test('a stream as bytes, its counts corrected', (t) => {
  const bytes = stream(...said, last('stop'))
  for (const pieceBytes of [1, 7, 2 ** 20]) {
    const translation = new Translation(new MessagesEvents(), { computedTokens: 8, computedMs: 1 })
    let text = ''
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      text += translation.push(bytes.subarray(at, at + pieceBytes))
    }
    t.match(text, /^event: message_start\ndata: \{"type":"message_start"/)
    t.ok(text.includes('"cache_read_input_tokens":0,"input_tokens":12,'))
    t.ok(text.endsWith('event: message_stop\ndata: {"type":"message_stop"}\n\n'))
    t.same(translation.seen, { promptTokens: 12, cachedTokens: 8 })
  }
  const translation = new Translation(new MessagesEvents(), null)
  t.equal(translation.push(Buffer.from(':\n\n')), ':\n\n', 'what keeps the connection alive')
  t.equal(translation.push(Buffer.from('data: {"ha\n\ndata: 7\n\ndata: [DONE]\n\n')), '')
  t.end()
})

void t.test('a request', (t) => {
  const of = (text: string): Json | null => chatRequestOfMessages(JSON.parse(text) as Json, text)
  t.strictSame(
    of(
      '{"model":"m","stream":true,"messages":[{"role":"user","content":"a"}],"stop_sequences":["b"],"temperature":1.0,"id_slot":3}',
    ),
    { messages: [{ role: 'user', content: 'a' }], stop: ['b'], max_tokens: 4_096, temperature: 1 },
  )
  t.match(of('{"messages":[],"max_tokens":7,"thinking":{"type":"enabled","budget_tokens":5}}'), {
    max_tokens: 7,
    thinking_budget_tokens: 5,
  })
  t.match(of('{"messages":[],"thinking":{"type":"enabled"}}'), { thinking_budget_tokens: 10_000 })
  for (const inner of ['1.0', '12345678901234567890', '1e3', '{"2":0,"1":0}']) {
    t.equal(
      of(`{"messages":[{"role":"user","content":"a"}],"tools":[{"input_schema":{"default":${inner}}}]}`),
      null,
      inner,
    )
  }
  t.not(of('{"messages":[],"tools":[{"input_schema":{"default":0.25}}],"top_p":0.50}'), null)
  t.equal(of('{"messages":[],"tools":[{"input_schema":{"temperature":1.0}}],"temperature":1}'), null)
  t.end()
})
