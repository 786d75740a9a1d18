import { defineCommand } from '../command.ts'
import { type Asked, askAll, type Cell, cellsOf, makePrompts, type Step } from '../e2e/measure.ts'
import { findSystem, hasBucket, loseDisk, restartSystem } from '../e2e/system.ts'
import { Interrupted, UsageError } from '../failure.ts'
import { Progress } from '../progress.ts'
import type { Endpoint } from '../replay/endpoint.ts'
import { firstModel } from '../replay/fields.ts'
import { traceContext } from '../report/context.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import type { Curves, Report, Section, Table } from '../report/report.ts'

export const command = defineCommand({
  name: 'e2e',
  summary:
    'a running "terrace up": time to first token cold, warm from the engine, another engine, after a restart, after a lost disk',
  operand: null,
  options: {
    data: {
      kind: 'text',
      placeholder: 'DIR',
      fallback: '.terrace/data',
      about: 'Data directory of the running system.',
    },
    tokens: {
      kind: 'list',
      placeholder: 'N,N',
      fallback: ['256', '512', '1024', '2048'],
      about: 'Prompt lengths, about.',
    },
    repeats: {
      kind: 'number',
      placeholder: 'N',
      unit: 'prompts',
      fallback: 1,
      min: 1,
      max: 100,
      whole: true,
      about: 'Prompts per length; the median is shown.',
    },
    skipRestart: {
      kind: 'flag',
      about:
        'Leave the restarts out: the one that shows NVMe, and, where there is a bucket, the one after a lost disk.',
    },
    timeout: {
      kind: 'number',
      placeholder: 'SECONDS',
      unit: 'seconds',
      fallback: 300,
      min: 1,
      max: 86_400,
      about: 'A request that takes longer has failed.',
    },
    ...outputFields,
  },
  examples: [
    { line: 'e2e', about: 'While "npm start" runs in another terminal.' },
    { line: 'e2e --tokens 1000,4000 --repeats 3 --html e2e.html', about: 'Medians of three, as a page.' },
  ],
  run: async (_operands, options, io) => {
    const tokens = options.tokens.map(lengthOf)
    const system = findSystem(options.data)
    const endpoint: Endpoint = {
      url: `${system.router}/v1`,
      model: await firstModel(`${system.router}/v1`, null, io.stop),
      api: 'chat',
      key: null,
      timeoutMs: options.timeout * 1_000,
      headers: {},
      nowMs: io.nowMs,
    }
    const salt = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
    const prompts = makePrompts(tokens, options.repeats, salt)
    const [first = '', second] = system.workers.map(({ name }) => name)
    const plan: [readonly Step[], string][] = [[['cold', 'engine'], first]]
    if (second !== undefined) plan.push([['other engine'], second])
    if (!options.skipRestart) plan.push([['restart'], second ?? first])
    if (!options.skipRestart && (await hasBucket(system))) plan.push([['lost disk'], first])
    const progress = new Progress('asking', io)
    const asked: Asked[] = []
    const all = prompts.length * plan.flatMap(([inSteps]) => inSteps).length
    let count = 0
    const onAsked = (): void => {
      count += 1
      progress.at(count / all)
    }
    for (const [inSteps, worker] of plan) {
      if (io.stop.aborted) break
      if (inSteps.includes('lost disk')) await loseDisk(findSystem(options.data), io.stop)
      if (inSteps.includes('restart') || inSteps.includes('lost disk')) {
        await restartSystem(options.data, findSystem(options.data), io.stop)
      }
      asked.push(...(await askAll(endpoint, worker, prompts, inSteps, io.stop, onAsked)))
    }
    progress.end()
    const done = asked.filter(({ answer }) => answer.as === 'answered' || answer.why !== 'interrupted')
    if (done.length === 0) throw new Interrupted()
    const cells = cellsOf(done, tokens)
    const code = emitReport(e2eReport(cells, endpoint.model, salt, done.length < all), options, io)
    const good = cells.every(({ failed, sameAnswer }) => failed === null && sameAnswer !== false)
    return code !== 0 || good ? code : 1
  },
})

function lengthOf(text: string): number {
  const tokens = Number(text)
  if (!Number.isInteger(tokens) || tokens < 64 || tokens > 1e7) {
    throw new UsageError(`--tokens: "${text}" is not a whole number from 64 to 10000000`)
  }
  return tokens
}

function e2eReport(cells: readonly Cell[], model: string, salt: number, partial: boolean): Report {
  const sections: Section[] = [cellTable(cells)]
  if (cells.some(({ ttftSeconds }) => ttftSeconds !== null)) sections.push(cellCurves(cells))
  return {
    command: 'e2e',
    title: `Time to first token by source, ${model}`,
    json: { model, rows: cells },
    sections,
    context: traceContext({
      definition: 'prompt tokens that were not computed, as the answer says, by where they came from',
      weighting: 'tokens',
      tailBlock: 'as the engine cuts',
      outputBlocks: 'as the engine caches',
      concurrency: 'one request at a time',
      capacity: 'as the running system is configured',
      order: 'as the running system does',
      seed: salt,
      assumed: [
        'prompts are made-up words, new in each run; median over the repeats of a length',
        'cold: first time; engine: again on the same engine; other engine: from the tiers of the node; ' +
          'restart: daemon and engines restarted, so from what survives; ' +
          'lost disk: local blocks dropped and restarted, so from the bucket',
      ],
    }),
    partial,
  }
}

function cellTable(cells: readonly Cell[]): Table {
  return {
    kind: 'table',
    title: 'First token',
    columns: [
      { key: 'promptTokens', title: 'prompt tokens', unit: 'tokens' },
      { key: 'step', title: 'step', unit: 'text' },
      { key: 'from', title: 'from', unit: 'text' },
      { key: 'cachedTokens', title: 'not computed', unit: 'tokens' },
      { key: 'ttftSeconds', title: 'first token', unit: 'seconds' },
      { key: 'timesCold', title: 'times faster', unit: 'number' },
      { key: 'sameAnswer', title: 'same answer', unit: 'text' },
      { key: 'failed', title: 'failed', unit: 'text' },
    ],
    rows: cells.map((cell) => ({ ...cell, timesCold: timesCold(cell, cells) })),
  }
}

function timesCold(cell: Cell, cells: readonly Cell[]): number | null {
  const cold = cells.find(({ step, promptTokens }) => step === 'cold' && promptTokens === cell.promptTokens)
  if (cold === undefined || cold === cell || !cold.ttftSeconds || !cell.ttftSeconds) return null
  return cold.ttftSeconds / cell.ttftSeconds
}

function cellCurves(cells: readonly Cell[]): Curves {
  const names = [...new Set(cells.map(({ step }) => step))]
  return {
    kind: 'curves',
    title: 'Time to first token by prompt length',
    x: { title: 'prompt tokens', unit: 'tokens' },
    y: { title: 'time to first token', unit: 'seconds' },
    lines: names.map((name) => ({
      name,
      points: cells
        .filter(({ step, ttftSeconds }) => step === name && ttftSeconds !== null)
        .map(({ promptTokens, ttftSeconds }) => [promptTokens, ttftSeconds ?? 0] as const),
    })),
  }
}
