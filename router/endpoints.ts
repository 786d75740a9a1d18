/** Who shapes the errors of an endpoint: the API that its clients speak. */
export type Dialect = 'openai' | 'anthropic'

export type Endpoint = {
  /** Short word for metrics. */
  readonly name: string
  readonly dialect: Dialect
  /** Whether the body holds a prompt whose prefix is worth routing by. */
  readonly prompt: boolean
  readonly about: string
}

/** The endpoints that go to a worker; the worker gets the same path. All are POST with a JSON object. */
export const endpoints: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': { name: 'chat', dialect: 'openai', prompt: true, about: 'chat, streaming or not' },
  '/v1/completions': {
    name: 'completions',
    dialect: 'openai',
    prompt: true,
    about: 'text completion, streaming or not',
  },
  '/v1/responses': {
    name: 'responses',
    dialect: 'openai',
    prompt: true,
    about: 'responses, streaming or not; state between calls is whatever the engine keeps',
  },
  '/v1/messages': { name: 'messages', dialect: 'anthropic', prompt: true, about: 'Anthropic messages' },
  '/v1/messages/count_tokens': {
    name: 'count_tokens',
    dialect: 'anthropic',
    prompt: false,
    about: 'token count, when the engine has it',
  },
  '/v1/embeddings': {
    name: 'embeddings',
    dialect: 'openai',
    prompt: false,
    about: 'embeddings, when the engine has them',
  },
}

/** The dialect in which a path's errors are written, also for a path that does not exist. */
export function dialectOf(path: string): Dialect {
  return endpoints[path]?.dialect ?? (path.startsWith('/v1/messages') ? 'anthropic' : 'openai')
}
