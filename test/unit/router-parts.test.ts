import { createHash } from 'node:crypto'
import t from 'tap'
import { HeldBytes } from '../../router/admit.ts'
import { judge } from '../../router/cursor.ts'
import { EventStreamReader } from '../../router/event-stream.ts'
import { type Health, nextHealth, unknownHealth } from '../../router/health.ts'
import { PrefillRate, WorkerLoad } from '../../router/load.ts'
import { cautiousLinks, nodeReportOf } from '../../router/node-report.ts'
import { modelsIn } from '../../router/probe.ts'
import { promptNamesOf } from '../../router/prompt-names.ts'
import { refusalBody, refusalEvent, refusalKinds, refuse } from '../../router/refusal.ts'
import { answeredHeaders, forwardedHeaders } from '../../router/steering.ts'
import { Identify, readKeys } from '../../router/tenant.ts'
import { usageOf } from '../../router/usage.ts'
import { requestBytesHeldMax } from '../../tiers/block/limits.ts'

void t.test('health: two failures or one refusal put a worker out, one good look brings it back', (t) => {
  const after = (...kinds: ('good' | 'refused' | 'failed' | 'late')[]): Health['at'] =>
    kinds.reduce((health: Health, kind) => nextHealth(health, { kind }), unknownHealth).at
  t.equal(after(), 'unknown')
  t.equal(after('good'), 'serving')
  t.equal(after('good', 'failed'), 'serving')
  t.equal(after('good', 'failed', 'good', 'failed'), 'serving', 'failures in a row count')
  t.equal(after('good', 'failed', 'late'), 'out')
  t.equal(after('good', 'refused'), 'out')
  t.equal(after('good', 'refused', 'failed', 'good'), 'serving')
  t.equal(after('failed'), 'unknown', 'never gets requests before a good look')
  t.end()
})

void t.test('bodies: what is held has a roof, and what is given back makes room', (t) => {
  const held = new HeldBytes()
  t.ok(held.take(requestBytesHeldMax))
  t.notOk(held.take(1))
  t.equal(held.byteCount, requestBytesHeldMax)
  held.give(10)
  t.ok(held.take(10))
  t.end()
})

void t.test('load: a ticket counts once, whatever is called how often', (t) => {
  const load = new WorkerLoad()
  const first = load.begin(100)
  const second = load.begin(50)
  t.same([load.waitingTokens, load.streams], [150, 2])
  first.prefilled()
  first.prefilled()
  t.same([load.waitingTokens, load.streams], [50, 2])
  first.end()
  first.end()
  second.end()
  t.same([load.waitingTokens, load.streams], [0, 0])
  t.end()
})

void t.test('prefill rate: learned from long prompts, not from short or impossible ones', (t) => {
  const rate = new PrefillRate()
  const seed = rate.tokensPerSecond
  rate.learn(10, 5)
  rate.learn(1_000, 0)
  rate.learn(1_000, -1)
  t.equal(rate.tokensPerSecond, seed)
  for (let i = 0; i < 10; i++) rate.learn(2_000, 4)
  t.ok(Math.abs(rate.tokensPerSecond - 500) < 10)
  for (let i = 0; i < 60; i++) rate.learn(2_000, 1)
  t.ok(Math.abs(rate.tokensPerSecond - 2_000) < 20, 'old times fade')
  t.end()
})

void t.test('events: next, old, gap, and another life of the publisher', (t) => {
  const cursor = { publisher: 'n', epoch: 'e', sequence: 5 }
  const at = (sequence: number, epoch = 'e', publisher = 'n') => judge(cursor, { publisher, epoch, sequence })
  t.equal(at(6), 'next')
  t.equal(at(5), 'old')
  t.equal(at(7), 'gap')
  t.equal(at(6, 'f'), 'epoch')
  t.equal(at(6, 'e', 'm'), 'epoch')
  t.equal(judge(null, { publisher: 'n', epoch: 'e', sequence: 1 }), 'epoch')
  t.end()
})

void t.test('event streams: messages in any cut of the bytes', (t) => {
  const text = 'id: 1\nevent: batch\ndata: {"a":1}\n\n: beat\n\ndata: x\r\ndata:y\r\n\r\nevent: none\n\n'
  for (let size = 1; size <= text.length; size++) {
    const reader = new EventStreamReader()
    const seen = []
    for (let at = 0; at < text.length; at += size)
      seen.push(...(reader.read(text.slice(at, at + size)) ?? []))
    t.same(seen, [
      { event: 'batch', data: '{"a":1}' },
      { event: 'message', data: 'x\ny' },
    ])
  }
  const endless = new EventStreamReader()
  let refused = false
  for (let i = 0; i < 70 && !refused; i++) refused = endless.read('x'.repeat(2 ** 20)) === null
  t.ok(refused, 'a message without end is not kept for ever')
  t.end()
})

void t.test('usage: from the header, from each API, and not from generated text', (t) => {
  const of = (text: string, headers = {}) => usageOf(headers, Buffer.from(text))
  t.same(of('{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens": 4}}}'), {
    promptTokens: 9,
    cachedTokens: 4,
  })
  t.same(of('{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4}}}'), {
    promptTokens: 9,
    cachedTokens: 4,
  })
  t.same(of('{"usage":{"input_tokens":5,"cache_read_input_tokens":4}}'), { promptTokens: 9, cachedTokens: 4 })
  t.same(of('{"usage":{"prompt_tokens":9}}', { 'x-terrace-cached-tokens': 'engine=1,host=2,nvme=3,s3=0' }), {
    promptTokens: 9,
    cachedTokens: 6,
  })
  t.same(of('{"content":"\\"cached_tokens\\":99, \\"prompt_tokens\\":99"}'), {
    promptTokens: null,
    cachedTokens: null,
  })
  t.same(of('', { 'x-terrace-cached-tokens': 'engine=x' }), { promptTokens: null, cachedTokens: null })
  t.end()
})

void t.test('prompt names: everything is checked', (t) => {
  const good = {
    tokenCount: 130,
    blockTokens: 64,
    scheme: 's',
    hashes: ['0123456789abcdef', 'fedcba9876543210'],
  }
  t.match(promptNamesOf(good), { ...good, model: null })
  for (const wrong of [
    null,
    { ...good, tokenCount: -1 },
    { ...good, blockTokens: 0 },
    { ...good, scheme: 7 },
    { ...good, hashes: ['0123'] },
    { ...good, hashes: 'x' },
    { ...good, tokenCount: 100 },
    { ...good, model: 5 },
  ]) {
    t.equal(promptNamesOf(wrong), null, JSON.stringify(wrong))
  }
  t.end()
})

void t.test('reports of nodes: what is missing or strange stays cautious', (t) => {
  const report = nodeReportOf({
    sessions: [{ worker: 'a', namespaces: [{ model: 'm' }, { model: 7 }] }, { worker: 5 }, null],
    tiers: { host: { readBytesPerSecond: 5e9, readLatencyMs: 2 }, nvme: { readBytesPerSecond: null } },
  })
  t.same(report.links.host, { bytesPerSecond: 5e9, latencySeconds: 0.002 })
  t.same(report.links.nvme, cautiousLinks.nvme)
  t.same([...report.workers], [['a', new Set(['m'])]])
  t.same(nodeReportOf(null).links, cautiousLinks)
  t.same(modelsIn('{"data":[{"id":"m"},{"id":""},null,{"id":7}]}'), ['m'])
  t.equal(modelsIn('[]'), null)
  t.equal(modelsIn('<html>'), null)
  t.end()
})

void t.test('errors have the shape of their API, as a body and inside a stream', (t) => {
  const refusal = refuse('not_found', 'model_not_found', 'no worker has that model', 'model')
  t.same(JSON.parse(refusalBody('openai', refusal, 'r')), {
    error: {
      message: 'no worker has that model',
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    },
    request_id: 'r',
  })
  t.same(JSON.parse(refusalBody('anthropic', refusal, 'r')), {
    type: 'error',
    error: { type: 'not_found_error', message: 'no worker has that model' },
    request_id: 'r',
  })
  t.match(refusalEvent('openai', '/v1/chat/completions', refusal, 'r'), /^data: \{"error".*\}\n\n$/)
  t.match(refusalEvent('openai', '/v1/responses', refusal, 'r'), /^event: error\ndata: \{"type":"error"/)
  t.match(refusalEvent('anthropic', '/v1/messages', refusal, 'r'), /^event: error\ndata: \{"type":"error"/)
  for (const { status } of Object.values(refusalKinds)) t.ok(status >= 400 && status < 600)
  t.end()
})

void t.test('headers: hop, steering and keys stay here, cross-origin permission too', (t) => {
  const raw = [
    'Host',
    'x',
    'Authorization',
    'Bearer k',
    'X-Custom',
    '1',
    'X-Terrace-Tenant',
    'evil',
    'TE',
    'x',
  ]
  t.same(forwardedHeaders(raw, true), ['x-custom', '1'])
  t.same(forwardedHeaders(raw, false), ['authorization', 'Bearer k', 'x-custom', '1'])
  t.same(
    answeredHeaders({
      'content-type': 'a',
      'access-control-allow-origin': '*',
      'transfer-encoding': 'chunked',
      'set-cookie': 'x',
      'x-terrace-worker': 'liar',
      'x-terrace-cached-tokens': 'engine=1',
    }),
    { 'content-type': 'a', 'x-terrace-cached-tokens': 'engine=1' },
  )
  t.end()
})

void t.test('keys: a rate is a bucket that fills with time, one per tenant', (t) => {
  const sha256 = createHash('sha256').update('k').digest('hex')
  const read = readKeys(JSON.stringify({ keys: [{ sha256, tenant: 'x', requestsPerMinute: 60 }] }))
  if (read.as !== 'keys') throw new Error(read.why)
  const identify = new Identify(read.keys)
  const at = (nowMs: number): boolean => 'pass' in identify.identify({ authorization: 'Bearer k' }, nowMs)
  let passed = 0
  for (let i = 0; i < 100; i++) if (at(0)) passed += 1
  t.equal(passed, 60)
  t.notOk(at(500))
  t.ok(at(1_000))
  t.notOk(at(1_000))
  t.ok('done' in identify.identify({ authorization: 'Bearer l' }, 5_000))
  t.end()
})
