import t from 'tap'
import { chatOfMessages, chatOfResponses } from '../../daemon/adapters/llama/front/convert.ts'
import { treatmentOf } from '../../daemon/adapters/llama/front/endpoints.ts'
import { bodyWith } from '../../daemon/adapters/llama/front/prompt.ts'

void t.test('fields are added behind the client’s own, which stay as they are written', (t) => {
  const added = { id_slot: 1, cache_prompt: true }
  t.equal(bodyWith('{"a":1.50}', added), '{"a":1.50,"id_slot":1,"cache_prompt":true}')
  t.equal(bodyWith(' {\n} \n', added), ' {\n"id_slot":1,"cache_prompt":true}')
  t.equal(bodyWith('{"seed":12345678901234567890, "b":"}"} ', added).includes('12345678901234567890'), true)
  const twice = JSON.parse(bodyWith('{"cache_prompt":false,"b":{}}', added)) as Record<string, unknown>
  t.same(twice, { cache_prompt: true, b: {}, id_slot: 1 })
  t.end()
})

void t.test('a Responses body as a chat', (t) => {
  t.same(chatOfResponses({ model: 'm', instructions: 'Be short.', input: 'Hi', max_output_tokens: 3 }), {
    model: 'm',
    max_output_tokens: 3,
    messages: [
      { role: 'system', content: 'Be short.' },
      { role: 'user', content: 'Hi' },
    ],
  })
  const turns = chatOfResponses({
    input: [
      { role: 'user', content: [{ type: 'input_text', text: 'One' }] },
      {
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Two' }],
      },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: '7' },
    ],
    tools: [{ type: 'function', name: 'f', parameters: {} }, { type: 'web_search' }],
    reasoning: { effort: 'low' },
  })
  const call = { function: { arguments: '{}', name: 'f' }, id: 'c', type: 'function' }
  t.same(turns, {
    messages: [
      { role: 'user', content: [{ text: 'One', type: 'text' }] },
      { role: 'assistant', content: [{ text: 'Two', type: 'text' }], tool_calls: [call] },
      { role: 'tool', content: '7', tool_call_id: 'c' },
    ],
    tools: [{ type: 'function', function: { name: 'f', parameters: {}, strict: true } }],
    reasoning_effort: 'low',
  })
  const image = { role: 'user', content: [{ type: 'input_image', image_url: 'data:,' }] }
  t.equal(chatOfResponses({ input: [image] }), null, 'what is not text is not guessed')
  t.equal(chatOfResponses({ input: 7 }), null)
  t.end()
})

void t.test('a Messages body as a chat', (t) => {
  const chat = chatOfMessages({
    system: [
      { type: 'text', text: 'x-anthropic-billing-header: cch=a5145;You' },
      { type: 'text', text: ' are.' },
    ],
    messages: [
      { role: 'user', content: 'Hi' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm' },
          { type: 'tool_use', id: 'c', name: 'f', input: { a: 1 } },
        ],
      },
      {
        role: 'user',
        content: [{ type: 'tool_result', tool_use_id: 'c', content: [{ type: 'text', text: '7' }] }],
      },
    ],
    tools: [{ name: 'f', description: 'd', input_schema: { type: 'object' } }],
    tool_choice: { type: 'any' },
    max_tokens: 5,
  })
  const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }
  t.same(chat, {
    messages: [
      { role: 'system', content: 'x-anthropic-billing-header: cch=fffff;You are.' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: '', tool_calls: [call], reasoning_content: 'Hm' },
      { role: 'tool', tool_call_id: 'c', content: '7' },
    ],
    tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }],
    tool_choice: 'required',
  })
  const image = { role: 'user', content: [{ type: 'image', source: {} }] }
  t.equal(chatOfMessages({ messages: [image] }), null)
  t.equal(chatOfMessages({}), null)
  t.end()
})

void t.test('paths and what is done with them', (t) => {
  t.same(treatmentOf('POST', '/v1/chat/completions'), { as: 'prompt', kind: 'chat' })
  t.same(treatmentOf('POST', '/completion'), { as: 'prompt', kind: 'native' })
  t.same(treatmentOf('GET', '/v1/models'), { as: 'through' })
  t.same(treatmentOf('POST', '/tokenize'), { as: 'through' })
  t.same(treatmentOf('POST', '/v1/messages/count_tokens'), { as: 'through' })
  t.equal(treatmentOf('POST', '/infill').as, 'all')
  t.equal(treatmentOf('POST', '/slots/0').as, 'refused')
  t.equal(treatmentOf('POST', '/lora-adapters').as, 'refused')
  t.equal(treatmentOf('POST', '/__proto__').as, 'through')
  t.end()
})
