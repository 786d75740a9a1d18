/** The APIs whose prompts the adapter understands. `native` is llama.cpp's own completion. */
export type PromptKind = 'chat' | 'completions' | 'native' | 'responses' | 'messages'

/** What is done with a request, by method and path. `all`: it computes in slots that the adapter cannot choose, so it
 *  gets all of them (`kind`: the form of its answers, where it is one of the prompts' own). `through`: passed on byte
 *  for byte. `own`: answered here. `refused`: would act on slots or weights behind the adapter's back. */
export type Treatment =
  | { readonly as: 'prompt'; readonly kind: PromptKind }
  | { readonly as: 'all'; readonly kind: PromptKind | null }
  | { readonly as: 'through' }
  | { readonly as: 'own'; readonly name: 'health' | 'status' | 'prompt' }
  | { readonly as: 'refused'; readonly says: string }

const prompts: Readonly<Record<string, PromptKind>> = {
  '/v1/chat/completions': 'chat',
  '/chat/completions': 'chat',
  '/v1/completions': 'completions',
  '/completions': 'native',
  '/completion': 'native',
  '/v1/responses': 'responses',
  '/responses': 'responses',
  '/v1/messages': 'messages',
}
const spread = new Set([
  '/embedding',
  '/embeddings',
  '/v1/embeddings',
  '/rerank',
  '/reranking',
  '/v1/rerank',
  '/v1/reranking',
  '/v1/audio/transcriptions',
  '/audio/transcriptions',
])

/** `path` is without its query. */
export function treatmentOf(method: string, path: string): Treatment {
  if (path === '/health' || path === '/v1/health') return { as: 'own', name: 'health' }
  if (path === '/terrace/status') return { as: 'own', name: 'status' }
  if (path === '/terrace/prompt') return { as: 'own', name: 'prompt' }
  if (method !== 'POST') return { as: 'through' }
  const kind = Object.hasOwn(prompts, path) ? prompts[path] : undefined
  if (kind !== undefined) return { as: 'prompt', kind }
  if (path === '/infill') return { as: 'all', kind: 'native' }
  if (spread.has(path)) return { as: 'all', kind: null }
  if (path.startsWith('/slots/')) {
    return {
      as: 'refused',
      says: 'slots are managed by Terrace: saving, restoring and erasing them is not offered here',
    }
  }
  if (path === '/lora-adapters') {
    return {
      as: 'refused',
      says: 'weights are fixed while Terrace serves: start llama-server with the adapters wanted',
    }
  }
  return { as: 'through' }
}
