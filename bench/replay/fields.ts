import type { OptionFields, OptionValues } from '../command.ts'
import { UsageError } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import type { Endpoint } from './endpoint.ts'

/** Options that name an OpenAI endpoint. */
export const endpointFields = {
  url: {
    kind: 'text',
    placeholder: 'URL',
    fallback: 'http://127.0.0.1:8080/v1',
    about: 'Base address of the OpenAI endpoint.',
  },
  model: {
    kind: 'text',
    placeholder: 'NAME',
    fallback: null,
    about: "Model; without it the endpoint's first one.",
  },
  api: {
    kind: 'text',
    placeholder: 'KIND',
    fallback: 'chat',
    choices: ['chat', 'completions'],
    about: 'Which API to call.',
  },
  keyVariable: {
    kind: 'text',
    placeholder: 'NAME',
    fallback: 'OPENAI_API_KEY',
    about: 'Environment variable that holds the API key; it is never shown.',
  },
  timeout: {
    kind: 'number',
    placeholder: 'SECONDS',
    unit: 'seconds',
    fallback: 300,
    min: 0.1,
    max: 86_400,
    about: 'A request that takes longer has failed.',
  },
} as const satisfies OptionFields

/** Options that find the highest load which still meets a goal. */
export const findLoadFields = {
  findLoad: {
    kind: 'flag',
    about:
      'Raise the load step by step until the goal of --ttft-goal is missed, and tell the highest load that met it. ' +
      'Open: requests per second. Closed: clients.',
  },
  goalShare: {
    kind: 'number',
    placeholder: 'PERCENT',
    unit: 'percent',
    fallback: 90,
    min: 1,
    max: 100,
    about: 'With --find-load: so many of the requests must be within the goal; failed ones are not.',
  },
  from: {
    kind: 'number',
    placeholder: 'LOAD',
    unit: '',
    fallback: 1,
    min: 1e-3,
    max: 1e6,
    about: 'With --find-load: the first load.',
  },
  to: {
    kind: 'number',
    placeholder: 'LOAD',
    unit: '',
    fallback: 1e6,
    min: 1e-3,
    max: 1e6,
    about: 'With --find-load: the highest load to try.',
  },
  growth: {
    kind: 'number',
    placeholder: 'X',
    unit: '',
    fallback: 1.5,
    min: 1.01,
    max: 100,
    about: 'With --find-load: each load is X times the one before.',
  },
  refine: {
    kind: 'number',
    placeholder: 'N',
    unit: 'steps',
    fallback: 2,
    min: 0,
    max: 20,
    whole: true,
    about: 'With --find-load: loads to try between the last good one and the first that is too high.',
  },
  step: {
    kind: 'number',
    placeholder: 'SECONDS',
    unit: 'seconds',
    fallback: 30,
    min: 0.1,
    max: 86_400,
    about: 'With --find-load: how long each load is held; at least ten requests.',
  },
} as const satisfies OptionFields

/** Limits that the client keeps. */
export const paceFields = {
  requestsPerSecond: {
    kind: 'number',
    placeholder: 'N',
    unit: 'requests per second',
    fallback: null,
    min: 1e-6,
    max: 1e6,
    about: 'Never send more; a request that waits for this is due only then.',
  },
  tokensPerSecond: {
    kind: 'number',
    placeholder: 'N',
    unit: 'tokens per second',
    fallback: null,
    min: 1e-3,
    max: 1e9,
    about: 'Never send more prompt tokens, in the same way.',
  },
} as const satisfies OptionFields

/** The endpoint the options name; asks it for its model when none is given. */
export async function openEndpoint(
  options: OptionValues<typeof endpointFields>,
  io: BenchIo,
): Promise<Endpoint> {
  const url = addressOf(options.url)
  const key = io.env[options.keyVariable] ?? null
  const model = options.model ?? (await firstModel(url, key, io.stop))
  const { api } = options
  if (api !== 'chat' && api !== 'completions') throw new UsageError('--api: one of chat, completions')
  return { url, model, api, key, timeoutMs: options.timeout * 1_000, headers: {}, nowMs: io.nowMs }
}

function addressOf(text: string): string {
  const parsed = URL.canParse(text) ? new URL(text) : null
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new UsageError(`--url: "${text}" is no http address, such as http://127.0.0.1:8080/v1`)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new UsageError('--url: leave user and password out; the key comes from --key-variable')
  }
  return text.replace(/\/+$/, '')
}

/** How long the endpoint may take to name its models. */
const modelsMsMax = 10_000

/** The id of the first model that the endpoint names. */
export async function firstModel(url: string, key: string | null, stop: AbortSignal): Promise<string> {
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }
  try {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(modelsMsMax)])
    const response = await fetch(`${url}/models`, { headers, signal })
    const body = (await response.json()) as { data?: readonly { id?: unknown }[] }
    const id = body.data?.[0]?.id
    if (typeof id === 'string') return id
  } catch {
    // Said below: whatever went wrong, the way out is the same.
  }
  throw new UsageError(`${url}/models names no model: is the endpoint running? Else give --model NAME`)
}
