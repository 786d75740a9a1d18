import type { ServerResponse } from 'node:http'
import { blockTokens } from '../cache/attach.ts'
import { field } from '../json.ts'
import { sendError, sendJson } from './answer.ts'
import { treatmentOf } from './endpoints.ts'
import { guessPrompt } from './prompt.ts'
import type { Serving } from './request.ts'

/** Longest wait for the daemon's names, in milliseconds. Why: the router waits, and can route without them. */
const nameMsMax = 250

/** Answers the router's question: how many tokens is this body, and under which names are its blocks known? `{path,
 *  body}` -> `{tokenCount, blockTokens, scheme, hashes}`; hashes are empty when the prompt or the daemon is not known. */
export async function namePrompt(serving: Serving, response: ServerResponse, bytes: Buffer): Promise<void> {
  let asked: unknown
  try {
    asked = JSON.parse(bytes.toString('utf8'))
  } catch {
    return sendError(
      response,
      400,
      'invalid_request_error',
      'the body must be JSON: {"path": ..., "body": ...}',
    )
  }
  const path = field(asked, 'path')
  const body = field(asked, 'body')
  const treatment = treatmentOf('POST', typeof path === 'string' ? path : '')
  if (treatment.as !== 'prompt' || typeof body !== 'object' || body === null || Array.isArray(body)) {
    return sendError(
      response,
      400,
      'invalid_request_error',
      '"path" must be an API with a prompt, "body" its JSON body',
    )
  }
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const { attachment, session, tenant } = serving
  const guess = await guessPrompt(
    attachment.upstream,
    treatment.kind,
    body as Record<string, unknown>,
    gone.signal,
  )
  const empty = { scheme: '', blockTokens, hashes: [] as string[] }
  if (guess.as !== 'tokens') return sendJson(response, 200, { tokenCount: 0, ...empty, reason: guess.as })
  const tokenCount = guess.tokens.length
  const { kv } = attachment
  if (kv.as === 'off' || session === null)
    return sendJson(response, 200, { tokenCount, ...empty, reason: 'kv_off' })
  const namespace = await session.namespaceNumber(kv.namespaceFor(tenant))
  if (namespace === null) return sendJson(response, 200, { tokenCount, ...empty, reason: 'no_daemon' })
  const named = await session.ask('name', { namespace, tokens: guess.tokens }, nameMsMax)
  if (named.as !== 'answer') return sendJson(response, 200, { tokenCount, ...empty, reason: 'no_daemon' })
  const { scheme, hashes } = named.answer
  sendJson(response, 200, {
    tokenCount,
    blockTokens: named.answer.blockTokens,
    scheme,
    hashes: hashes.map((hash) => Buffer.from(hash).toString('hex')),
  })
}
