import type { RequestDraft } from './builder.ts'

/** Characters that stand for one token when there is no tokenizer. Why 4: the usual mean of English text and
 *  code with today's vocabularies. */
export const charactersPerToken = 4

/** Cuts a prompt into pieces of one block each, names each piece by its text and drops the text. */
export function fillFromText(text: string, blockTokens: number, draft: RequestDraft): void {
  const pieceLength = blockTokens * charactersPerToken
  for (let from = 0; from < text.length; from += pieceLength) {
    draft.pushText(text.slice(from, from + pieceLength))
  }
  draft.inputTokens = Math.ceil(text.length / charactersPerToken)
}

/** A time in a log, in milliseconds: a number is taken by its size as seconds, milliseconds or microseconds since
 *  1970 (or, when small, as seconds from the start), a text as ISO date. Null for anything else. */
export function logTimeMs(value: unknown): number | null {
  if (typeof value === 'string') {
    const parsed =
      value.trim() !== '' && Number.isFinite(Number(value)) ? logTimeMs(Number(value)) : Date.parse(value)
    return parsed !== null && Number.isFinite(parsed) ? parsed : null
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return null
  if (value > 1e14) return value / 1_000
  if (value > 1e11) return value
  return value * 1_000
}
