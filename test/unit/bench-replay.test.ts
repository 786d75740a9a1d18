import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { closedLoop, type Hit, openLoop, ramped, SessionQueue, type Shot } from '../../bench/replay/drive.ts'
import { type Answer, cachedByOf } from '../../bench/replay/endpoint.ts'
import { Pace } from '../../bench/replay/pace.ts'
import { EventCutter } from '../../bench/replay/sse.ts'
import { blockText, promptText } from '../../bench/replay/text.ts'
import { capturedIo } from '../traces.ts'

const trace = [
  '{"timestamp":0,"input_length":40,"output_length":5,"hash_ids":[0,1,2],"session_id":1}',
  '{"timestamp":5,"input_length":48,"output_length":2,"hash_ids":[0,1,2],"session_id":1,"delay":1}',
  '{"timestamp":9,"input_length":20,"output_length":3,"hash_ids":[0,9],"session_id":2}',
].join('\n')

type Seen = { readonly url: string; readonly key: string; readonly body: Record<string, unknown> }

/** An OpenAI endpoint that answers each prompt with a few words and says that 16 tokens were cached. */
async function endpoint(answer: (response: ServerResponse, body: Record<string, unknown>) => void) {
  const seen: Seen[] = []
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      if (request.url === '/v1/models') {
        response.end(JSON.stringify({ data: [{ id: 'tiny' }] }))
        return
      }
      const body = JSON.parse(Buffer.concat(parts).toString('utf8'))
      seen.push({ url: request.url ?? '', key: request.headers.authorization ?? '', body })
      answer(response, body)
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }
  return { url, seen, close }
}

function streamed(response: ServerResponse): void {
  response.setHeader('x-terrace-cached-tokens', 'engine=0,host=10,nvme=6,s3=0')
  const event = (data: object): void => void response.write(`data: ${JSON.stringify(data)}\n\n`)
  event({ choices: [{ delta: { role: 'assistant', content: '' } }] })
  event({ choices: [{ delta: { content: 'one' } }] })
  event({ choices: [{ delta: { content: ' two' } }] })
  event({
    choices: [],
    usage: { prompt_tokens: 40, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 16 } },
  })
  response.end('data: [DONE]\n\n')
}

async function replay(folder: string, words: readonly string[], env: Record<string, string> = {}) {
  const path = join(folder, 'trace.jsonl')
  writeFileSync(path, trace)
  const io = { ...capturedIo(), nowMs: () => performance.now(), env }
  const code = await benchMain(['replay', path, '--json', ...words], io)
  return { code, out: io.outText(), note: io.noteText() }
}

void t.test(
  'open loop: every request is sent with equal prefixes where the trace has equal blocks',
  async (t) => {
    const server = await endpoint(streamed)
    const { code, out } = await replay(
      t.testdir(),
      ['--url', server.url, '--salt', '5', '--ttft-goal', '60000'],
      {
        OPENAI_API_KEY: 'sk-secret',
      },
    )
    await server.close()
    t.equal(code, 0)
    const report = JSON.parse(out)
    t.equal(report.model, 'tiny', 'the model is asked for')
    t.equal(report.answered, 3)
    t.equal(report.hitRate, 16 / 40)
    t.same(report.cachedTokensByTier, { engine: 0, host: 30, nvme: 18, s3: 0 })
    t.equal(report.outputTokens, 6)
    t.equal(report.goodRequestsPerSecond, report.requestsPerSecond)
    t.ok(report.ttftSeconds.p50 > 0)
    t.ok(report.ttftFromDueSeconds.p50 >= report.ttftSeconds.p50)
    t.notMatch(out, /sk-secret/)
    t.ok(server.seen.every(({ key }) => key === 'Bearer sk-secret'))
    const prompts = server.seen.map(({ body }) => (body.messages as { content: string }[])[0]?.content ?? '')
    t.equal(new Set(prompts).size, 3)
    const byLength = prompts.sort((a, b) => b.length - a.length)
    t.ok(
      byLength[0]?.startsWith(byLength[1] ?? '-'),
      'the longer prompt of the same blocks starts with the shorter',
    )
    t.equal(byLength[0]?.split(' ').length, 48)
  },
)

void t.test('closed loop, completions API, output cut, warm-up not counted', async (t) => {
  const server = await endpoint(streamed)
  const words = [
    '--url',
    server.url,
    '--mode',
    'closed',
    '--clients',
    '2',
    '--api',
    'completions',
    '--model',
    'm',
    '--warm-up',
    '1',
    '--output-tokens-max',
    '2',
    '--think',
    '0',
  ]
  const folder = t.testdir()
  const requests = join(folder, 'requests.csv')
  const { code, out } = await replay(folder, [...words, '--requests', requests])
  await server.close()
  t.equal(code, 0)
  t.equal(JSON.parse(out).sent, 2)
  const lines = readFileSync(requests, 'utf8').trim().split('\n')
  t.equal(lines.length, 3)
  t.match(lines[1], /^\d,[\d.]+,[\d.]+,[\d.]+,[\d.]+,40,16,2,$/)
  t.equal(server.seen.length, 3)
  t.ok(
    server.seen.every(
      ({ url, body }) =>
        url === '/v1/completions' && body.max_tokens === 2 && typeof body.prompt === 'string',
    ),
  )
})

void t.test('failures are counted by reason; all failed is exit code 1', async (t) => {
  const server = await endpoint((response) => {
    response.statusCode = 503
    response.end('busy')
  })
  const { code, out } = await replay(t.testdir(), ['--url', server.url])
  await server.close()
  t.equal(code, 1)
  t.same(JSON.parse(out).failedByReason, { 'HTTP 503': 3 })
  const gone = await replay(t.testdir(), ['--url', server.url, '--model', 'm'])
  t.same(JSON.parse(gone.out).failedByReason, { ECONNREFUSED: 3 })
  t.match(
    (await replay(t.testdir(), ['--url', server.url])).note,
    /names no model: is the endpoint running\?/,
  )
  t.match((await replay(t.testdir(), ['--url', 'ftp://x'])).note, /is no http address/)
  t.match((await replay(t.testdir(), ['--url', 'http://u:p@x/v1'])).note, /leave user and password out/)
})

void t.test('a stream without a token, cut off, broken or silent is a failure, not a hang', async (t) => {
  const ends: ((response: ServerResponse) => void)[] = [
    (response) => void response.end('data: [DONE]\n\n'),
    (response) => void response.end('data: {"error":{"message":"x"}}\n\n'),
    (response) => void response.end('data: not json\n\n'),
    (response) =>
      void response.write('data: {"choices":[{"delta":{"content":"x"}}]}\n\n', () => response.destroy()),
    () => undefined,
  ]
  for (const [index, end] of ends.entries()) {
    const server = await endpoint((response) => end(response))
    const { out } = await replay(t.testdir(), [
      '--url',
      server.url,
      '--model',
      'm',
      '--limit',
      '1',
      '--timeout',
      '0.3',
    ])
    await server.close()
    t.equal(JSON.parse(out).answered, 0, `ending ${index}`)
  }
})

void t.test('loops: open keeps its limit, closed keeps the order within a session, both stop', async (t) => {
  const shots: Shot[] = Array.from({ length: 12 }, (_, request) => ({
    dueMs: 0,
    session: request % 3,
    delayMs: 1,
    request,
    tokens: 1,
  }))
  const answer: Answer = { as: 'failed', sentMs: 0, endMs: 0, why: 'made' }
  let running = 0
  let most = 0
  const hits: Hit[] = []
  const send = async (): Promise<Answer> => {
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setImmediate(resolve))
    running -= 1
    return answer
  }
  const drive = {
    nowMs: () => performance.now(),
    stop: new AbortController().signal,
    pace: new Pace(null, null),
    send,
    onHit: (hit: Hit) => void hits.push(hit),
  }
  await openLoop(shots, 4, drive)
  t.equal(hits.length, 12)
  t.equal(most, 4)
  hits.length = 0
  await closedLoop(new SessionQueue(shots), 2, 0, 1, drive)
  for (let session = 0; session < 3; session += 1) {
    const own = hits.filter(({ shot }) => shot.session === session).map(({ shot }) => shot.request)
    t.same(
      own,
      [...own].sort((a, b) => a - b),
    )
  }
  const stop = new AbortController()
  stop.abort()
  hits.length = 0
  const late = shots.map((shot) => ({ ...shot, dueMs: 60_000 }))
  const both = Promise.all([
    openLoop(late, 4, { ...drive, stop: stop.signal }),
    closedLoop(new SessionQueue(shots), 2, 60_000, 1, { ...drive, stop: stop.signal }),
  ])
  t.not(await Promise.race([both, sleep(10_000, 'late', { ref: false })]), 'late', 'nobody waits out a pause')
  t.equal(hits.length, 0)
})

void t.test('a ramp: the rate rises evenly, later requests are only moved', (t) => {
  t.equal(ramped(0, 1_000), 0)
  t.equal(ramped(500, 1_000), 1_000)
  t.equal(ramped(2_000, 1_000), 2_500)
  t.equal(ramped(77, 0), 77)
  const gaps = Array.from({ length: 50 }, (_, at) => ramped((at + 1) * 10, 1_000) - ramped(at * 10, 1_000))
  t.ok(gaps.every((gap, at) => at === 0 || gap < (gaps[at - 1] ?? 0)))
  t.end()
})

void t.test('texts: the same for the same block and salt, as long as asked', (t) => {
  t.equal(blockText(3, 20, 1), blockText(3, 20, 1))
  t.not(blockText(3, 20, 1), blockText(3, 20, 2))
  t.not(blockText(3, 20, 1), blockText(4, 20, 1))
  t.equal(promptText([1, 2, 3], 40, 16, 1, 7).split(' ').length, 40)
  t.equal(promptText([1, 2, 3], 10, 16, 0.25, 7).split(' ').length, 10)
  t.ok(promptText([1, 2, 3], 48, 16, 1, 7).startsWith(promptText([1, 2], 32, 16, 1, 7)))
  t.end()
})

void t.test('event streams in any pieces; the header of tokens by tier', (t) => {
  const text = ': hello\r\n\r\ndata: {"a":"é"}\r\n\r\nevent: x\ndata: 1\ndata: 2\n\ndata: [DONE]\n\n'
  const bytes = Buffer.from(text)
  for (const size of [1, 3, 1_000]) {
    const cutter = new EventCutter()
    const found: string[] = []
    for (let at = 0; at < bytes.length; at += size) found.push(...cutter.push(bytes.subarray(at, at + size)))
    t.same(found, ['{"a":"é"}', '1\n2', '[DONE]'])
  }
  t.same(cachedByOf('engine=64, host=0'), { engine: 64, host: 0 })
  t.same(cachedByOf('engine=x'), {})
  t.end()
})
