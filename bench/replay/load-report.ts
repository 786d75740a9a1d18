import { shown } from '../report/format.ts'
import { quantileIn } from '../report/quantiles.ts'
import type { Curves, Facts, Report, Table } from '../report/report.ts'
import type { LoadFound, LoadGoal, LoadStep } from './find-load.ts'
import { type ReplayRun, replayContext } from './report.ts'

const endings: Readonly<Record<LoadFound['ended'], string>> = {
  found: 'the edge lies between this load and the next one tried',
  first_too_high: 'even the first load misses the goal: begin lower with --from',
  most_reached: 'a lower bound: every load up to --to met the goal',
  trace: 'a lower bound: the trace had no more requests; give a longer one, or a shorter --step',
  interrupted: 'a lower bound: interrupted',
}

/** What a search for the highest load found: one row per load, and the answer. */
export function loadReport(run: ReplayRun, goal: LoadGoal, found: LoadFound): Report {
  const { trace, model, api, mode, think, scale, salt, outputTokensMax } = run
  const json = {
    ...{ trace, model, api, mode, think, scale, salt, outputTokensMax },
    loadUnit: loadUnitOf(run),
    goal: { ttftSeconds: goal.ttftSeconds, share: goal.share },
    highestGoodLoad: found.best,
    ended: found.ended,
    rows: found.steps.map(rowOf),
  }
  return {
    command: 'replay',
    title: `Highest load of ${model} with ${shareText(goal)}, by ${trace}`,
    json,
    sections: [
      answerFacts(run, goal, found),
      stepTable(run, found.steps),
      ...(found.steps.length > 1 ? [stepCurve(run, goal, found)] : []),
    ],
    context: { ...replayContext(run), concurrency: concurrencyOf(run) },
    partial: run.partial,
  }
}

/** One line while it runs. */
export function stepLine(run: ReplayRun, goal: LoadGoal, step: LoadStep): string {
  const within = `${shown(step.withinShare, 'share')} of ${step.measured.sent} within ${shown(goal.ttftSeconds, 'seconds')}`
  return `${shown(step.load, 'number')} ${loadUnitOf(run)}: ${within}: ${step.good ? 'good' : 'too high'}\n`
}

function loadUnitOf({ mode }: ReplayRun): string {
  return mode === 'open' ? 'requests/s' : 'clients'
}

function concurrencyOf(run: ReplayRun): string {
  return run.mode === 'open'
    ? "open loop, the trace's gaps stretched to each rate"
    : `closed loop, think time x ${run.think}`
}

function shareText({ share, ttftSeconds }: LoadGoal): string {
  return `${shown(share, 'share')} of first tokens within ${shown(ttftSeconds, 'seconds')}`
}

type StepRow = {
  readonly load: number
  readonly sent: number
  readonly failed: number
  readonly withinShare: number
  readonly ttftP50: number | null
  readonly ttftP90: number | null
  readonly ttftP99: number | null
  readonly requestsPerSecond: number
  readonly outputTokensPerSecond: number
  readonly hitRate: number | null
  readonly good: boolean
  readonly endedEarly: boolean
}

function rowOf({ load, measured, withinShare, good, isCut }: LoadStep): StepRow {
  const perSecond = (count: number): number => (measured.seconds === 0 ? 0 : count / measured.seconds)
  return {
    load,
    sent: measured.sent,
    failed: measured.sent - measured.answered,
    withinShare,
    ttftP50: quantileIn(measured.ttftFromDue, 0.5),
    ttftP90: quantileIn(measured.ttftFromDue, 0.9),
    ttftP99: quantileIn(measured.ttftFromDue, 0.99),
    requestsPerSecond: perSecond(measured.answered),
    outputTokensPerSecond: perSecond(measured.outputTokens),
    hitRate: measured.promptTokens === 0 ? null : measured.cachedTokens / measured.promptTokens,
    good,
    endedEarly: isCut,
  }
}

function answerFacts(run: ReplayRun, goal: LoadGoal, { best, ended }: LoadFound): Facts {
  return {
    kind: 'facts',
    title: 'Result',
    items: [
      { key: 'highestGoodLoad', label: `highest good load, ${loadUnitOf(run)}`, value: best, unit: 'number' },
      { key: 'goal', label: 'goal', value: shareText(goal), unit: 'text' },
      { key: 'ended', label: 'read as', value: endings[ended], unit: 'text' },
    ],
  }
}

function stepTable(run: ReplayRun, steps: readonly LoadStep[]): Table {
  return {
    kind: 'table',
    title: 'Loads, in the order tried',
    columns: [
      { key: 'load', title: loadUnitOf(run), unit: 'number' },
      { key: 'sent', title: 'requests', unit: 'count' },
      { key: 'failed', title: 'failed', unit: 'count' },
      { key: 'withinShare', title: 'within the goal', unit: 'share' },
      { key: 'ttftP50', title: 'TTFT p50', unit: 'seconds' },
      { key: 'ttftP90', title: 'p90', unit: 'seconds' },
      { key: 'ttftP99', title: 'p99', unit: 'seconds' },
      { key: 'requestsPerSecond', title: 'answered/s', unit: 'number' },
      { key: 'outputTokensPerSecond', title: 'tokens/s', unit: 'number' },
      { key: 'hitRate', title: 'hit rate', unit: 'rate' },
      { key: 'good', title: 'good', unit: 'text' },
    ],
    rows: steps.map((step) => ({ ...rowOf(step) })),
  }
}

function stepCurve(run: ReplayRun, goal: LoadGoal, found: LoadFound): Curves {
  const rows = found.steps.map(rowOf).sort((a, b) => a.load - b.load)
  const line = (name: string, of: (row: StepRow) => number | null) => ({
    name,
    points: rows.flatMap((row) => {
      const y = of(row)
      return y === null ? [] : [[row.load, Math.max(1e-4, y)] as const]
    }),
  })
  const best = rows.find(({ load }) => load === found.best)
  const bestAt = best?.ttftP90 ?? null
  return {
    kind: 'curves',
    title: 'Time to first token, from when due, against the load',
    x: { title: loadUnitOf(run), unit: 'number' },
    y: { title: 'time to first token', unit: 'seconds', log: true },
    lines: [
      line('p50', ({ ttftP50 }) => ttftP50),
      line('p90', ({ ttftP90 }) => ttftP90),
      line('p99', ({ ttftP99 }) => ttftP99),
      line('goal', () => goal.ttftSeconds),
    ],
    marks: best === undefined || bestAt === null ? [] : [{ x: best.load, y: bestAt, label: 'highest good' }],
  }
}
