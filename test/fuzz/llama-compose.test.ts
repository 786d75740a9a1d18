import t from 'tap'
import { ChatComposer } from '../../daemon/adapters/llama/front/compose/chat.ts'
import type { Composer } from '../../daemon/adapters/llama/front/compose/composer.ts'
import { Composition } from '../../daemon/adapters/llama/front/compose/composition.ts'
import { MessagesComposer } from '../../daemon/adapters/llama/front/compose/messages.ts'
import { MessagesEvents } from '../../daemon/adapters/llama/front/compose/messages-events.ts'
import { MessagesOfChatComposer } from '../../daemon/adapters/llama/front/compose/messages-of-chat.ts'
import { ResponsesComposer } from '../../daemon/adapters/llama/front/compose/responses.ts'
import { CompletionsComposer, NativeComposer } from '../../daemon/adapters/llama/front/compose/text.ts'
import { Translation } from '../../daemon/adapters/llama/front/compose/translation.ts'

type Json = Record<string, unknown>

/** A small fast generator, so that a failing case can be named by its number. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return (state ^ (state >>> 13)) >>> 0
  }
}

const timings = { predicted_n: 1, cache_n: 2, prompt_n: 3 }
const chunk = (delta: Json, finish: string | null = null): Json => ({
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason: finish }],
  timings,
})
const call = { index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }
const chat: readonly Json[] = [
  chunk({ role: 'assistant', content: null }),
  chunk({ reasoning_content: 'a' }),
  chunk({ content: 'b' }),
  chunk({ tool_calls: [call] }),
  { ...chunk({}, 'stop'), __verbose: { stopping_word: '', tokens_predicted: 4 } },
  {
    object: 'chat.completion.chunk',
    choices: [],
    usage: { completion_tokens: 4, prompt_tokens: 5, prompt_tokens_details: { cached_tokens: 2 } },
  },
]
const text = (choice: Json, more: Json): Json => ({
  object: 'text_completion',
  choices: [{ index: 0, text: '', logprobs: null, finish_reason: null, ...choice }],
  ...more,
})
const settings = { generation_settings: { stream: true }, stop_type: 'eos' }
const streams: readonly (readonly [make: () => Composer, events: readonly Json[]])[] = [
  [() => new ChatComposer(), chat],
  [() => new MessagesOfChatComposer(), chat],
  [
    () => new CompletionsComposer(true),
    [
      text({ text: 'a', logprobs: { content: [{ id: 1 }] } }, { timings }),
      text({ finish_reason: 'stop' }, { usage: { completion_tokens: 1 } }),
    ],
  ],
  [
    () => new NativeComposer(true),
    [
      { index: 0, content: 'a', stop: false, tokens_predicted: 1, completion_probabilities: [{ id: 1 }] },
      { index: 0, content: '', stop: true, tokens_predicted: 1, ...settings },
    ],
  ],
  [
    () => new ResponsesComposer({ answerTokens: [4], contextTokens: 9 }),
    [
      { type: 'response.output_text.delta', delta: 'a', timings },
      {
        type: 'response.completed',
        response: { output: [{ type: 'reasoning' }], usage: { input_tokens: 1, output_tokens: 1 } },
      },
    ],
  ],
  [
    () => new MessagesComposer(),
    [
      { type: 'message_start', message: { content: [], usage: { input_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 'a', name: 'f' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{}' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } },
      { type: 'message_stop' },
    ],
  ],
]

const strange: readonly unknown[] = [
  null,
  true,
  -1,
  1e300,
  '',
  'x',
  [],
  [null],
  {},
  { code: 400 },
  '__proto__',
]

const anything = (next: () => number): unknown => structuredClone(strange[next() % strange.length])

/** Changes, adds or takes away something somewhere in a value, in place. */
function damage(value: unknown, next: () => number): void {
  let at = value
  while (typeof at === 'object' && at !== null) {
    const names = Object.keys(at)
    const name = names[next() % Math.max(1, names.length)] ?? 'error'
    const inner: unknown = (at as Json)[name]
    if (typeof inner === 'object' && inner !== null && next() % 3 > 0) {
      at = inner
      continue
    }
    const how = next() % 4
    if (how === 0) delete (at as Json)[name]
    else if (how === 1) (at as Json)[next() % 2 === 0 ? 'error' : `${name}_new`] = anything(next)
    else (at as Json)[name] = anything(next)
    return
  }
}

function bytesOf(events: readonly Json[], next: () => number): Buffer {
  const damaged = structuredClone(events) as Json[]
  for (let edits = next() % 3; edits > 0; edits--) damage(damaged[next() % damaged.length], next)
  if (next() % 5 === 0) damaged.splice(next() % damaged.length, 1)
  if (next() % 5 === 0) damaged.push(structuredClone(damaged[next() % damaged.length]) as Json)
  const lines = damaged.map((event) => `data: ${JSON.stringify(event)}\n\n`)
  const bytes = Buffer.from(`${lines.join('')}data: [DONE]\n\n`)
  if (next() % 6 === 0) bytes[next() % bytes.length] = next() & 0xff
  return next() % 6 === 0 ? bytes.subarray(0, next() % bytes.length) : bytes
}

void t.test('60,000 damaged streams: a typed result each', (t) => {
  const results = new Map<string, number>()
  for (let round = 0; round < 60_000; round++) {
    const next = generator(round)
    const [make, events] = streams[round % streams.length] ?? [() => new ChatComposer(), chat]
    const composition = new Composition(make())
    const bytes = bytesOf(events, next)
    const cut = next() % (bytes.length + 1)
    try {
      composition.push(bytes.subarray(0, cut))
      composition.push(bytes.subarray(cut))
      const result = composition.end()
      if (result.as === 'answer') JSON.stringify(result.json)
      const name = result.as === 'again' ? result.why : result.as
      results.set(name, (results.get(name) ?? 0) + 1)
    } catch (error) {
      t.fail(`round ${round} threw ${String(error)}: ${bytes.toString()}`)
      break
    }
  }
  for (const wanted of ['answer', 'error', 'gone', 'cut', 'failed', 'unlike']) {
    t.ok((results.get(wanted) ?? 0) > 0, `${wanted} occurs`)
  }
  t.end()
})

void t.test('20,000 damaged chat streams told as another API’s: whole events each', (t) => {
  for (let round = 0; round < 20_000; round++) {
    const translation = new Translation(new MessagesEvents(), { computedTokens: 1, computedMs: 1 })
    const bytes = bytesOf(chat, generator(round))
    try {
      const told = translation.push(bytes)
      if (told === '' || told.endsWith('\n\n')) continue
      t.fail(`round ${round} told ${told}`)
    } catch (error) {
      t.fail(`round ${round} threw ${String(error)}: ${bytes.toString()}`)
    }
    break
  }
  t.pass('none threw')
  t.end()
})
