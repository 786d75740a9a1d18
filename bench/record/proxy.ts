import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { bodyOf, nameIn, promptOf, sessionNames } from '../trace/openai.ts'
import { fieldsOf } from '../trace/reader.ts'
import type { Entry, RecordBook } from './book.ts'

/** Largest request body that is looked into; larger ones pass unrecorded. */
const bodyBytesMax = 2 ** 26
/** Bytes at the end of an answer in which its usage is looked for. */
const tailBytes = 8_192

const recordedPaths = /\/(chat\/completions|completions|responses|messages)$/
/** Headers that belong to one connection. */
const hopHeaders = [
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'proxy-connection',
]

type RecordingProxy = { readonly port: number; readonly stop: () => Promise<void> }

/** Stands in front of an OpenAI endpoint: passes everything on, streams included, and notes each prompt. */
export async function openRecordingProxy(
  upstream: URL,
  port: number,
  book: RecordBook,
  elapsedMs: () => number,
): Promise<RecordingProxy> {
  const server = createServer((request, response) => {
    pass(request, response, upstream, book, elapsedMs()).catch(() => response.destroy())
  })
  await listening(server, port)
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => void server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  return { port: (server.address() as AddressInfo).port, stop }
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
}

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  upstream: URL,
  book: RecordBook,
  atMs: number,
): Promise<void> {
  const parts: Buffer[] = []
  let byteCount = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    byteCount += part.length
    if (byteCount > bodyBytesMax) {
      response.writeHead(413).end()
      return
    }
    parts.push(part)
  }
  const body = Buffer.concat(parts)
  const entry = noted(request, body, book, atMs)
  const send = upstream.protocol === 'https:' ? httpsRequest : httpRequest
  const path = `${upstream.pathname.replace(/\/(v1\/?)?$/, '')}${request.url ?? '/'}`
  const headers = { ...request.headers, host: upstream.host, 'content-length': String(body.length) }
  for (const name of hopHeaders) delete (headers as Record<string, unknown>)[name]
  const onward = send(new URL(path, upstream), { method: request.method ?? 'GET', headers })
  response.once('close', () => onward.destroy())
  const close = (tail: Buffer): void => {
    if (entry !== null)
      book.close(entry, numberIn(tail, ['completion_tokens', 'output_tokens']) ?? 0, cachedIn(tail))
  }
  onward.once('error', () => {
    close(Buffer.alloc(0))
    if (response.headersSent) response.destroy()
    else response.writeHead(502, { 'content-type': 'application/json' }).end(unreachable)
  })
  onward.once('response', (answer) => relay(answer, response, close))
  onward.end(body)
}

const unreachable =
  '{"error":{"message":"the recorder cannot reach the endpoint behind it","type":"upstream"}}'

function relay(answer: IncomingMessage, response: ServerResponse, close: (tail: Buffer) => void): void {
  const headers = { ...answer.headers }
  for (const name of hopHeaders) delete headers[name]
  response.writeHead(answer.statusCode ?? 502, headers)
  let tail: Buffer = Buffer.alloc(0)
  answer.on('data', (part: Buffer) => {
    tail = Buffer.concat([tail, part]).subarray(-tailBytes)
  })
  answer.once('close', () => close(tail))
  answer.once('error', () => response.destroy())
  answer.pipe(response)
}

/** Notes the prompt of a request that has one. Whatever is odd about it, the request passes on. */
function noted(request: IncomingMessage, body: Buffer, book: RecordBook, atMs: number): Entry | null {
  const path = (request.url ?? '').replace(/\?.*$/, '')
  if (request.method !== 'POST' || !recordedPaths.test(path)) return null
  try {
    const fields = fieldsOf(JSON.parse(body.toString('utf8')))
    const prompt = fields === null ? null : promptOf(fields, bodyOf(fields))
    if (fields === null || prompt === null) return null
    const told = request.headers['x-session-id']
    const session = typeof told === 'string' ? told : nameIn(fields, fields, sessionNames)
    const owner = request.headers.authorization ?? request.headers['x-api-key'] ?? ''
    return book.open(atMs, prompt, session, String(owner))
  } catch {
    return null
  }
}

function cachedIn(tail: Buffer): number | null {
  return numberIn(tail, ['cached_tokens', 'cache_read_input_tokens'])
}

/** The last number under one of the names; inside generated text their quotes would be escaped. */
function numberIn(tail: Buffer, names: readonly string[]): number | null {
  const text = tail.toString('latin1')
  for (const name of names) {
    const at = text.lastIndexOf(`"${name}"`)
    const digits =
      at < 0 ? null : /^\s*:\s*(\d{1,9})/.exec(text.slice(at + name.length + 2, at + name.length + 32))
    if (digits?.[1] !== undefined) return Number(digits[1])
  }
  return null
}
