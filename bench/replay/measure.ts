import { quantileIn } from '../report/quantiles.ts'
import type { Hit } from './drive.ts'

/** What a replay measured. Seconds throughout. */
export type Measured = {
  readonly sent: number
  readonly answered: number
  readonly failedByReason: Readonly<Record<string, number>>
  readonly seconds: number
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly cachedBy: Readonly<Record<string, number>>
  /** Answers that said how many prompt tokens came from a cache. */
  readonly usageReported: number
  readonly outputTokens: number
  /** Sorted: from sending to the first token, from when it was due, and between tokens. */
  readonly ttft: Float64Array
  readonly ttftFromDue: Float64Array
  readonly perToken: Float64Array
  readonly byShare: readonly ShareRow[]
}

/** Answers whose prompt came from a cache to a similar share. */
type ShareRow = {
  readonly cached: string
  readonly requests: number
  readonly promptTokensMean: number
  readonly ttftP50: number | null
  readonly ttftP95: number | null
}

const shareSteps: readonly (readonly [string, number])[] = [
  ['none', 0],
  ['up to half', 0.5],
  ['up to 90 %', 0.9],
  ['more', 1],
]

export function measure(hits: readonly Hit[]): Measured {
  const failedByReason: Record<string, number> = {}
  const cachedBy: Record<string, number> = {}
  const ttft: number[] = []
  const fromDue: number[] = []
  const perToken: number[] = []
  let [promptTokens, cachedTokens, usageReported, outputTokens, firstMs, lastMs] = [0, 0, 0, 0, Infinity, 0]
  for (const { dueMs, answer } of hits) {
    firstMs = Math.min(firstMs, answer.sentMs)
    lastMs = Math.max(lastMs, answer.endMs)
    if (answer.as === 'failed') {
      failedByReason[answer.why] = (failedByReason[answer.why] ?? 0) + 1
      continue
    }
    ttft.push((answer.firstTokenMs - answer.sentMs) / 1_000)
    fromDue.push((answer.firstTokenMs - Math.min(dueMs, answer.sentMs)) / 1_000)
    outputTokens += answer.outputTokens
    if (answer.outputTokens > 1) {
      perToken.push((answer.endMs - answer.firstTokenMs) / 1_000 / (answer.outputTokens - 1))
    }
    if (answer.promptTokens !== null && answer.cachedTokens !== null) {
      usageReported += 1
      promptTokens += answer.promptTokens
      cachedTokens += answer.cachedTokens
    }
    for (const [name, tokens] of Object.entries(answer.cachedBy))
      cachedBy[name] = (cachedBy[name] ?? 0) + tokens
  }
  return {
    sent: hits.length,
    answered: ttft.length,
    failedByReason,
    seconds: hits.length === 0 ? 0 : (lastMs - firstMs) / 1_000,
    promptTokens,
    cachedTokens,
    cachedBy,
    usageReported,
    outputTokens,
    ttft: Float64Array.from(ttft).sort(),
    ttftFromDue: Float64Array.from(fromDue).sort(),
    perToken: Float64Array.from(perToken).sort(),
    byShare: shareRows(hits),
  }
}

function shareRows(hits: readonly Hit[]): ShareRow[] {
  const rows = shareSteps.map(() => ({ ttft: [] as number[], promptTokens: 0 }))
  for (const { answer } of hits) {
    if (answer.as === 'failed' || answer.promptTokens === null || answer.cachedTokens === null) continue
    const share = answer.promptTokens === 0 ? 0 : answer.cachedTokens / answer.promptTokens
    const row = rows[shareSteps.findIndex(([, upTo]) => share <= upTo)]
    row?.ttft.push((answer.firstTokenMs - answer.sentMs) / 1_000)
    if (row !== undefined) row.promptTokens += answer.promptTokens
  }
  return rows.map(({ ttft, promptTokens }, step) => {
    const sorted = Float64Array.from(ttft).sort()
    return {
      cached: shareSteps[step]?.[0] ?? '',
      requests: ttft.length,
      promptTokensMean: ttft.length === 0 ? 0 : Math.round(promptTokens / ttft.length),
      ttftP50: quantileIn(sorted, 0.5),
      ttftP95: quantileIn(sorted, 0.95),
    }
  })
}

/** One CSV line per request, in the order of their ends; times in seconds after the first was due. */
export function hitLines(hits: readonly Hit[]): string {
  const startMs = hits.reduce((least, { dueMs, answer }) => Math.min(least, dueMs, answer.sentMs), Infinity)
  const after = (ms: number): string => ((ms - startMs) / 1_000).toFixed(4)
  const lines = ['request,due,sent,firstToken,end,promptTokens,cachedTokens,outputTokens,failed']
  for (const { shot, dueMs, answer } of hits) {
    const head = [shot.request, after(dueMs), after(answer.sentMs)]
    const rest =
      answer.as === 'failed'
        ? ['', after(answer.endMs), '', '', '', `"${answer.why.replaceAll('"', '""')}"`]
        : [
            after(answer.firstTokenMs),
            after(answer.endMs),
            answer.promptTokens,
            answer.cachedTokens,
            answer.outputTokens,
            '',
          ]
    lines.push([...head, ...rest].map((cell) => cell ?? '').join(','))
  }
  return `${lines.join('\n')}\n`
}
