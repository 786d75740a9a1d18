import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Ways in which a store, or the network before it, goes wrong. */
export type Fault =
  /** Takes the request and says nothing. */
  | 'never'
  /** Half of the bytes, then nothing, with the connection open. */
  | 'stall'
  /** A hundred bytes every 200 ms: each byte would reset an idle timer. */
  | 'dribble'
  /** Nothing for a second, then all of it. */
  | 'late'
  /** The head at once, the bytes a second later. */
  | 'late_body'
  /** Half of the bytes at once, the others a second later. */
  | 'late_rest'
  /** Half of the bytes and a clean end, without a length said before. */
  | 'short'
  /** Half of the bytes, then the connection is cut. */
  | 'cut'
  /** Bytes of another place under the right status. */
  | 'wrong_range'
  /** The whole object for every range. */
  | 'no_ranges'
  | 'flipped'
  /** Status 200 and an error document. */
  | 'error_as_ok'
  | 'answer_500'
  | 'answer_503'
  | 'expired'
  | 'redirect'
  /** Stores the object; the answer never arrives. */
  | 'lost_answer'
  /** Does not read what is sent. */
  | 'deaf'
  /** Does not read what is sent for some seconds, then takes it in. */
  | 'late_ears'

export type FaultServer = {
  readonly endpoint: string
  readonly objects: Map<string, Buffer>
  /** The next `times` requests of this method go wrong. */
  fail(method: 'GET' | 'PUT' | 'LIST' | 'DELETE', fault: Fault, times?: number): void
  heal(): void
  /** Requests seen, by method. */
  readonly seen: Map<string, number>
  /** Requests whose connection is open and whose answer is not at its end. */
  open(): number
}
/** How long a late answer takes, and how long late ears do not hear, in milliseconds. */
export const lateMs = 1_000
export const lateEarsMs = 4_000
type Test = { teardown(run: () => Promise<void>): void }
type Planned = { readonly fault: Fault; left: number }

/** A store in memory that speaks as much S3 as the tier does, and fails as it is told. `elsewhere` is where it redirects. */
export async function faultServerOf(t: Test, elsewhere = 'http://127.0.0.1:9'): Promise<FaultServer> {
  const objects = new Map<string, Buffer>()
  const planned = new Map<string, Planned>()
  const seen = new Map<string, number>()
  let open = 0
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://store')
    const name = decodeURIComponent(url.pathname).split('/').slice(2).join('/')
    const method = request.method === 'GET' && name === '' ? 'LIST' : (request.method ?? '')
    seen.set(method, (seen.get(method) ?? 0) + 1)
    const plan = planned.get(method)
    const fault = plan !== undefined && plan.left-- > 0 ? plan.fault : null
    open += 1
    response.once('close', () => {
      open -= 1
    })
    response.on('error', () => undefined)
    request.on('error', () => undefined)
    if (fault !== null && failAtOnce(fault, request, response, elsewhere, url)) return
    if (method === 'PUT') void takeIn(objects, name, request, response, fault)
    else if (method === 'DELETE') {
      objects.delete(name)
      response.writeHead(204).end()
    } else if (method === 'LIST') list(objects, url, response)
    else give(objects.get(name), request, response, fault)
  })
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    seen,
    open: () => open,
    fail: (method, fault, times = Number.POSITIVE_INFINITY) => planned.set(method, { fault, left: times }),
    heal: () => planned.clear(),
  }
}

/** Faults that need nothing of the request. */
function failAtOnce(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
  elsewhere: string,
  url: URL,
): boolean {
  switch (fault) {
    case 'never':
      request.resume()
      return true
    case 'deaf':
      return true
    case 'answer_500':
      refuse(request, response, 500, 'InternalError')
      return true
    case 'answer_503':
      refuse(request, response, 503, 'SlowDown')
      return true
    case 'expired':
      refuse(request, response, 403, 'ExpiredToken')
      return true
    case 'redirect':
      request.resume()
      response.writeHead(307, { location: elsewhere + url.pathname }).end()
      return true
    default:
      return false
  }
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number, code: string): void {
  request.resume()
  request.once('end', () =>
    response.writeHead(status, { 'content-type': 'application/xml' }).end(errorXml(code)),
  )
}

function errorXml(code: string): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>secret-detail</Message></Error>`
}

async function takeIn(
  objects: Map<string, Buffer>,
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | null,
): Promise<void> {
  const chunks: Buffer[] = []
  if (fault === 'late_ears') await new Promise((resolve) => setTimeout(resolve, lateEarsMs))
  try {
    for await (const chunk of request) chunks.push(chunk)
  } catch {
    return
  }
  if (request.headers['if-none-match'] === '*' && objects.has(name)) {
    response.writeHead(412, { 'content-type': 'application/xml' }).end(errorXml('PreconditionFailed'))
    return
  }
  if (name !== '') objects.set(name, Buffer.concat(chunks))
  if (fault === 'lost_answer') request.socket.destroy()
  else response.writeHead(200, { etag: '"x"' }).end()
}

function list(objects: Map<string, Buffer>, url: URL, response: ServerResponse): void {
  const prefix = url.searchParams.get('prefix') ?? ''
  const after = url.searchParams.get('start-after') ?? ''
  const inside = [...objects.keys()].filter((name) => name.startsWith(prefix) && name > after).sort()
  const folders = url.searchParams.has('delimiter')
  const found = new Set(
    inside.map((name) => {
      const rest = name.slice(prefix.length)
      return folders && rest.includes('/') ? prefix + rest.slice(0, rest.indexOf('/') + 1) : name
    }),
  )
  const entries = [...found].map((name) =>
    objects.has(name)
      ? `<Contents><Key>${name}</Key><Size>${objects.get(name)?.length}</Size></Contents>`
      : `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`,
  )
  response.writeHead(200, { 'content-type': 'application/xml' })
  response.end(`<?xml version="1.0"?><ListBucketResult>${entries.join('')}</ListBucketResult>`)
}

function give(
  object: Buffer | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | null,
): void {
  if (object === undefined) {
    refuse(request, response, 404, 'NoSuchKey')
    return
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  const ranged = from !== undefined && fault !== 'no_ranges'
  const first = ranged ? Number(from) : 0
  const last = ranged ? Math.min(Number(to), object.length - 1) : object.length - 1
  if (first >= object.length) {
    refuse(request, response, 416, 'InvalidRange')
    return
  }
  const shift = fault === 'wrong_range' ? 256 : 0
  const body = Buffer.from(object.subarray(first - shift, last + 1 - shift))
  if (fault === 'flipped') body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
  const headers: Record<string, string | number> = ranged
    ? { 'content-range': `bytes ${first - shift}-${last - shift}/${object.length}` }
    : {}
  if (fault !== 'short') headers['content-length'] = body.length
  if (fault === 'error_as_ok') {
    response.writeHead(200, { 'content-type': 'application/xml' }).end(errorXml('InternalError'))
    return
  }
  const half = body.subarray(0, body.length >> 1)
  if (fault === 'late') {
    setTimeout(() => response.writeHead(ranged ? 206 : 200, headers).end(body), lateMs)
    return
  }
  response.writeHead(ranged ? 206 : 200, headers)
  if (fault === 'stall') response.write(half)
  else if (fault === 'short') response.end(half)
  else if (fault === 'cut') response.write(half, () => response.destroy())
  else if (fault === 'late_body') {
    response.flushHeaders()
    setTimeout(() => response.end(body), lateMs)
  } else if (fault === 'late_rest') {
    response.write(half)
    setTimeout(() => response.end(body.subarray(half.length)), lateMs)
  } else if (fault === 'dribble') dribble(body, response)
  else response.end(body)
}

function dribble(body: Buffer, response: ServerResponse): void {
  let at = 0
  const timer = setInterval(() => {
    response.write(body.subarray(at, at + 100))
    at += 100
  }, 200)
  response.once('close', () => clearInterval(timer))
}
