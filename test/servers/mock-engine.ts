import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A small worker that speaks the OpenAI and Anthropic APIs without a model, for tests of the router: it
 *  streams with delays, notes what it got, and sees clients go. */
export type MockEngine = {
  readonly url: string
  readonly name: string
  /** Everything that arrived at the endpoints, in order; probes are not counted. */
  readonly seen: Seen[]
  /** Requests whose client went away before the end. */
  aborted: number
  /** Requests being answered. */
  active: number
  settings: MockSettings
  close(): Promise<void>
}

export type Seen = {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

export type MockSettings = {
  readonly model: string
  /** Words of an answer. */
  readonly words: number
  /** Before the first byte, and between two words, in milliseconds. */
  readonly firstMs: number
  readonly wordMs: number
  /** Answers with this status and body instead. */
  readonly status: number | null
  readonly statusBody: string
  /** Breaks the connection after so many words; 0 breaks it before the first byte. */
  readonly breakAfterWords: number | null
  /** Whether the break comes inside of an event. */
  readonly breakInside: boolean
  /** What `/terrace/prompt` answers, or null for a plain OpenAI server. */
  readonly names: ((body: string) => unknown) | null
  readonly namesMs: number
  readonly healthy: boolean
  readonly cachedTokens: number
}

export const mockDefaults: MockSettings = {
  model: 'mock',
  words: 5,
  firstMs: 0,
  wordMs: 0,
  status: null,
  statusBody: '{"error":{"message":"from the engine","type":"engine","code":"engine"}}',
  breakAfterWords: null,
  breakInside: false,
  names: null,
  namesMs: 0,
  healthy: true,
  cachedTokens: 7,
}

export async function startMockEngine(
  name: string,
  settings: Partial<MockSettings> = {},
  port = 0,
): Promise<MockEngine> {
  const server = createServer((request, response) => {
    handle(mock, request, response).catch(() => response.destroy())
  })
  server.listen(port, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address() as AddressInfo
  const mock: MockEngine = {
    url: `http://127.0.0.1:${address.port}`,
    name,
    seen: [],
    aborted: 0,
    active: 0,
    settings: { ...mockDefaults, ...settings },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return mock
}

async function handle(mock: MockEngine, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?')[0] ?? ''
  if (path === '/health') {
    response.writeHead(mock.settings.healthy ? 200 : 503).end('{}')
    return
  }
  if (path === '/v1/models') {
    sendJson(response, { object: 'list', data: [{ id: mock.settings.model, object: 'model' }] })
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  if (path === '/terrace/prompt') {
    await pause(mock.settings.namesMs)
    const names = mock.settings.names?.(body.toString('utf8'))
    if (names === undefined) response.writeHead(404).end()
    else sendJson(response, names)
    return
  }
  mock.seen.push({ path: request.url ?? '', headers: request.headers, rawHeaders: request.rawHeaders, body })
  mock.active += 1
  response.once('close', () => {
    mock.active -= 1
    if (!response.writableFinished) mock.aborted += 1
  })
  await pause(mock.settings.firstMs)
  const { status, statusBody } = mock.settings
  if (status !== null) {
    response.writeHead(status, { 'content-type': 'application/json' }).end(statusBody)
    return
  }
  if (mock.settings.breakAfterWords === 0) response.destroy()
  else if (asksForStream(body)) await stream(mock, path, response)
  else sendJson(response, whole(mock, path))
}

function asksForStream(body: Buffer): boolean {
  return (JSON.parse(body.toString('utf8')) as { readonly stream?: boolean }).stream === true
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

const shared = { id: 'mock-1', created: 1, system_fingerprint: null }

function usageFor(mock: MockEngine): unknown {
  return {
    prompt_tokens: 100,
    completion_tokens: mock.settings.words,
    total_tokens: 100 + mock.settings.words,
    prompt_tokens_details: { cached_tokens: mock.settings.cachedTokens },
  }
}

function whole(mock: MockEngine, path: string): unknown {
  const text = Array.from({ length: mock.settings.words }, (_, i) => `w${i} `).join('')
  const { model } = mock.settings
  if (path === '/v1/messages') {
    return {
      id: 'msg',
      type: 'message',
      role: 'assistant',
      model,
      content: [{ type: 'text', text }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 93, cache_read_input_tokens: 7, output_tokens: mock.settings.words },
    }
  }
  if (path === '/v1/messages/count_tokens') return { input_tokens: 100 }
  if (path === '/v1/embeddings') {
    return { object: 'list', model, data: [{ object: 'embedding', index: 0, embedding: [0.5] }], usage: {} }
  }
  if (path === '/v1/responses') return response(mock, text)
  const choice =
    path === '/v1/completions'
      ? { index: 0, text, finish_reason: 'stop', logprobs: null }
      : { index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop', logprobs: null }
  const object = path === '/v1/completions' ? 'text_completion' : 'chat.completion'
  return { ...shared, object, model, choices: [choice], usage: usageFor(mock) }
}

function response(mock: MockEngine, text: string): unknown {
  return {
    id: 'resp',
    object: 'response',
    status: 'completed',
    model: mock.settings.model,
    output: [
      {
        type: 'message',
        id: 'm',
        role: 'assistant',
        content: [{ type: 'output_text', text, annotations: [] }],
      },
    ],
    usage: {
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 7 },
      output_tokens: 5,
      total_tokens: 105,
    },
  }
}

async function stream(mock: MockEngine, path: string, client: ServerResponse): Promise<void> {
  client.writeHead(200, { 'content-type': 'text/event-stream', 'x-terrace-cached-tokens': 'engine=7' })
  for (let i = 0; i < mock.settings.words; i++) {
    if (client.destroyed) return
    if (mock.settings.breakAfterWords === i) {
      if (mock.settings.breakInside) client.write('data: {"cut')
      await pause(20)
      client.destroy()
      return
    }
    client.write(eventOf(mock, path, i))
    await pause(mock.settings.wordMs)
  }
  client.end(lastEventsOf(mock, path))
}

function eventOf(mock: MockEngine, path: string, i: number): string {
  const text = `w${i} `
  const { model } = mock.settings
  if (path === '/v1/messages') {
    return typed('content_block_delta', { index: 0, delta: { type: 'text_delta', text } })
  }
  if (path === '/v1/responses') return typed('response.output_text.delta', { delta: text, item_id: 'm' })
  const choice =
    path === '/v1/completions'
      ? { index: 0, text, finish_reason: null }
      : { index: 0, delta: { content: text }, finish_reason: null }
  return data({ ...shared, object: 'chat.completion.chunk', model, choices: [choice] })
}

function lastEventsOf(mock: MockEngine, path: string): string {
  if (path === '/v1/messages') return typed('message_stop', {})
  if (path === '/v1/responses') return typed('response.completed', { response: response(mock, 'x') })
  const { model } = mock.settings
  const usage = { ...shared, object: 'chat.completion.chunk', model, choices: [], usage: usageFor(mock) }
  return `${data(usage)}data: [DONE]\n\n`
}

function typed(type: string, rest: object): string {
  return `event: ${type}\n${data({ type, ...rest })}`
}

function data(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`
}

function pause(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms))
}
