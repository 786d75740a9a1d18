import { traceContext } from '../report/context.ts'
import { quantilesIn, shareLine } from '../report/quantiles.ts'
import type { Curves, Facts, Report, Section, Table } from '../report/report.ts'
import type { Measured } from './measure.ts'

/** How a replay was run: part of every figure. */
export type ReplayRun = {
  readonly trace: string
  readonly model: string
  readonly api: string
  readonly mode: 'open' | 'closed'
  readonly clients: number
  readonly speedup: number
  readonly think: number
  readonly scale: number
  readonly salt: number
  readonly warmUp: number
  /** The client's own limits; null without one. */
  readonly requestsPerSecondMax: number | null
  readonly tokensPerSecondMax: number | null
  /** Time to first token, from when due, that counts as good; null when none was given. */
  readonly ttftGoalSeconds: number | null
  readonly outputTokensMax: number
  /** Share of the sent prompt tokens that an unlimited cache would have had. */
  readonly possibleRate: number
  readonly assumed: readonly string[]
  readonly partial: boolean
}

export function replayReport(run: ReplayRun, measured: Measured): Report {
  const realised = measured.promptTokens === 0 ? null : measured.cachedTokens / measured.promptTokens
  const { warmUp: _warmUp, assumed: _assumed, partial: _partial, ...how } = run
  const json = {
    ...how,
    sent: measured.sent,
    answered: measured.answered,
    failedByReason: measured.failedByReason,
    seconds: measured.seconds,
    requestsPerSecond: perSecond(measured, measured.answered),
    goodRequestsPerSecond:
      goodOf(run, measured) === null ? null : perSecond(measured, goodOf(run, measured) ?? 0),
    promptTokens: measured.promptTokens,
    outputTokens: measured.outputTokens,
    hitRate: realised,
    possibleRate: run.possibleRate,
    cachedTokensByTier: measured.cachedBy,
    usageReported: measured.usageReported,
    ttftSeconds: quantilesIn(measured.ttft),
    ttftFromDueSeconds: quantilesIn(measured.ttftFromDue),
    perTokenSeconds: quantilesIn(measured.perToken),
    byCachedShare: measured.byShare,
  }
  const sections: Section[] = [
    resultFacts(run, measured, realised),
    latencyTable(measured),
    ...(measured.usageReported > 0 ? [shareTable(measured)] : []),
    ...(Object.keys(measured.failedByReason).length > 0 ? [failureTable(measured)] : []),
    ...(measured.ttft.length > 1 ? [ttftCurve(measured)] : []),
  ]
  return {
    command: 'replay',
    title: `Replay of ${run.trace} on ${run.model}`,
    json,
    sections,
    context: replayContext(run),
    partial: run.partial,
  }
}

export function replayContext(run: ReplayRun) {
  const closed = `closed loop, ${run.clients} clients, think time x ${run.think}`
  const open = `open loop, ${run.speedup} times the trace's speed`
  return traceContext({
    definition: 'prompt tokens that the server says came from a cache, over its prompt tokens',
    weighting: 'tokens',
    tailBlock: 'as the server counts',
    outputBlocks: 'as the server caches',
    warmUp: run.warmUp === 0 ? 'none cut' : `the first ${run.warmUp} requests are not counted`,
    concurrency: run.mode === 'open' ? open : closed,
    capacity: "the server's",
    order: "the server's",
    seed: run.salt,
    assumed: [
      ...run.assumed,
      'prompts are made-up words, about one token each, equal where the trace has equal blocks; the salt makes them new',
      'time to first token ends with the first piece that has content; answers are cut short',
    ],
  })
}

function perSecond(measured: Measured, count: number): number {
  return measured.seconds === 0 ? 0 : count / measured.seconds
}

function resultFacts(run: ReplayRun, measured: Measured, realised: number | null): Facts {
  return {
    kind: 'facts',
    title: 'Result',
    items: [
      { key: 'sent', label: 'requests counted', value: measured.sent, unit: 'count' },
      { key: 'answered', label: 'answered', value: measured.answered, unit: 'count' },
      { key: 'seconds', label: 'took', value: measured.seconds, unit: 'seconds' },
      { key: 'rate', label: 'requests/s', value: perSecond(measured, measured.answered), unit: 'number' },
      ...goodFacts(run, measured),
      {
        key: 'inputRate',
        label: 'prompt tokens/s',
        value: perSecond(measured, measured.promptTokens),
        unit: 'number',
      },
      {
        key: 'outputRate',
        label: 'output tokens/s',
        value: perSecond(measured, measured.outputTokens),
        unit: 'number',
      },
      { key: 'hitRate', label: 'hit rate, realised', value: realised, unit: 'rate' },
      { key: 'possibleRate', label: 'hit rate, possible', value: run.possibleRate, unit: 'rate' },
      ...Object.entries(measured.cachedBy).map(([tier, tokens]) => ({
        key: `from-${tier}`,
        label: `tokens from ${tier}`,
        value: tokens,
        unit: 'tokens' as const,
      })),
    ],
  }
}

/** Requests within the goal, or null without one. */
function goodOf(run: ReplayRun, measured: Measured): number | null {
  const goal = run.ttftGoalSeconds
  return goal === null ? null : measured.ttftFromDue.filter((seconds) => seconds <= goal).length
}

function goodFacts(run: ReplayRun, measured: Measured): Facts['items'] {
  const good = goodOf(run, measured)
  if (good === null) return []
  return [
    { key: 'goodShare', label: 'within the goal', value: good / Math.max(1, measured.sent), unit: 'share' },
    {
      key: 'goodRate',
      label: 'requests/s within the goal',
      value: perSecond(measured, good),
      unit: 'number',
    },
  ]
}

function latencyTable(measured: Measured): Table {
  return {
    kind: 'table',
    title: 'Times',
    columns: [
      { key: 'what', title: '', unit: 'text' },
      { key: 'p50', title: 'p50', unit: 'seconds' },
      { key: 'p90', title: 'p90', unit: 'seconds' },
      { key: 'p95', title: 'p95', unit: 'seconds' },
      { key: 'p99', title: 'p99', unit: 'seconds' },
    ],
    rows: [
      { what: 'first token, from sending', ...quantilesIn(measured.ttft) },
      { what: 'first token, from when due', ...quantilesIn(measured.ttftFromDue) },
      { what: 'between tokens', ...quantilesIn(measured.perToken) },
    ],
  }
}

function shareTable(measured: Measured): Table {
  return {
    kind: 'table',
    title: 'First token by how much of the prompt came from a cache',
    columns: [
      { key: 'cached', title: 'cached', unit: 'text' },
      { key: 'requests', title: 'requests', unit: 'count' },
      { key: 'promptTokensMean', title: 'prompt tokens, mean', unit: 'tokens' },
      { key: 'ttftP50', title: 'TTFT p50', unit: 'seconds' },
      { key: 'ttftP95', title: 'TTFT p95', unit: 'seconds' },
    ],
    rows: measured.byShare.map((row) => ({ ...row })),
  }
}

function failureTable(measured: Measured): Table {
  return {
    kind: 'table',
    title: 'Failed',
    columns: [
      { key: 'why', title: 'why', unit: 'text' },
      { key: 'requests', title: 'requests', unit: 'count' },
    ],
    rows: Object.entries(measured.failedByReason).map(([why, requests]) => ({ why, requests })),
  }
}

function ttftCurve(measured: Measured): Curves {
  return {
    kind: 'curves',
    title: 'Share of requests by time to first token',
    x: { title: 'time to first token', unit: 'seconds', log: true },
    y: { title: 'share of requests', unit: 'share' },
    lines: [
      shareLine('from sending', measured.ttft, 1e-4),
      shareLine('from when due', measured.ttftFromDue, 1e-4),
    ],
  }
}
