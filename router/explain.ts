import { type Admitted, admit } from './admit.ts'
import { endpoints } from './endpoints.ts'
import type { Parts } from './parts.ts'
import { candidatesFor, modelOf } from './place.ts'
import { choose, nameOf } from './serve.ts'
import { defaultTenant } from './tenant.ts'

/** Says for a prompt which worker it would go to, at what price, and why a worker has none of its prefix.
 *  Nothing is forwarded. The question is `{path, body, tenant}`; the answer holds counts and times, no text.
 *  */
export async function explain(parts: Parts, question: unknown): Promise<Readonly<Record<string, unknown>>> {
  const asked = questionIn(parts, question)
  if (typeof asked === 'string') return { error: asked }
  const model = modelOf(asked, parts.workers, parts.anyModel)
  if ('done' in model) return { error: model.done.message }
  const candidates = candidatesFor(asked, model.pass, parts.workers)
  if ('done' in candidates) return { error: candidates.done.message }
  const named = await nameOf(parts, asked, candidates.pass)
  const names = named.as === 'names' ? named.names : null
  return {
    model: model.pass,
    names:
      named.as === 'names'
        ? {
            from: named.from,
            tokens: named.names.tokenCount,
            blocks: named.names.hashes.length,
            blockTokens: named.names.blockTokens,
            scheme: named.names.scheme,
          }
        : { none: named.why },
    candidates: choose(parts, asked, candidates.pass, named).map(({ worker, terms }) => {
      const overlap = parts.overlaps.overlapOf(worker, names)
      return { ...terms, runs: overlap.runs, whyNoOverlap: overlap.why }
    }),
  }
}

/** The question as a request that was let in, or what is wrong with it. */
function questionIn(parts: Parts, question: unknown): Admitted | string {
  if (typeof question !== 'object' || question === null || Array.isArray(question)) {
    return 'send {"path": "/v1/chat/completions", "body": {…}} as JSON'
  }
  const fields = new Map<string, unknown>(Object.entries(question))
  const path = fields.get('path') ?? '/v1/chat/completions'
  const endpoint = typeof path === 'string' ? endpoints[path] : undefined
  if (typeof path !== 'string' || endpoint === undefined) {
    return `path: must be one of ${Object.keys(endpoints).join(', ')}`
  }
  const body = fields.get('body')
  if (typeof body !== 'object' || body === null) return 'body: must be the JSON object of a request'
  const tenant = fields.get('tenant') ?? defaultTenant.name
  if (typeof tenant !== 'string') return 'tenant: must be a text'
  const admitted = admit({
    requestId: 'explain',
    tenant: { ...defaultTenant, name: tenant },
    path,
    query: '',
    endpoint,
    body: Buffer.from(JSON.stringify(body)),
    headers: {},
    workerChoice: parts.workerChoice,
  })
  return 'done' in admitted ? `body: ${admitted.done.message}` : admitted.pass
}
