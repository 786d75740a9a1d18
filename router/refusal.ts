import type { Dialect } from './endpoints.ts'

type Kind = { readonly status: number; readonly openai: string; readonly anthropic: string }

/** Why a request is not served: one row per kind, with the status and the word each API has for it. */
export const refusalKinds = {
  invalid: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  unauthenticated: { status: 401, openai: 'invalid_request_error', anthropic: 'authentication_error' },
  forbidden: { status: 403, openai: 'invalid_request_error', anthropic: 'permission_error' },
  not_found: { status: 404, openai: 'invalid_request_error', anthropic: 'not_found_error' },
  method: { status: 405, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  slow_request: { status: 408, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  too_large: { status: 413, openai: 'invalid_request_error', anthropic: 'request_too_large' },
  media: { status: 415, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  rate_limited: { status: 429, openai: 'rate_limit_error', anthropic: 'rate_limit_error' },
  headers: { status: 431, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  internal: { status: 500, openai: 'server_error', anthropic: 'api_error' },
  worker_failed: { status: 502, openai: 'server_error', anthropic: 'api_error' },
  unavailable: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  late: { status: 504, openai: 'server_error', anthropic: 'api_error' },
} as const satisfies Record<string, Kind>

type RefusalKind = keyof typeof refusalKinds

export type Refusal = {
  readonly kind: RefusalKind
  /** A stable word for programs. */
  readonly code: string
  /** One sentence for people: what is wrong and what to do. Never holds text of the request but names of
   *  fields and models. */
  readonly message: string
  /** The field at fault, or null. */
  readonly param: string | null
  readonly retryAfterSeconds: number | null
}

export function refuse(
  kind: RefusalKind,
  code: string,
  message: string,
  param: string | null = null,
): Refusal {
  return { kind, code, message, param, retryAfterSeconds: null }
}

export function refuseForNow(
  kind: RefusalKind,
  code: string,
  message: string,
  retryAfterSeconds: number,
): Refusal {
  return { kind, code, message, param: null, retryAfterSeconds }
}

export function statusOf(refusal: Refusal): number {
  return refusalKinds[refusal.kind].status
}

/** The JSON body in the API's own shape. */
export function refusalBody(dialect: Dialect, refusal: Refusal, requestId: string): string {
  const kind = refusalKinds[refusal.kind]
  const { message, param, code } = refusal
  if (dialect === 'anthropic') {
    return JSON.stringify({
      type: 'error',
      error: { type: kind.anthropic, message },
      request_id: requestId,
    })
  }
  return JSON.stringify({ error: { message, type: kind.openai, param, code }, request_id: requestId })
}

/** The same as an event inside a stream whose header is out already. */
export function refusalEvent(dialect: Dialect, path: string, refusal: Refusal, requestId: string): string {
  if (dialect === 'anthropic') return `event: error\ndata: ${refusalBody(dialect, refusal, requestId)}\n\n`
  if (path === '/v1/responses') {
    const { message, code, param } = refusal
    return `event: error\ndata: ${JSON.stringify({ type: 'error', code, message, param, sequence_number: 0 })}\n\n`
  }
  return `data: ${refusalBody(dialect, refusal, requestId)}\n\n`
}
