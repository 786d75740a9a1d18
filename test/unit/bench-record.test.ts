import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { benchMain } from '../../bench/main.ts'
import { RecordBook } from '../../bench/record/book.ts'
import { loadTree } from '../../bench/trace/load.ts'
import { pathOf } from '../../bench/trace/trace.ts'
import { capturedIo } from '../traces.ts'

type Serve = Parameters<typeof createServer>[1]

async function serving(serve: Serve) {
  const server = createServer(serve as never)
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

/** Runs `record` until `work` is done with its address. */
async function recording(
  words: readonly string[],
  work: (url: string) => Promise<void>,
): Promise<{ code: number; note: string }> {
  const stop = new AbortController()
  const base = capturedIo()
  let started: (url: string) => void = () => undefined
  const ready = new Promise<string>((resolve) => {
    started = resolve
  })
  const note = (text: string): void => {
    base.note(text)
    const found = /recording: (\S+)/.exec(text)
    if (found?.[1] !== undefined) started(found[1])
  }
  const io = { ...base, note, stop: stop.signal, nowMs: () => performance.now() }
  const run = benchMain(['record', ...words], io)
  await work(await ready)
  stop.abort()
  return { code: await run, note: base.noteText() }
}

void t.test('in front of an endpoint: everything passes, prompts are noted as hashes', async (t) => {
  const upstream = await serving((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      if (request.url?.endsWith('/models')) {
        response.end('{"data":[]}')
        return
      }
      response.setHeader('x-own', 'kept')
      response.end(
        `{"echo":${Buffer.concat(parts).length},"usage":{"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":32}}}`,
      )
    })
  })
  const output = join(t.testdir(), 'mine.jsonl')
  const words =
    'the same long beginning of a prompt, more than a hundred characters long, so that two whole blocks are equal in both'
  const ask = async (url: string, content: string, key: string): Promise<void> => {
    const body = JSON.stringify({
      model: 'm',
      prompt_cache_key: 'session-name',
      messages: [{ role: 'user', content }],
    })
    const response = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      body,
      headers: { authorization: key },
    })
    t.equal(response.headers.get('x-own'), 'kept')
    t.equal(((await response.json()) as { echo: number }).echo, Buffer.byteLength(body))
  }
  const { code, note } = await recording(
    ['--upstream', `${upstream.url}/v1`, '--output', output],
    async (url) => {
      t.same(await (await fetch(`${url}/models`)).json(), { data: [] })
      await ask(url, words, 'Bearer one')
      await ask(url, `${words} and more`, 'Bearer two')
      const odd = await fetch(`${url}/chat/completions`, { method: 'POST', body: 'not json' })
      t.equal(odd.status, 200, 'what cannot be read passes unrecorded')
      await odd.arrayBuffer()
    },
  )
  await upstream.close()
  t.equal(code, 0)
  t.match(note, /2 requests recorded/)
  const text = readFileSync(output, 'utf8')
  t.notMatch(text, /same long|session-name|Bearer/)
  const loaded = await loadTree(output, {}, capturedIo())
  t.equal(loaded.tree.blockTokens, 16)
  t.same([...loaded.tree.outputTokens], [7, 7])
  t.same(loaded.tree.tenantNames, ['tenant-0', 'tenant-1'])
  t.equal(pathOf(loaded.tree, 0)[0], pathOf(loaded.tree, 1)[0], 'the common beginning is the same block')
  t.match(text, /"cached_tokens":32/)
})

void t.test('an endpoint that is gone is a 502, and the request is still noted', async (t) => {
  const upstream = await serving(() => undefined)
  await upstream.close()
  const output = join(t.testdir(), 'mine.jsonl')
  await recording(['--upstream', upstream.url, '--output', output], async (url) => {
    const response = await fetch(`${url}/completions`, { method: 'POST', body: '{"prompt":"hello"}' })
    t.equal(response.status, 502)
    await response.arrayBuffer()
  })
  t.equal(readFileSync(output, 'utf8').trim().split('\n').length, 1)
})

void t.test('lines are written in order of arrival, whatever ends first', (t) => {
  const lines: string[] = []
  const book = new RecordBook(Buffer.from('salt'), (line) => void lines.push(line))
  const one = book.open(1, 'first', null, 'a')
  const two = book.open(2, 'second', null, 'b')
  book.close(two, 5, null)
  t.equal(lines.length, 0)
  book.close(one, 4, null)
  t.same(
    lines.map((line) => JSON.parse(line).timestamp),
    [1, 2],
  )
  book.open(3, 'third', 's', 'a')
  book.end()
  t.equal(JSON.parse(lines[2] ?? '').output_length, 0, 'what still runs at the end is written')
  t.equal(JSON.parse(lines[2] ?? '').tenant, 'tenant-0')
  t.end()
})

void t.test('from a daemon: stored events of the host tier', async (t) => {
  const holder = { tier: 'host', worker: '', model: 'm', blockTokens: 32, blockBytes: 10 }
  const batch = {
    version: 1,
    publisher: 'p',
    epoch: 'e',
    sequence: 1,
    scheme: 's',
    events: [
      { kind: 'stored', holder, blocks: ['00000000000000aa', 'ffffffffffffffff'] },
      { kind: 'stored', holder: { ...holder, tier: 'nvme' }, blocks: ['00000000000000bb'] },
      { kind: 'removed', holder, blocks: ['00000000000000aa'], why: 'evicted' },
    ],
  }
  const daemon = await serving((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: snapshot\ndata: {"holdings":[]}\n\n`)
    response.end(`event: batch\ndata: ${JSON.stringify(batch)}\n\n`)
  })
  const output = join(t.testdir(), 'stored.jsonl')
  const io = { ...capturedIo(), nowMs: () => performance.now() }
  t.equal(await benchMain(['record', '--daemon', daemon.url, '--output', output], io), 0)
  await daemon.close()
  const loaded = await loadTree(output, {}, capturedIo())
  t.equal(loaded.tree.requestCount, 1)
  t.equal(loaded.tree.nodeCount, 2)
  t.equal(loaded.tree.blockTokens, 32)
  t.match(io.noteText(), /1 chains recorded/)
  t.equal(await benchMain(['record', '--daemon', daemon.url], capturedIo()), 1, 'a daemon that is gone')
})

void t.test('wrong use', async (t) => {
  const io = capturedIo()
  t.equal(await benchMain(['record'], io), 2)
  t.match(io.noteText(), /needs one of --upstream URL and --daemon URL/)
  t.equal(await benchMain(['record', '--upstream', 'nowhere'], capturedIo()), 2)
})
