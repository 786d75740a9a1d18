import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { cellsOf, makePrompts } from '../../bench/e2e/measure.ts'
import { findSystem } from '../../bench/e2e/system.ts'
import { benchMain } from '../../bench/main.ts'
import type { Answer } from '../../bench/replay/endpoint.ts'
import { capturedIo } from '../traces.ts'

/** A router with two engines: the first answer to a prompt is computed, the next comes from the engine that gave it,
 *  another engine has it from the host tier. */
async function router(wordOf: (worker: string) => string = () => 'yes') {
  const givenBy = new Map<string, string>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      if (request.url === '/v1/models') {
        response.end('{"data":[{"id":"tiny"}]}')
        return
      }
      const prompt = Buffer.concat(parts).toString('utf8')
      const worker = String(request.headers['x-terrace-worker'])
      asked.push(worker)
      const tier = !givenBy.has(prompt) ? null : givenBy.get(prompt) === worker ? 'engine' : 'host'
      givenBy.set(prompt, worker)
      const cached = tier === null ? 0 : 64
      response.setHeader(
        'x-terrace-cached-tokens',
        `engine=${tier === 'engine' ? 64 : 0},host=${tier === 'host' ? 64 : 0},nvme=0,s3=0`,
      )
      const event = (data: object): void => void response.write(`data: ${JSON.stringify(data)}\n\n`)
      event({ choices: [{ delta: { content: wordOf(worker) } }] })
      event({
        choices: [],
        usage: { prompt_tokens: 70, completion_tokens: 1, prompt_tokens_details: { cached_tokens: cached } },
      })
      response.end('data: [DONE]\n\n')
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, close }
}

void t.test('cold, engine, other engine: steered, measured, proved by what the answers say', async (t) => {
  const system = await router()
  const data = t.testdir()
  const workers = [{ name: 'engine-1' }, { name: 'engine-2' }]
  writeFileSync(
    join(data, 'up.json'),
    JSON.stringify({ processId: process.pid, router: system.url, workers }),
  )
  const io = { ...capturedIo(), nowMs: () => performance.now() }
  const code = await benchMain(['e2e', '--data', data, '--tokens', '64,128', '--skip-restart', '--json'], io)
  await system.close()
  t.equal(code, 0)
  const { rows, model } = JSON.parse(io.outText())
  t.equal(model, 'tiny')
  t.same(system.asked, ['engine-1', 'engine-1', 'engine-1', 'engine-1', 'engine-2', 'engine-2'])
  const seen = rows.map(({ step, from, cachedTokens, sameAnswer }: Record<string, unknown>) => [
    step,
    from,
    cachedTokens,
    sameAnswer,
  ])
  const wanted = [
    ['cold', 'computed', 0, null],
    ['engine', 'engine', 64, true],
    ['other engine', 'host', 64, true],
  ]
  t.same(seen, [...wanted, ...wanted])
})

void t.test('an engine that answers otherwise with cached KV: said, and the exit code is 1', async (t) => {
  const system = await router((worker) => (worker === 'engine-2' ? 'no' : 'yes'))
  const data = t.testdir()
  const workers = [{ name: 'engine-1' }, { name: 'engine-2' }]
  const state = { processId: process.pid, router: system.url, workers }
  writeFileSync(join(data, 'up.json'), JSON.stringify(state))
  const io = { ...capturedIo(), nowMs: () => performance.now() }
  const code = await benchMain(['e2e', '--data', data, '--tokens', '64', '--skip-restart', '--json'], io)
  await system.close()
  t.equal(code, 1)
  const same = JSON.parse(io.outText()).rows.map(({ sameAnswer }: { sameAnswer: unknown }) => sameAnswer)
  t.same(same, [null, true, false])
})

void t.test('another answer than the cold one is seen, and so is a failure', (t) => {
  const [prompt] = makePrompts([100], 1, 5)
  if (prompt === undefined) throw new Error('no prompt')
  const answer = (text: string): Answer => ({
    as: 'answered',
    sentMs: 0,
    firstTokenMs: 5,
    endMs: 6,
    outputTokens: 1,
    promptTokens: 99,
    cachedTokens: 0,
    cachedBy: {},
    text,
  })
  const failed: Answer = { as: 'failed', sentMs: 0, endMs: 1, why: 'HTTP 500' }
  const cells = cellsOf(
    [
      { prompt, step: 'cold', answer: answer('a') },
      { prompt, step: 'engine', answer: answer('b') },
      { prompt, step: 'restart', answer: failed },
    ],
    [100],
  )
  t.same(
    cells.map(({ sameAnswer, failed: why }) => [sameAnswer, why]),
    [
      [null, null],
      [false, null],
      [null, 'HTTP 500'],
    ],
  )
  t.end()
})

void t.test('prompts are as long as asked and new with each salt', (t) => {
  const [one] = makePrompts([500], 1, 1)
  const words = one?.text.split(/\s+/).length ?? 0
  t.ok(words > 450 && words < 500)
  t.not(one?.text, makePrompts([500], 1, 2)[0]?.text)
  const [first, second] = makePrompts([500], 2, 1)
  t.not(first?.text.slice(0, 40), second?.text.slice(0, 40), 'repeats share no prefix')
  t.end()
})

void t.test('nothing runs there: one clear sentence', async (t) => {
  const io = capturedIo()
  t.equal(await benchMain(['e2e', '--data', t.testdir()], io), 1)
  t.match(io.noteText(), /nothing runs on ".*": start "terrace up" in another terminal, or give --data DIR/)
  const data = t.testdir({
    'up.json': '{"processId":1073741824,"router":"http://x","workers":[{"name":"a"}]}',
  })
  t.throws(() => findSystem(data), /nothing runs/)
  t.equal(await benchMain(['e2e', '--tokens', '5'], capturedIo()), 2)
})
