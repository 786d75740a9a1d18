import { writeFileSync } from 'node:fs'
import { chunkRates } from '../analyze-chunks.ts'
import { defineCommand, type OptionFields, type OptionValues } from '../command.ts'
import { InputError, Interrupted, reasonOf, UsageError } from '../failure.ts'
import type { BenchIo } from '../io.ts'
import { Progress } from '../progress.ts'
import { closedLoop, type Drive, type Hit, openLoop, SessionQueue, type Shot } from '../replay/drive.ts'
import { type Answer, ask } from '../replay/endpoint.ts'
import { endpointFields, findLoadFields, openEndpoint, paceFields } from '../replay/fields.ts'
import { findLoad, type LoadStep } from '../replay/find-load.ts'
import { loadReport, stepLine } from '../replay/load-report.ts'
import { hitLines, measure } from '../replay/measure.ts'
import { Pace } from '../replay/pace.ts'
import { type ReplayRun, replayReport } from '../replay/report.ts'
import { shotsOf } from '../replay/shots.ts'
import { promptText } from '../replay/text.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { inputFields, loadTree, mustNameBlocks, noteAssumed } from '../trace/load.ts'
import { selectedTree, selectionFields, selectionOf } from '../trace/select.ts'
import { pathOf, type TraceTree } from '../trace/trace.ts'

const replayFields = {
  ...inputFields,
  ...selectionFields,
  ...endpointFields,
  mode: {
    kind: 'text',
    placeholder: 'KIND',
    fallback: 'open',
    choices: ['open', 'closed'],
    about: 'open: at the times of the trace. closed: clients that wait for their answers.',
  },
  speedup: {
    kind: 'number',
    placeholder: 'X',
    unit: '',
    fallback: 1,
    min: 1e-6,
    max: 1e6,
    about: 'Open: divide times by X.',
  },
  inFlightMax: {
    kind: 'number',
    placeholder: 'N',
    unit: 'requests',
    fallback: 512,
    min: 1,
    max: 65_536,
    whole: true,
    about: 'Open: at most so many requests at once; later ones wait and are late.',
  },
  clients: {
    kind: 'number',
    placeholder: 'N',
    unit: 'clients',
    fallback: 8,
    min: 1,
    max: 65_536,
    whole: true,
    about: 'Closed: clients at the same time.',
  },
  ramp: {
    kind: 'number',
    placeholder: 'SECONDS',
    unit: 'seconds',
    fallback: 0,
    min: 0,
    max: 86_400,
    about:
      'Closed: clients start spread over this time. Open: the rate rises from nothing to full in this time.',
  },
  think: {
    kind: 'number',
    placeholder: 'X',
    unit: '',
    fallback: 1,
    min: 0,
    max: 1e3,
    about:
      "Closed: factor for the trace's think times (or, where it has none, for the gaps within a session); 0 is none.",
  },
  scale: {
    kind: 'number',
    placeholder: 'X',
    unit: '',
    fallback: 1,
    min: 1e-4,
    max: 100,
    about: 'Factor for prompt lengths, to fit a small model.',
  },
  outputTokensMax: {
    kind: 'number',
    placeholder: 'N',
    unit: 'tokens',
    fallback: 16,
    min: 1,
    max: 1e6,
    whole: true,
    about: 'Cut answers to this.',
  },
  warmUp: {
    kind: 'number',
    placeholder: 'N',
    unit: 'requests',
    fallback: 0,
    min: 0,
    max: 1e9,
    whole: true,
    about: 'Send the first N requests without counting them.',
  },
  salt: {
    kind: 'number',
    placeholder: 'N',
    unit: '',
    fallback: null,
    min: 0,
    max: 2 ** 31,
    whole: true,
    about: 'Makes the prompts of this run; without it a new one, so that nothing is cached from before.',
  },
  ttftGoal: {
    kind: 'number',
    placeholder: 'MS',
    unit: 'milliseconds',
    fallback: null,
    min: 0.001,
    max: 1e7,
    about: 'Also count the requests whose first token came within this time from when it was due.',
  },
  requests: {
    kind: 'text',
    placeholder: 'FILE',
    fallback: null,
    about: 'Also write one CSV line per request: times in seconds after the start, tokens, failures.',
  },
  ...findLoadFields,
  ...paceFields,
  ...outputFields,
} as const satisfies OptionFields

export const command = defineCommand({
  name: 'replay',
  summary:
    'send a trace to an OpenAI endpoint: times to first token, realised hits, the highest load within a goal',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: replayFields,
  examples: [
    {
      line: 'replay trace.jsonl.gz --limit 200 --scale 0.05 --speedup 4',
      about: 'A short look at a running "terrace up".',
    },
    {
      line: 'replay trace.jsonl.gz --mode closed --clients 32 --ramp 60 --think 0',
      about: 'As fast as 32 clients go.',
    },
    {
      line: 'replay trace.jsonl.gz --find-load --ttft-goal 2000 --from 0.5',
      about: 'The highest rate at which 90 % of the first tokens come within two seconds.',
    },
  ],
  run: async (operands, options, io) => {
    if (options.findLoad && options.ttftGoal === null) throw new UsageError('--find-load: needs --ttft-goal')
    if (options.findLoad && options.to < options.from) throw new UsageError('--to: is below --from')
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    mustNameBlocks(loaded)
    const tree = selectedTree(loaded.tree, selectionOf(loaded.tree, options))
    if (tree.requestCount === 0) throw new InputError('no request of the trace is selected')
    const endpoint = await openEndpoint(options, io)
    const salt = options.salt ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
    const send = async (shot: Shot): Promise<Answer> => {
      const prompt = promptText(
        pathOf(tree, shot.request),
        shot.tokens,
        tree.blockTokens,
        options.scale,
        salt,
      )
      const outputTokens = Math.min(options.outputTokensMax, tree.outputTokens[shot.request] ?? 1)
      return await ask(endpoint, prompt, outputTokens, io.stop)
    }
    const pace = new Pace(options.requestsPerSecond, options.tokensPerSecond)
    const drive = { nowMs: io.nowMs, stop: io.stop, pace, send }
    const run: Omit<ReplayRun, 'partial'> = {
      trace: tree.name,
      model: endpoint.model,
      api: endpoint.api,
      mode: options.mode === 'open' ? 'open' : 'closed',
      clients: options.clients,
      speedup: options.speedup,
      think: options.think,
      scale: options.scale,
      salt,
      warmUp: options.warmUp,
      requestsPerSecondMax: options.requestsPerSecond,
      tokensPerSecondMax: options.tokensPerSecond,
      ttftGoalSeconds: options.ttftGoal === null ? null : options.ttftGoal / 1_000,
      outputTokensMax: options.outputTokensMax,
      possibleRate: chunkRates(tree, 1)[0]?.tokenHitRate ?? 0,
      assumed: loaded.assumed,
    }
    return options.findLoad
      ? await searchLoad(tree, run, options, drive, io)
      : await replayOnce(tree, run, options, drive, io)
  },
})

type Options = OptionValues<typeof replayFields>
type HalfDrive = Omit<Drive, 'onHit'>
type HalfRun = Omit<ReplayRun, 'partial'>

/** The whole trace, once. */
async function replayOnce(
  tree: TraceTree,
  run: HalfRun,
  options: Options,
  half: HalfDrive,
  io: BenchIo,
): Promise<number> {
  const isOpen = run.mode === 'open'
  const rampMs = options.ramp * 1_000
  const { scale } = options
  const shots = shotsOf(
    tree,
    isOpen ? { speedup: options.speedup, rampMs, scale } : { speedup: 1, rampMs: 0, scale },
  )
  const hits: Hit[] = []
  const progress = new Progress(`replaying ${shots.length} requests`, io)
  let done = 0
  const onHit = (hit: Hit): void => {
    done += 1
    if (done > options.warmUp) hits.push(hit)
    progress.at(done / shots.length)
  }
  const drive = { ...half, onHit }
  if (isOpen) await openLoop(shots, options.inFlightMax, drive)
  else await closedLoop(new SessionQueue(shots), options.clients, rampMs, options.think, drive)
  progress.end()
  const finished = hits.filter(isFinished)
  if (finished.length === 0) throw new Interrupted()
  if (options.requests !== null) saveHits(options.requests, finished)
  const report = replayReport({ ...run, partial: io.stop.aborted }, measure(finished))
  const code = emitReport(report, options, io)
  return code !== 0 || finished.some(({ answer }) => answer.as === 'answered') ? code : 1
}

function isFinished({ answer }: Hit): boolean {
  return answer.as === 'answered' || answer.why !== 'interrupted'
}

/** The trace at rising loads. */
async function searchLoad(
  tree: TraceTree,
  run: HalfRun,
  options: Options,
  half: HalfDrive,
  io: BenchIo,
): Promise<number> {
  const shots = shotsOf(tree, { speedup: 1, rampMs: 0, scale: options.scale })
  const goal = { ttftSeconds: run.ttftGoalSeconds ?? 0, share: options.goalShare / 100 }
  const isWhole = run.mode === 'closed'
  const [first, most] = isWhole
    ? [Math.ceil(options.from), Math.floor(options.to)]
    : [options.from, options.to]
  const setting = {
    mode: run.mode,
    search: { isWhole, first, most, growth: options.growth, refine: options.refine },
    goal,
    stepMs: options.step * 1_000,
    inFlightMax: options.inFlightMax,
    think: options.think,
  }
  const whole = { ...run, partial: false }
  const hits: Hit[] = []
  const onStep = (step: LoadStep): void => {
    io.note(stepLine(whole, goal, step))
    hits.push(...step.hits)
  }
  const found = await findLoad(shots, setting, half, onStep)
  if (found.steps.length === 0) {
    if (io.stop.aborted) throw new Interrupted()
    throw new InputError(
      'the trace ended before the first load was held: give a longer one, or a shorter --step',
    )
  }
  if (options.requests !== null) saveHits(options.requests, hits)
  const code = emitReport(loadReport({ ...run, partial: io.stop.aborted }, goal, found), options, io)
  return code !== 0 || found.best !== null ? code : 1
}

function saveHits(path: string, hits: readonly Hit[]): void {
  try {
    writeFileSync(path, hitLines(hits))
  } catch (error) {
    throw new InputError(`cannot write "${path}": ${reasonOf(error)}`)
  }
}
