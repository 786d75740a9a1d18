import type { IncomingMessage, ServerResponse } from 'node:http'
import { requestBodyBytesMax } from '../../../../tiers/block/limits.ts'

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...headers,
  })
  response.end(bytes)
}

/** An error in the shape that OpenAI clients read, and Anthropic's do too. */
export function sendError(
  response: ServerResponse,
  status: number,
  type: string,
  says: string,
  headers: Record<string, string> = {},
): void {
  sendJson(response, status, { type: 'error', error: { message: says, type, code: status } }, headers)
}

/** The whole body, or why it was not taken. */
export function readBody(
  request: IncomingMessage,
): Promise<
  { readonly as: 'body'; readonly bytes: Buffer } | { readonly as: 'too_large' } | { readonly as: 'gone' }
> {
  if (Number(request.headers['content-length'] ?? 0) > requestBodyBytesMax) {
    return Promise.resolve({ as: 'too_large' })
  }
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let byteCount = 0
    request.on('data', (piece: Buffer) => {
      byteCount += piece.length
      if (byteCount <= requestBodyBytesMax) pieces.push(piece)
      else {
        request.pause()
        resolve({ as: 'too_large' })
      }
    })
    request.once('end', () => resolve({ as: 'body', bytes: Buffer.concat(pieces) }))
    request.once('error', () => resolve({ as: 'gone' }))
    request.once('close', () => resolve({ as: 'gone' }))
  })
}
