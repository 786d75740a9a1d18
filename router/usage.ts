import type { IncomingHttpHeaders } from 'node:http'

/** What a worker said an answer took, or nulls where it did not say. */
export type Usage = { readonly promptTokens: number | null; readonly cachedTokens: number | null }

/** Reads the usage at the end of an answer, streamed or not, without parsing the answer. Names inside
 *  generated text cannot match: their quotes are escaped there. */
export function usageOf(headers: IncomingHttpHeaders, tail: Buffer): Usage {
  const text = tail.toString('latin1')
  const cached = cachedInHeader(headers['x-terrace-cached-tokens']) ?? lastNumber(text, 'cached_tokens')
  const prompt = lastNumber(text, 'prompt_tokens')
  if (prompt !== null) return { promptTokens: prompt, cachedTokens: cached }
  // The Anthropic API counts what was read from a cache apart from `input_tokens`; the Responses API includes
  // it.
  const input = lastNumber(text, 'input_tokens')
  const read = lastNumber(text, 'cache_read_input_tokens')
  if (input === null) return { promptTokens: null, cachedTokens: cached ?? read }
  return read === null
    ? { promptTokens: input, cachedTokens: cached }
    : { promptTokens: input + read, cachedTokens: cached ?? read }
}

/** `engine=64,host=0,nvme=128,s3=0` to its sum; null when it is not of that form. */
function cachedInHeader(value: string | string[] | undefined): number | null {
  if (typeof value !== 'string' || !/^\w+=\d{1,9}(,\s*\w+=\d{1,9})*$/.test(value)) return null
  let sum = 0
  for (const part of value.split(',')) sum += Number(part.slice(part.indexOf('=') + 1))
  return sum
}

function lastNumber(text: string, name: string): number | null {
  const at = text.lastIndexOf(`"${name}"`)
  if (at === -1) return null
  const digits = /^\s*:\s*(\d{1,9})/.exec(text.slice(at + name.length + 2, at + name.length + 32))
  return digits?.[1] === undefined ? null : Number(digits[1])
}
