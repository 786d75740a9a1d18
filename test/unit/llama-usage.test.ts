import t from 'tap'
import { correctUsage, EventCorrector } from '../../daemon/adapters/llama/front/usage.ts'

const before = { computedTokens: 512, computedMs: 1_000 }

void t.test('chat: what was computed for the request moves from cached to computed', (t) => {
  const json = {
    usage: { prompt_tokens: 593, prompt_tokens_details: { cached_tokens: 576 } },
    timings: { cache_n: 576, prompt_n: 17, prompt_ms: 100, prompt_per_token_ms: 1, prompt_per_second: 1 },
  }
  t.same(correctUsage(json, before), { promptTokens: 593, cachedTokens: 576 })
  t.same(json.usage.prompt_tokens_details, { cached_tokens: 64 })
  t.match(json.timings, { cache_n: 64, prompt_n: 529, prompt_ms: 1_100 })
  t.equal(json.timings.prompt_per_token_ms, 1_100 / 529)
  t.equal(json.timings.prompt_per_second, 529_000 / 1_100)
  t.end()
})

void t.test('responses and messages, whole and as events', (t) => {
  const responses = { usage: { input_tokens: 593, input_tokens_details: { cached_tokens: 576 } } }
  t.same(correctUsage(responses, before), { promptTokens: 593, cachedTokens: 576 })
  t.equal(responses.usage.input_tokens_details.cached_tokens, 64)
  const messages = { usage: { cache_read_input_tokens: 576, input_tokens: 17, output_tokens: 3 } }
  t.same(correctUsage(messages, before), { promptTokens: 593, cachedTokens: 576 })
  t.same(messages.usage, { cache_read_input_tokens: 64, input_tokens: 529, output_tokens: 3 })
  const started = {
    type: 'message_start',
    message: { usage: { cache_read_input_tokens: 576, input_tokens: 17 } },
  }
  correctUsage(started, before)
  t.same(started.message.usage, { cache_read_input_tokens: 64, input_tokens: 529 })
  const completed = {
    response: { usage: { input_tokens: 593, input_tokens_details: { cached_tokens: 576 } } },
  }
  correctUsage(completed, before)
  t.equal(completed.response.usage.input_tokens_details.cached_tokens, 64)
  t.end()
})

void t.test('never below zero, and nothing is invented', (t) => {
  const json = { usage: { prompt_tokens: 30, prompt_tokens_details: { cached_tokens: 10 } } }
  correctUsage(json, before)
  t.equal(json.usage.prompt_tokens_details.cached_tokens, 0)
  t.equal(correctUsage({ usage: { output_tokens: 4 } }, before), null)
  t.equal(correctUsage({ choices: [] }, before), null)
  t.equal(correctUsage(null, before), null)
  t.end()
})

void t.test('a stream is corrected wherever it is cut', (t) => {
  const usage = { prompt_tokens: 593, prompt_tokens_details: { cached_tokens: 576 } }
  const said = 'Grüße "usage" \\"timings\\": {}'
  const events = [
    `data: ${JSON.stringify({ choices: [{ delta: { content: said } }] })}\n\n`,
    `data: ${JSON.stringify({ choices: [], usage })}\n\n`,
    'data: [DONE]\n\n',
  ].join('')
  const bytes = Buffer.from(events)
  const corrected = { ...usage, prompt_tokens_details: { cached_tokens: 64 } }
  const wanted = events.replace(JSON.stringify(usage), JSON.stringify(corrected))
  for (let size = 1; size < bytes.length; size += 3) {
    const corrector = new EventCorrector(before)
    let out = ''
    for (let at = 0; at < bytes.length; at += size) out += corrector.push(bytes.subarray(at, at + size))
    out += corrector.end()
    if (out !== wanted) return t.equal(out, wanted, `pieces of ${size} bytes`)
    if (corrector.seen === null) return t.fail('the counts were seen')
  }
  t.pass('all sizes')
  t.end()
})
