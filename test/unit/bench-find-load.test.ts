import { writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { closedLoop, type Hit, SessionQueue, type Shot } from '../../bench/replay/drive.ts'
import type { Answer } from '../../bench/replay/endpoint.ts'
import { bestLoad, nextLoad, type SearchSetting } from '../../bench/replay/load-search.ts'
import { Pace } from '../../bench/replay/pace.ts'
import { capturedIo } from '../traces.ts'

/** Searches against a server that is good up to a load. */
function searched(setting: SearchSetting, goodUpTo: number) {
  const tried: { load: number; good: boolean }[] = []
  for (;;) {
    const next = nextLoad(tried, setting)
    if (next.as === 'end') return { tried, best: bestLoad(tried), why: next.why }
    if (tried.length > 200) throw new Error('the search does not end')
    tried.push({ load: next.load, good: next.load <= goodUpTo })
  }
}

const rates: SearchSetting = { isWhole: false, first: 1, growth: 2, refine: 3, most: 1_000 }

void t.test('loads grow until one misses the goal, then the gap is halved', async (t) => {
  const { tried, best, why } = searched(rates, 10)
  t.same(
    tried.map(({ load }) => Number(load.toFixed(2))),
    [1, 2, 4, 8, 16, 11.31, 9.51, 10.37],
  )
  t.equal(Number(best?.toFixed(2)), 9.51)
  t.equal(why, 'found')
  t.match(searched(rates, 0.5), { best: null, why: 'first_too_high' })
  t.match(searched(rates, 1e9), { best: 1_000, why: 'most_reached' })
  t.match(searched({ ...rates, isWhole: true, refine: 9 }, 11), { best: 11, why: 'found' })
})

void t.test('whatever the server holds, the answer is a load it held, and near the edge', async () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 5_000, noNaN: true }),
      fc.double({ min: 1.05, max: 8, noNaN: true }),
      fc.integer({ min: 0, max: 6 }),
      fc.boolean(),
      (goodUpTo, growth, refine, isWhole) => {
        const { best, tried, why } = searched({ isWhole, first: 1, growth, refine, most: 1_000 }, goodUpTo)
        if (goodUpTo < 1) return best === null && why === 'first_too_high'
        if (best === null || best > goodUpTo || !tried.some(({ load }) => load === best)) return false
        // The next load after the best one was too high, or there is none.
        const next = isWhole ? Math.max(best + 1, best * growth + 0.5) : best * growth
        return next * 1.000_001 >= Math.min(goodUpTo, 1_000)
      },
    ),
    { numRuns: 2_000 },
  )
})

void t.test('the client keeps its own limits, and the wait is not the server’s', async (t) => {
  const byRequest = new Pace(10, null)
  t.same(
    [byRequest.take(0, 5), byRequest.take(0, 5), byRequest.take(150, 5), byRequest.take(900, 5)],
    [0, 100, 200, 900],
  )
  const byToken = new Pace(null, 1_000)
  t.same([byToken.take(0, 500), byToken.take(0, 10), byToken.take(0, 0)], [0, 500, 510])
  const both = new Pace(10, 1_000)
  t.same([both.take(0, 1), both.take(0, 300), both.take(0, 1)], [0, 100, 400])
  const free = new Pace(null, null)
  t.same([free.take(7, 1e6), free.take(7, 1e6)], [7, 7])
})

void t.test('a session that a stop cuts goes on with the next client', async (t) => {
  const shots: Shot[] = [0, 1, 2, 3].map((request) => ({
    dueMs: 0,
    session: 1,
    delayMs: 0,
    request,
    tokens: 1,
  }))
  const queue = new SessionQueue(shots)
  const seen: number[] = []
  const answer: Answer = { as: 'failed', sentMs: 0, endMs: 0, why: 'made' }
  const drive = (stop: AbortController, stopAt: number) => ({
    ...{
      nowMs: () => performance.now(),
      stop: stop.signal,
      pace: new Pace(null, null),
      send: async () => answer,
    },
    onHit: ({ shot }: Hit): void => {
      seen.push(shot.request)
      if (shot.request === stopAt) stop.abort()
    },
  })
  await closedLoop(queue, 1, 0, 1, drive(new AbortController(), 1))
  t.same(seen, [0, 1])
  await closedLoop(queue, 3, 0, 1, drive(new AbortController(), -1))
  t.same(seen, [0, 1, 2, 3])
})

/** An endpoint that holds each request for a while and refuses those beyond so many at once. */
async function endpoint(inFlightMax: number, holdMs: number) {
  let inFlight = 0
  const finish = (response: ServerResponse, isRefused: boolean): void => {
    inFlight -= 1
    if (isRefused) response.writeHead(503).end()
    else response.end('data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n')
  }
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      inFlight += 1
      const isRefused = inFlight > inFlightMax
      setTimeout(() => finish(response, isRefused), holdMs)
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }
  return { url, close }
}

/** A minute is never too late here: only what the server refuses misses the goal. */
const minute = ['--ttft-goal', '60000', '--model', 'm']

async function findLoad(
  folder: string,
  requests: number,
  words: readonly string[],
  onNote?: (text: string) => void,
) {
  const path = join(folder, 'trace.jsonl')
  const lines = Array.from(
    { length: requests },
    (_, at) => `{"timestamp":${at * 10},"input_length":16,"output_length":1,"hash_ids":[${at}]}`,
  )
  writeFileSync(path, lines.join('\n'))
  const stop = new AbortController()
  const captured = capturedIo()
  const note = (text: string): void => {
    captured.note(text)
    onNote?.(text)
    if (onNote !== undefined && text.includes('good')) stop.abort()
  }
  const io = { ...captured, note, stop: stop.signal, nowMs: () => performance.now() }
  const code = await benchMain(['replay', path, '--json', '--find-load', ...minute, ...words], io)
  return { code, out: captured.outText(), note: captured.noteText() }
}

void t.test('closed loop: as many clients as the server takes', async (t) => {
  const server = await endpoint(4, 20)
  const words = ['--url', server.url, '--mode', 'closed', '--step', '0.2', '--growth', '2', '--refine', '4']
  const { code, out, note } = await findLoad(t.testdir(), 3_000, words)
  await server.close()
  const { highestGoodLoad, ended, rows, loadUnit } = JSON.parse(out)
  t.equal(code, 0)
  t.same([highestGoodLoad, ended, loadUnit], [4, 'found', 'clients'])
  t.same(
    rows.map(({ load, good }: { load: number; good: boolean }) => [load, good]),
    [
      [1, true],
      [2, true],
      [4, true],
      [8, false],
      [6, false],
      [5, false],
    ],
  )
  t.match(note, /8 clients: .* of \d+ within 60.0 s: too high/)
})

void t.test('open loop: a rate that cannot be good any more is ended early', async (t) => {
  const server = await endpoint(8, 30)
  const words = ['--url', server.url, '--step', '2', '--from', '20', '--growth', '50', '--refine', '0']
  const { code, out } = await findLoad(t.testdir(), 2_100, words)
  await server.close()
  const { highestGoodLoad, ended, rows, loadUnit } = JSON.parse(out)
  t.equal(code, 0)
  t.same([highestGoodLoad, ended, loadUnit], [20, 'found', 'requests/s'])
  t.match(rows[1], { load: 1_000, good: false, endedEarly: true })
  t.ok(rows[1].sent < 2_000, 'the rest of its requests was not sent')
})

void t.test('nothing good is exit code 1; a trace too short says that it is a lower bound', async (t) => {
  const none = await endpoint(0, 1)
  const refused = await findLoad(t.testdir(), 100, ['--url', none.url, '--step', '0.1'])
  await none.close()
  t.equal(refused.code, 1)
  t.match(JSON.parse(refused.out), { highestGoodLoad: null, ended: 'first_too_high' })
  const server = await endpoint(100, 1)
  const fast = ['--url', server.url, '--step', '0.1', '--from', '100']
  t.match(JSON.parse((await findLoad(t.testdir(), 25, fast)).out), { highestGoodLoad: 150, ended: 'trace' })
  const few = await findLoad(t.testdir(), 5, fast)
  t.equal(few.code, 1)
  t.match(few.note, /the trace ended before the first load was held/)
  const idle = ['--url', server.url, '--mode', 'closed', '--step', '30']
  const short = await findLoad(t.testdir(), 15, idle)
  t.match(short.note, /the trace ended before/, 'enough requests, but the load was not held')
  await server.close()
})

void t.test('ctrl-C leaves what was found so far', async (t) => {
  const server = await endpoint(100, 1)
  const words = ['--url', server.url, '--step', '0.1', '--from', '100']
  const { code, out } = await findLoad(t.testdir(), 2_000, words, () => undefined)
  await server.close()
  t.equal(code, 130)
  t.match(JSON.parse(out), { partial: true, highestGoodLoad: 100, ended: 'interrupted' })
})

void t.test('wrong words', async (t) => {
  const io = capturedIo()
  t.equal(await benchMain(['replay', 'x', '--find-load'], io), 2)
  t.match(io.noteText(), /--find-load: needs --ttft-goal/)
  const low = capturedIo()
  t.equal(
    await benchMain(['replay', 'x', '--find-load', '--ttft-goal', '1', '--from', '9', '--to', '3'], low),
    2,
  )
  t.match(low.noteText(), /--to: is below --from/)
})
