import t from 'tap'
import { ChatComposer } from '../../daemon/adapters/llama/front/compose/chat.ts'
import type { Composed, Composer } from '../../daemon/adapters/llama/front/compose/composer.ts'
import { Composing } from '../../daemon/adapters/llama/front/compose/composing.ts'
import { Composition } from '../../daemon/adapters/llama/front/compose/composition.ts'
import { MessagesComposer } from '../../daemon/adapters/llama/front/compose/messages.ts'
import { ResponsesComposer } from '../../daemon/adapters/llama/front/compose/responses.ts'
import { CompletionsComposer, NativeComposer } from '../../daemon/adapters/llama/front/compose/text.ts'

/** Streams in the shapes that llama-server sends, put together. That the results are what the server itself would answer is
 *  shown by test/e2e/llama-compose.test.ts; here is what a small model does not say, and what goes wrong. */

type Json = Record<string, unknown>

const line = (event: Json | string, name = ''): string => {
  const data = typeof event === 'string' ? event : JSON.stringify(event)
  return `${name === '' ? '' : `event: ${name}\n`}data: ${data}\n\n`
}

function composed(composer: Composer, stream: string, pieceBytes = 2 ** 20, bytesMax?: number): Composed {
  const composition = new Composition(composer, bytesMax)
  const bytes = Buffer.from(stream)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const early = composition.push(bytes.subarray(at, at + pieceBytes))
    if (early?.as === 'again') return early
  }
  return composition.end()
}

function answerOf(result: Composed): Json {
  if (result.as !== 'answer') throw new Error(`not an answer: ${JSON.stringify(result)}`)
  return result.json as Json
}

const chunk = (index: number, delta: Json, predicted?: number, finish: string | null = null): Json => ({
  choices: [{ finish_reason: finish, index, delta }],
  created: 1,
  id: 'chatcmpl-1',
  model: 'm',
  system_fingerprint: 'b1',
  object: 'chat.completion.chunk',
  ...(predicted === undefined ? {} : { timings: { predicted_n: predicted } }),
})
const counts = (tokens: number): Json => ({
  choices: [],
  created: 2,
  id: 'chatcmpl-1',
  model: 'm',
  system_fingerprint: 'b1',
  object: 'chat.completion.chunk',
  usage: { completion_tokens: tokens, prompt_tokens: 3, total_tokens: 3 + tokens },
  timings: { predicted_n: tokens },
})
const role = { role: 'assistant', content: null }
const callPart = (index: number, text: string, name?: string): Json => ({
  tool_calls: [
    {
      index,
      ...(name === undefined ? {} : { id: `id-${index}`, type: 'function' }),
      function: { ...(name === undefined ? {} : { name }), ...(text === '' ? {} : { arguments: text }) },
    },
  ],
})
const chat = (...events: (Json | string)[]): string =>
  [...events, '[DONE]'].map((event) => line(event)).join('')

const spoken = chat(
  chunk(0, role),
  chunk(0, { reasoning_content: 'Hm' }, 1),
  chunk(0, { reasoning_content: 'm €' }, 3),
  chunk(0, { content: 'Zwölf ' }, 5),
  chunk(0, { content: '😀' }, 8),
  chunk(0, callPart(0, '{', 'weather'), 10),
  chunk(0, callPart(0, '"city":"Köln"}'), 14),
  chunk(0, callPart(1, '{', 'time'), 15),
  chunk(0, callPart(1, '}'), 16),
  chunk(0, {}, undefined, 'tool_calls'),
  counts(17),
)

void t.test('chat: thoughts, text and calls, however the bytes are cut', (t) => {
  const expected = {
    choices: [
      {
        finish_reason: 'tool_calls',
        index: 0,
        message: {
          role: 'assistant',
          content: 'Zwölf 😀',
          reasoning_content: 'Hmm €',
          tool_calls: [
            { type: 'function', function: { name: 'weather', arguments: '{"city":"Köln"}' }, id: 'id-0' },
            { type: 'function', function: { name: 'time', arguments: '{}' }, id: 'id-1' },
          ],
        },
      },
    ],
    object: 'chat.completion',
    created: 2,
    id: 'chatcmpl-1',
    model: 'm',
    system_fingerprint: 'b1',
    usage: { completion_tokens: 17, prompt_tokens: 3, total_tokens: 20 },
    timings: { predicted_n: 17 },
  }
  for (const pieceBytes of [1, 2, 3, 7, 64, 2 ** 20]) {
    t.strictSame(answerOf(composed(new ChatComposer(), spoken, pieceBytes)), expected, `${pieceBytes} bytes`)
  }
  const windows = spoken.replaceAll('\n', '\r\n')
  t.strictSame(answerOf(composed(new ChatComposer(), windows, 5)), expected, 'other line ends')
  const pinged = spoken.replaceAll('\n\n', '\n\n:\n\n')
  t.strictSame(answerOf(composed(new ChatComposer(), pinged)), expected, 'pings are no events')
  t.end()
})

void t.test('chat: the counts of several answers are told apart by their order', (t) => {
  const stream = chat(
    chunk(1, { content: 'b' }, 1),
    chunk(0, { content: 'a' }, 1),
    chunk(1, {}, undefined, 'length'),
    counts(1),
    chunk(0, { content: 'aa' }, 2),
    chunk(0, {}, undefined, 'stop'),
    counts(3),
  )
  const { choices, usage } = answerOf(composed(new ChatComposer(), stream))
  t.match(choices, [
    { index: 0, message: { content: 'aaa' } },
    { index: 1, message: { content: 'b' } },
  ])
  t.match(usage, { completion_tokens: 3 }, 'those of the first are answered')
  t.end()
})

void t.test('an end that was not streamed is asked for again', (t) => {
  const said = (predicted: number, finish: string, tokens: number, content = 'a'): string =>
    chat(chunk(0, role), chunk(0, { content }, predicted), chunk(0, {}, undefined, finish), counts(tokens))
  const cut = { as: 'again', why: 'cut' }
  t.match(composed(new ChatComposer(), said(4, 'length', 4)), { as: 'answer' })
  t.same(composed(new ChatComposer(), said(3, 'length', 4)), cut, 'the last token said nothing')
  t.match(composed(new ChatComposer(), said(3, 'stop', 4)), { as: 'answer' }, 'an end by itself says nothing')
  const silent = chat(chunk(0, role, 1), chunk(0, {}, undefined, 'stop'), counts(3))
  t.same(composed(new ChatComposer(), silent), cut, 'three tokens and no word')
  const empty = chat(chunk(0, role, 1), chunk(0, {}, undefined, 'stop'), counts(1))
  t.match(answerOf(composed(new ChatComposer(), empty)), { choices: [{ message: { content: '' } }] })

  const text = (content: string, predicted: number): Json => ({
    object: 'text_completion',
    choices: [{ text: content, index: 0, logprobs: null, finish_reason: null }],
    timings: { predicted_n: predicted },
  })
  const last = (finish: string, tokens: number): Json => ({
    object: 'text_completion',
    choices: [{ text: '', index: 0, logprobs: null, finish_reason: finish }],
    usage: { completion_tokens: tokens },
  })
  const ends = (hasStops: boolean, ...events: Json[]): Composed =>
    composed(new CompletionsComposer(hasStops), chat(...events))
  t.match(ends(true, text('a', 1), text('', 2), last('stop', 2)), { as: 'answer' })
  t.match(ends(false, text('a', 1), text('', 2), last('length', 2)), { as: 'answer' })
  t.same(ends(true, text('a', 1), text('', 2), last('length', 2)), cut, 'perhaps half a stop word')
  t.same(ends(false, text('a', 1), last('stop', 2)), cut, 'half a character, then the end')
  t.match(ends(false, last('length', 0)), { as: 'answer' }, 'nothing was to be computed')

  const completed = (tokens: number): string =>
    line({ type: 'response.output_text.delta', delta: 'a', timings: { predicted_n: 3 } }) +
    line({
      type: 'response.completed',
      response: {
        created_at: 5,
        output: [{ type: 'reasoning' }, { type: 'message' }],
        usage: { input_tokens: 10, output_tokens: tokens },
      },
    })
  const limits = { answerTokens: [4], contextTokens: 100 }
  t.same(composed(new ResponsesComposer(limits), completed(4)), cut, 'its own limit')
  t.same(
    composed(new ResponsesComposer({ answerTokens: [], contextTokens: 15 }), completed(4)),
    cut,
    'no room',
  )
  t.match(
    answerOf(composed(new ResponsesComposer({ answerTokens: [9], contextTokens: 100 }), completed(4))),
    {
      completed_at: 5,
      output: [
        { type: 'reasoning', status: 'completed' },
        { type: 'message', status: undefined },
      ],
    },
  )
  t.match(composed(new ResponsesComposer(limits), completed(3)), { as: 'answer' })
  t.end()
})

const started = (event: Json): string => line(event, String(event.type))
const block = (index: number, content_block: Json): string =>
  started({ type: 'content_block_start', index, content_block })
const delta = (index: number, inner: Json): string =>
  started({ type: 'content_block_delta', index, delta: inner })
const begin = started({
  type: 'message_start',
  message: { id: 'x', role: 'assistant', content: [], usage: { input_tokens: 2, output_tokens: 0 } },
})
const finish = (stop_reason: string, output_tokens: number): string =>
  started({
    type: 'message_delta',
    delta: { stop_reason, stop_sequence: null },
    usage: { output_tokens },
  }) + started({ type: 'message_stop' })

void t.test('messages: blocks by what they hold, calls by their id', (t) => {
  const stream =
    begin +
    block(0, { type: 'text', text: '' }) +
    delta(0, { type: 'text_delta', text: 'Well ' }) +
    block(0, { type: 'thinking', thinking: '' }) +
    delta(0, { type: 'thinking_delta', thinking: 'late' }) +
    block(2, { type: 'tool_use', id: 'one', name: 'weather' }) +
    delta(2, { type: 'input_json_delta', partial_json: '{"a":' }) +
    block(2, { type: 'tool_use', id: 'one', name: 'weather' }) +
    delta(2, { type: 'input_json_delta', partial_json: '1}' }) +
    block(3, { type: 'tool_use', id: 'two', name: 'time' }) +
    delta(3, { type: 'input_json_delta', partial_json: '{"half' }) +
    delta(0, { type: 'text_delta', text: 'then' }) +
    delta(0, { type: 'signature_delta', signature: '' }) +
    started({ type: 'content_block_stop', index: 0 }) +
    finish('tool_use', 40)
  t.strictSame(answerOf(composed(new MessagesComposer(), stream, 3)), {
    id: 'x',
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'late', signature: '' },
      { type: 'text', text: 'Well then' },
      { type: 'tool_use', id: 'one', name: 'weather', input: { a: 1 } },
      { type: 'tool_use', id: 'two', name: 'time', input: {} },
    ],
    usage: { input_tokens: 2, output_tokens: 40 },
    stop_reason: 'tool_use',
    stop_sequence: null,
  })
  const short = begin + delta(0, { type: 'text_delta', text: 'a' })
  const cut = { as: 'again', why: 'cut' }
  t.same(composed(new MessagesComposer(), short + finish('max_tokens', 2)), cut)
  t.match(composed(new MessagesComposer(), short + finish('max_tokens', 1)), { as: 'answer' })
  t.same(
    composed(new MessagesComposer(), short.slice(begin.length) + finish('end_turn', 2)),
    cut,
    'no beginning',
  )
  t.end()
})

void t.test('llama.cpp’s own: one answer, or a list for several prompts', (t) => {
  const part = (index: number, content: string, predicted: number): string =>
    line({ index, content, tokens: [7], stop: false, tokens_predicted: predicted })
  const last = (index: number, predicted: number): string =>
    line({
      index,
      content: '',
      tokens: [],
      stop: true,
      stop_type: 'limit',
      tokens_predicted: predicted,
      generation_settings: { stream: true, seed: 1 },
    })
  const one = part(0, 'a', 1) + part(0, 'b', 2) + last(0, 2)
  t.match(answerOf(composed(new NativeComposer(false), one)), {
    content: 'ab',
    tokens: [],
    generation_settings: { stream: false, seed: 1 },
  })
  const two = `${part(1, 'x', 1)}${line('null')}${last(1, 1)}${one}`
  t.match(composed(new NativeComposer(false), two), {
    json: [
      { index: 0, content: 'ab' },
      { index: 1, content: 'x' },
    ],
  })
  t.same(
    composed(new NativeComposer(false), part(1, 'x', 1) + last(1, 1)),
    { as: 'gone' },
    'the first is missing',
  )
  t.end()
})

void t.test('errors, ends and forms that are not expected', (t) => {
  const refused = { code: 400, message: 'too long', type: 'exceed_context_size_error', n_ctx: 5 }
  const before = line(chunk(0, role))
  t.same(composed(new ChatComposer(), before + line({ error: refused })), {
    as: 'error',
    status: 400,
    json: { error: refused },
  })
  t.same(composed(new MessagesComposer(), begin + line(refused, 'error')), {
    as: 'error',
    status: 400,
    json: { error: refused },
  })
  const own = { code: 500, message: 'Invalid diff', type: 'server_error' }
  t.same(composed(new ChatComposer(), before + line({ error: own })), { as: 'again', why: 'failed' })
  const unlike = { as: 'again', why: 'unlike' }
  for (const strange of [
    '{"half',
    '[1]',
    chunk(0, { content: 'a', refusal: 'no' }),
    chunk(0, { content: 7 }),
    { ...chunk(0, {}), object: 'chat.completion' },
    { ...chunk(0, {}), choices: [{ index: 0, delta: {}, finish_reason: null, logprobs: {} }] },
    counts(1),
    chunk(0, { tool_calls: [{ index: 0, type: 'custom', custom: {} }] }),
  ]) {
    t.same(composed(new ChatComposer(), before + line(strange)), unlike, JSON.stringify(strange))
  }
  const whole = spoken.slice(0, spoken.indexOf('data: [DONE]'))
  t.same(composed(new ChatComposer(), whole), { as: 'gone' }, 'without the last word of the stream')
  t.same(composed(new ChatComposer(), whole.slice(0, 900)), { as: 'gone' }, 'or without its end')
  t.same(composed(new ChatComposer(), ''), { as: 'gone' })
  const tooLarge = { as: 'again', why: 'too_large' }
  const long = before + line(chunk(0, { content: 'y'.repeat(300) })).repeat(2)
  t.same(composed(new ChatComposer(), long, 2 ** 20, 500), tooLarge)
  t.same(
    composed(new ChatComposer(), long, 2 ** 20, 600),
    { as: 'gone' },
    'what is held counts, not the stream',
  )
  const endlessLine = `data: ${'x'.repeat(600)}`
  t.same(composed(new ChatComposer(), endlessLine, 16, 500), tooLarge, 'one line')
  const shared = { text: 'a', index: 0, finish_reason: null, logprobs: { content: [{ token: 'a' }] } }
  const probable = line({ object: 'text_completion', choices: [shared] }).repeat(9)
  t.same(composed(new CompletionsComposer(false), probable, 64, 500), tooLarge, 'probabilities count whole')
  t.end()
})

void t.test('what is composed is decided by the request alone', (t) => {
  const composing = new Composing()
  const server = { thoughts: 'apart', contextTokens: 100 } as const
  const whyNot = (
    ...[kind, body]: Parameters<Composing['choose']> extends [infer K, infer B, unknown] ? [K, B] : never
  ) => {
    const choice = composing.choose(kind, body, server)
    return choice.as === 'plain' ? choice.why : 'composed'
  }
  const user = [{ role: 'user', content: 'a' }]
  t.equal(whyNot('chat', { messages: user }), 'composed')
  t.equal(whyNot('chat', { messages: user, stream: false, logprobs: false, stop: ['a'], n: 2 }), 'composed')
  t.equal(whyNot('chat', { messages: user, stream: true }), 'streamed')
  t.equal(whyNot('chat', { messages: user, stream: 'yes' }), 'streamed')
  t.equal(whyNot('chat', { messages: [...user, { role: 'assistant', content: 'b' }] }), 'continued')
  t.equal(whyNot('messages', { messages: [...user, { role: 'assistant', content: 'b' }] }), 'continued')
  t.equal(whyNot('chat', { messages: user, logprobs: true }), 'probabilities')
  t.equal(whyNot('chat', { messages: user, n_probs: 1 }), 'probabilities')
  t.equal(whyNot('chat', { messages: user, reasoning_format: 'deepseek-legacy' }), 'thoughts_in_text')
  t.equal(whyNot('completions', { logprobs: 5 }), 'composed')
  t.equal(whyNot('completions', { logprobs: 5, stop: 'a' }), 'probabilities')
  t.equal(whyNot('native', { n_probs: 21 }), 'probabilities')
  t.equal(whyNot('native', { return_tokens: true }), 'tokens')
  t.equal(whyNot('native', { n_indent: 2 }), 'indent')
  t.equal(whyNot('responses', { n: 2 }), 'several')
  t.equal(whyNot('responses', { n: 1 }), 'composed')
  t.equal(composing.choose('chat', {}, { ...server, thoughts: 'unknown' }).as, 'plain')
  t.equal(composing.choose('native', {}, { ...server, thoughts: 'unknown' }).as, 'compose')
  for (const outcome of ['failed', 'failed', 'composed', 'failed', 'failed', 'cut'] as const) {
    composing.saw('chat', outcome)
  }
  t.same(composing.avoided(), [], 'failures between answers are not the stream’s')
  composing.saw('chat', 'failed')
  t.same(composing.avoided(), ['chat'], 'three in a row are')
  composing.restart()
  composing.saw('chat', 'failed')
  t.same(composing.avoided(), [])
  composing.saw('chat', 'unlike')
  t.equal(whyNot('chat', { messages: user }), 'avoided')
  t.same(composing.avoided(), ['chat'])
  composing.restart()
  t.equal(whyNot('chat', { messages: user }), 'composed', 'another life, perhaps another release')
  t.end()
})
