import { type Answer, ask, type Endpoint } from '../replay/endpoint.ts'
import { blockText } from '../replay/text.ts'
import { quantileIn } from '../report/quantiles.ts'

/** Where a prompt's KV should come from in a step. */
export const steps = ['cold', 'engine', 'other engine', 'restart', 'lost disk'] as const
export type Step = (typeof steps)[number]

/** One prompt length in one step: all its repeats together. */
export type Cell = {
  readonly promptTokens: number
  readonly step: Step
  /** Tokens by where they came from, as the answers said: the step is proved by this, not by its name. */
  readonly from: string
  readonly cachedTokens: number
  readonly ttftSeconds: number | null
  readonly sameAnswer: boolean | null
  readonly failed: string | null
}

export type Prompt = { readonly tokens: number; readonly repeat: number; readonly text: string }

const question = '\n\nHow does the text above go on? Answer with one sentence.'

/** Prompts that no earlier run has sent. */
export function makePrompts(tokens: readonly number[], repeats: number, salt: number): Prompt[] {
  return tokens.flatMap((count, index) =>
    Array.from({ length: repeats }, (_, repeat) => {
      const text = blockText(index * 1_000 + repeat, Math.max(8, count - 40), salt).trimStart() + question
      return { tokens: count, repeat, text }
    }),
  )
}

/** Tokens of each answer: enough to compare answers, few enough not to matter. */
const outputTokens = 16

export type Asked = { readonly prompt: Prompt; readonly step: Step; readonly answer: Answer }

/** Asks each prompt once per step, all steps of a prompt before the next prompt: an engine still holds what it has
 *  just computed. */
export async function askAll(
  endpoint: Endpoint,
  worker: string,
  prompts: readonly Prompt[],
  inSteps: readonly Step[],
  stop: AbortSignal,
  onAsked: () => void,
): Promise<Asked[]> {
  const asked: Asked[] = []
  const steered = { ...endpoint, headers: { 'x-terrace-worker': worker } }
  for (const prompt of prompts) {
    for (const step of inSteps) {
      if (stop.aborted) return asked
      asked.push({ prompt, step, answer: await ask(steered, prompt.text, outputTokens, stop) })
      onAsked()
    }
  }
  return asked
}

/** The table: one cell per prompt length and step. */
export function cellsOf(asked: readonly Asked[], tokens: readonly number[]): Cell[] {
  const cells: Cell[] = []
  for (const count of tokens) {
    for (const step of steps) {
      const own = asked.filter((one) => one.prompt.tokens === count && one.step === step)
      if (own.length > 0) cells.push(cellOf(own, asked))
    }
  }
  return cells
}

function cellOf(own: readonly Asked[], all: readonly Asked[]): Cell {
  const answers = own.map(({ answer }) => answer).filter((answer) => answer.as === 'answered')
  const failed = own
    .map(({ answer }) => (answer.as === 'failed' ? answer.why : null))
    .find((why) => why !== null)
  const [first] = own
  const ttft = Float64Array.from(answers, (answer) => (answer.firstTokenMs - answer.sentMs) / 1_000).sort()
  const same = own.map(({ prompt, answer }) => {
    const cold = all.find((one) => one.step === 'cold' && one.prompt === prompt)?.answer
    return answer.as === 'answered' && cold?.as === 'answered' && cold.text === answer.text
  })
  const mean = (values: readonly number[]): number =>
    values.length === 0 ? 0 : Math.round(values.reduce((sum, value) => sum + value, 0) / values.length)
  return {
    promptTokens: mean(answers.map(({ promptTokens }) => promptTokens ?? 0)) || (first?.prompt.tokens ?? 0),
    step: first?.step ?? 'cold',
    from: sourceOf(answers),
    cachedTokens: mean(answers.map(({ cachedTokens }) => cachedTokens ?? 0)),
    ttftSeconds: quantileIn(ttft, 0.5),
    sameAnswer: first?.step === 'cold' || answers.length === 0 ? null : same.every(Boolean),
    failed: failed ?? null,
  }
}

function sourceOf(answers: readonly (Answer & { as: 'answered' })[]): string {
  const sums = new Map<string, number>()
  for (const { cachedBy } of answers) {
    for (const [tier, tokens] of Object.entries(cachedBy)) sums.set(tier, (sums.get(tier) ?? 0) + tokens)
  }
  const named = [...sums].filter(([, tokens]) => tokens > 0).sort(([, a], [, b]) => b - a)
  return named.length === 0 ? 'computed' : named.map(([tier]) => tier).join(' + ')
}
