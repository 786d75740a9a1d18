import type { World } from '../../tiers/block/clock.ts'
import { reasonOf } from './http.ts'

/** One streamed answer, as a person would have waited for it. */
export type Asked =
  | {
      readonly as: 'answered'
      readonly text: string
      readonly promptTokens: number
      readonly cachedTokens: number
      /** Cached tokens by where they came from, as the engine's adapter said. */
      readonly from: ReadonlyMap<string, number>
      readonly firstTokenMs: number
    }
  | { readonly as: 'failed'; readonly why: string }

type Chunk = {
  readonly choices?: readonly { readonly delta?: { readonly content?: string } }[]
  readonly usage?: {
    readonly prompt_tokens: number
    readonly prompt_tokens_details?: { readonly cached_tokens?: number }
  }
}

/** Asks about a document through the router; `worker` chooses the engine. */
export async function ask(
  router: string,
  document: string,
  question: string,
  worker: string,
  world: World,
): Promise<Asked> {
  const startedMs = world.nowMs()
  try {
    const response = await fetch(`${router}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-terrace-worker': worker },
      body: JSON.stringify({
        messages: [{ role: 'user', content: `${document}\n\n${question}` }],
        max_tokens: 40,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      }),
    })
    if (!response.ok || response.body === null) {
      return { as: 'failed', why: `${response.status} ${(await response.text()).slice(0, 200)}` }
    }
    let text = ''
    let firstTokenMs = 0
    let usage: Chunk['usage']
    for await (const chunk of chunksOf(response.body)) {
      const piece = chunk.choices?.[0]?.delta?.content ?? ''
      if (piece !== '' && firstTokenMs === 0) firstTokenMs = world.nowMs() - startedMs
      text += piece
      usage = chunk.usage ?? usage
    }
    return {
      as: 'answered',
      text: text.trim(),
      promptTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      from: tokensByTier(response.headers.get('x-terrace-cached-tokens') ?? ''),
      firstTokenMs,
    }
  } catch (error) {
    return { as: 'failed', why: reasonOf(error) }
  }
}

/** `engine=64,host=1024` */
function tokensByTier(header: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const [, tier = '', count = ''] of header.matchAll(/(\w+)=(\d+)/g)) found.set(tier, Number(count))
  return found
}

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('data: {')) yield JSON.parse(line.slice(6)) as Chunk
    }
  }
}
