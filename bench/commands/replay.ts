import { writeFileSync } from 'node:fs'
import { chunkRates } from '../analyze-chunks.ts'
import { defineCommand } from '../command.ts'
import { InputError, Interrupted, reasonOf } from '../failure.ts'
import { Progress } from '../progress.ts'
import { closedLoop, type Hit, openLoop, ramped, type Shot } from '../replay/drive.ts'
import { ask } from '../replay/endpoint.ts'
import { endpointFields, openEndpoint } from '../replay/fields.ts'
import { hitLines, measure } from '../replay/measure.ts'
import { replayReport } from '../replay/report.ts'
import { promptText } from '../replay/text.ts'
import { emitReport, outputFields } from '../report/emit.ts'
import { inputFields, loadTree, mustNameBlocks, noteAssumed } from '../trace/load.ts'
import { selectedTree, selectionFields, selectionOf } from '../trace/select.ts'
import { pathOf, type TraceTree } from '../trace/trace.ts'

export const command = defineCommand({
  name: 'replay',
  summary: 'send a trace to an OpenAI endpoint and measure times to first token and realised hits',
  operand: { name: 'TRACE', about: 'a trace file, or - for standard input', min: 1, max: 1 },
  options: {
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
    ...outputFields,
  },
  examples: [
    {
      line: 'replay trace.jsonl.gz --limit 200 --scale 0.05 --speedup 4',
      about: 'A short look at a running "terrace up".',
    },
    {
      line: 'replay trace.jsonl.gz --mode closed --clients 32 --ramp 60 --think 0',
      about: 'As fast as 32 clients go.',
    },
  ],
  run: async (operands, options, io) => {
    const loaded = await loadTree(operands[0] ?? '-', options, io)
    noteAssumed(loaded, io)
    mustNameBlocks(loaded)
    const tree = selectedTree(loaded.tree, selectionOf(loaded.tree, options))
    if (tree.requestCount === 0) throw new InputError('no request of the trace is selected')
    const endpoint = await openEndpoint(options, io)
    const salt = options.salt ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0
    const shots = shotsOf(
      tree,
      options.mode === 'open' ? options.speedup : 1,
      options.mode === 'open' ? options.ramp * 1_000 : 0,
    )
    const hits: Hit[] = []
    const progress = new Progress(`replaying ${shots.length} requests`, io)
    let done = 0
    const drive = {
      nowMs: io.nowMs,
      stop: io.stop,
      send: async (shot: Shot) => {
        const tokens = tree.inputTokens[shot.request] ?? 0
        const prompt = promptText(pathOf(tree, shot.request), tokens, tree.blockTokens, options.scale, salt)
        const outputTokens = Math.min(options.outputTokensMax, tree.outputTokens[shot.request] ?? 1)
        return await ask(endpoint, prompt, outputTokens, io.stop)
      },
      onHit: (hit: Hit) => {
        done += 1
        if (done > options.warmUp) hits.push(hit)
        progress.at(done / shots.length)
      },
    }
    if (options.mode === 'open') await openLoop(shots, options.inFlightMax, drive)
    else await closedLoop(shots, options.clients, options.ramp * 1_000, options.think, drive)
    progress.end()
    const finished = hits.filter(({ answer }) => answer.as === 'answered' || answer.why !== 'interrupted')
    if (finished.length === 0) throw new Interrupted()
    const { mode } = options
    const run = {
      trace: tree.name,
      model: endpoint.model,
      api: endpoint.api,
      mode: mode === 'open' ? ('open' as const) : ('closed' as const),
      clients: options.clients,
      speedup: options.speedup,
      think: options.think,
      scale: options.scale,
      salt,
      warmUp: options.warmUp,
      ttftGoalSeconds: options.ttftGoal === null ? null : options.ttftGoal / 1_000,
      outputTokensMax: options.outputTokensMax,
      possibleRate: chunkRates(tree, 1)[0]?.tokenHitRate ?? 0,
      assumed: loaded.assumed,
      partial: io.stop.aborted,
    }
    if (options.requests !== null) saveHits(options.requests, finished)
    const code = emitReport(replayReport(run, measure(finished)), options, io)
    return code !== 0 || finished.some(({ answer }) => answer.as === 'answered') ? code : 1
  },
})

function shotsOf(tree: TraceTree, speedup: number, rampMs: number): Shot[] {
  const shots: Shot[] = []
  const lastOfSession = new Map<number, number>()
  for (let request = 0; request < tree.requestCount; request += 1) {
    const session = tree.session?.[request] ?? -1
    const atMs = tree.arrivalMs[request] ?? 0
    const toldMs = tree.delayMs?.[request] ?? -1
    const beforeMs = lastOfSession.get(session) ?? atMs
    shots.push({ dueMs: atMs / speedup, session, delayMs: toldMs < 0 ? atMs - beforeMs : toldMs, request })
    lastOfSession.set(session, atMs)
  }
  const startMs = shots[0]?.dueMs ?? 0
  return shots
    .map((shot) => ({ ...shot, dueMs: ramped(shot.dueMs - startMs, rampMs) }))
    .sort((a, b) => a.dueMs - b.dueMs)
}

function saveHits(path: string, hits: readonly Hit[]): void {
  try {
    writeFileSync(path, hitLines(hits))
  } catch (error) {
    throw new InputError(`cannot write "${path}": ${reasonOf(error)}`)
  }
}
