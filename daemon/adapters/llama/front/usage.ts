import { field } from '../json.ts'

/** Token counts in answers, told truthfully. The server counts as cached whatever lay in the slot when the request
 *  came, also the block part that was computed for this very request a moment before; those tokens are moved from
 *  cached to computed. */

/** What was computed for the request before the request itself was sent. */
export type Before = { readonly computedTokens: number; readonly computedMs: number }

/** What an answer said about its prompt, before anything was moved: how the guess of the prompt is checked. */
export type Seen = { readonly promptTokens: number; readonly cachedTokens: number }

type Json = Record<string, unknown>

function object(json: unknown, name: string): Json | undefined {
  const value = field(json, name)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
}

function count(json: Json | undefined, name: string): number | undefined {
  const value = json === undefined ? undefined : json[name]
  return typeof value === 'number' ? value : undefined
}

/** Corrects the counts of one JSON answer or one event of a stream, in place. Null when it carries none. */
export function correctUsage(json: unknown, before: Before): Seen | null {
  let seen: Seen | null = null
  for (const holder of [json, object(json, 'response'), object(json, 'message')]) {
    const usage = object(holder, 'usage')
    const timings = object(holder, 'timings')
    const fromTimings = timings === undefined ? null : correctTimings(timings, before)
    const fromUsage = usage === undefined ? null : correctCounts(usage, before)
    seen = fromUsage ?? fromTimings ?? seen
  }
  return seen
}

function correctCounts(usage: Json, before: Before): Seen | null {
  for (const [details, total] of [
    ['prompt_tokens_details', 'prompt_tokens'],
    ['input_tokens_details', 'input_tokens'],
  ] as const) {
    const holder = object(usage, details)
    const cachedTokens = count(holder, 'cached_tokens')
    if (holder === undefined || cachedTokens === undefined) continue
    holder.cached_tokens = Math.max(0, cachedTokens - before.computedTokens)
    return { promptTokens: count(usage, total) ?? 0, cachedTokens }
  }
  const cachedTokens = count(usage, 'cache_read_input_tokens')
  const computed = count(usage, 'input_tokens')
  if (cachedTokens === undefined || computed === undefined) return null
  const moved = Math.min(cachedTokens, before.computedTokens)
  usage.cache_read_input_tokens = cachedTokens - moved
  usage.input_tokens = computed + moved
  return { promptTokens: cachedTokens + computed, cachedTokens }
}

function correctTimings(timings: Json, before: Before): Seen | null {
  const cachedTokens = count(timings, 'cache_n')
  const computed = count(timings, 'prompt_n')
  if (cachedTokens === undefined || computed === undefined) return null
  const moved = Math.min(cachedTokens, before.computedTokens)
  const promptMs = (count(timings, 'prompt_ms') ?? 0) + (moved > 0 ? before.computedMs : 0)
  timings.cache_n = cachedTokens - moved
  timings.prompt_n = computed + moved
  timings.prompt_ms = promptMs
  timings.prompt_per_token_ms = promptMs / Math.max(1, computed + moved)
  timings.prompt_per_second = promptMs > 0 ? ((computed + moved) * 1_000) / promptMs : 0
  return { promptTokens: cachedTokens + computed, cachedTokens }
}

/** Corrects a stream of server-sent events piece by piece. Lines without counts pass as they are; a line that is not
 *  finished waits for its end. */
export class EventCorrector {
  readonly #before: Before
  #rest = ''
  readonly #decoder = new TextDecoder()
  seen: Seen | null = null

  constructor(before: Before) {
    this.#before = before
  }

  push(piece: Uint8Array): string {
    const text = this.#rest + this.#decoder.decode(piece, { stream: true })
    const end = text.lastIndexOf('\n') + 1
    this.#rest = text.slice(end)
    const whole = text.slice(0, end)
    if (!whole.includes('"usage"') && !whole.includes('"timings"')) return whole
    return whole
      .split('\n')
      .map((line) => this.#line(line))
      .join('\n')
  }

  end(): string {
    const rest = this.#rest + this.#decoder.decode()
    this.#rest = ''
    return rest === '' ? '' : this.#line(rest)
  }

  #line(line: string): string {
    if (!line.startsWith('data: {')) return line
    if (!line.includes('"usage"') && !line.includes('"timings"')) return line
    try {
      const json: unknown = JSON.parse(line.slice(6))
      const seen = correctUsage(json, this.#before)
      if (seen === null) return line
      this.seen = seen
      return `data: ${JSON.stringify(json)}`
    } catch {
      return line
    }
  }
}
