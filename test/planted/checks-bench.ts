import { checksOf } from './check.ts'

const e2e = checksOf('test/unit/bench-e2e.test.ts', [
  [
    'e2e: every step asks the same engine',
    'bench/commands/e2e.ts',
    "plan.push([['other engine'], second])",
    "plan.push([['other engine'], first])",
  ],
  [
    'e2e: the engine is not named in the request',
    'bench/e2e/measure.ts',
    "headers: { 'x-terrace-worker': worker }",
    'headers: {}',
  ],
  [
    'e2e: where tokens came from is the name of the step',
    'bench/e2e/measure.ts',
    'from: sourceOf(answers),',
    "from: first?.step ?? 'cold',",
  ],
  [
    'e2e: another answer than the cold one counts as the same',
    'bench/e2e/measure.ts',
    "cold?.as === 'answered' && cold.text === answer.text",
    "cold?.as === 'answered'",
  ],
  [
    'e2e: a failed request is left out of its cell',
    'bench/e2e/measure.ts',
    'failed: failed ?? null,',
    'failed: null,',
  ],
  [
    'e2e: the same prompts in every run',
    'bench/e2e/measure.ts',
    'Math.max(8, count - 40), salt)',
    'Math.max(8, count - 40), 1)',
  ],
  [
    'e2e: repeats of a length share their prefix',
    'bench/e2e/measure.ts',
    'blockText(index * 1_000 + repeat,',
    'blockText(index * 1_000,',
  ],
  [
    'e2e: a state file of a dead process counts as a running system',
    'bench/e2e/system.ts',
    'process.kill(Number(fields.processId), 0)',
    'Number(fields.processId)',
  ],
  [
    'e2e: an answer that differs does not change the exit code',
    'bench/commands/e2e.ts',
    'return code !== 0 || good ? code : 1',
    'return code',
  ],
])

const report = checksOf('test/unit/bench-report.test.ts', [
  [
    'report: text goes into the page as it is',
    'bench/report/html.ts',
    'escaped(section.title)}</h2>`',
    'section.title}</h2>`',
  ],
  [
    'report: a page loads a style from elsewhere',
    'bench/report/html.ts',
    '<meta charset="utf-8">',
    '<meta charset="utf-8"><link rel="stylesheet" href="https://styles.example/a.css">',
  ],
  [
    'report: a partial page does not say so',
    'bench/report/html.ts',
    '\'<p class="partial">Partial: the run was interrupted before everything was computed.</p>\'',
    "''",
  ],
  [
    'report: commas in CSV are not quoted',
    'bench/report/csv.ts',
    'return /[",\\n\\r]/.test(text)',
    'return /[\\n\\r]{2}/.test(text)',
  ],
  [
    'report: rows of a partial report are not marked in CSV',
    'bench/report/csv.ts',
    "const mark = report.partial ? ['partial'] : []",
    'const mark: string[] = []',
  ],
  [
    'report: a partial report ends with 0',
    'bench/report/emit.ts',
    'return report.partial ? 130 : 0',
    'return 0',
  ],
  [
    'report: partial is missing from JSON',
    'bench/report/emit.ts',
    '{ partial: true, ...report.json }',
    'report.json',
  ],
  [
    'report: what numbers mean is missing from JSON',
    'bench/report/emit.ts',
    ', context: report.context }, null, 2)',
    ' }, null, 2)',
  ],
  [
    'report: colours without being wanted',
    'bench/report/emit.ts',
    "const colour = io.outIsTerminal && (io.env.NO_COLOR ?? '') === ''",
    'const colour = io.outIsTerminal',
  ],
])

const readme = checksOf('test/unit/bench-readme.test.ts', [
  ['README: a command is missing', 'bench/README.md', '| `headroom` |', '| headroom |'],
  ['README: names a command that is none', 'bench/README.md', '| `headroom` |', '| `headroom`, `foresee` |'],
])

const analyze = checksOf('test/unit/bench-analyze.test.ts', [
  [
    'analyze: the first use of a block is a hit',
    'bench/analyze.ts',
    'return before !== 0\n',
    'return before >= 0\n',
  ],
  [
    'analyze: gaps are counted from the first use',
    'bench/analyze.ts',
    'this.#lastRequest[node] = request',
    'this.#lastRequest[node] ||= request',
  ],
  [
    'analyze: hits of one tenant are counted for all',
    'bench/analyze.ts',
    'shape.hits += hits\n',
    'shape.hits += this.#hits\n',
  ],
  [
    'analyze: the partial tail counts as a whole block',
    'bench/analyze-chunks.ts',
    'return Math.min(known, full, blockCountOf(tree, request))',
    'return Math.min(known, blockCountOf(tree, request))',
  ],
  [
    'analyze: the most used tenth is taken from the least used',
    'bench/analyze.ts',
    'for (let times = usedTimes.length - 1; times > 0 && left > 0; times -= 1) {',
    'for (let times = 1; times < usedTimes.length && left > 0; times += 1) {',
  ],
  [
    'analyze: coarser chunks are counted as if blocks',
    'bench/analyze-chunks.ts',
    'Math.floor(known / chunk) * chunk * tree.blockTokens',
    'known * tree.blockTokens',
  ],
])

const synthesize = checksOf('test/unit/bench-synthesize.test.ts', [
  [
    'synthesize: chance does not come from the seed',
    'bench/synthesize/make.ts',
    'new Chance(recipe.seed * 1_009 + index)',
    'new Chance(performance.now() * 1_009 + index)',
  ],
  ['synthesize: the seed is ignored', 'bench/synthesize/make.ts', 'recipe.seed * 1_009 + index', '7 + index'],
  [
    'synthesize: lines are not sorted by time',
    'bench/synthesize/make.ts',
    '  all.sort((a, b) => a.request.atMs - b.request.atMs)\n',
    '',
  ],
  [
    'synthesize: shared texts are not shared',
    'bench/synthesize/prompt.ts',
    'const known = this.#shared.get(name) ?? []',
    'const known: number[] = []',
  ],
  [
    'synthesize: a partial tail keeps its id',
    'bench/synthesize/prompt.ts',
    '[...this.#ids, this.#source.fresh()]',
    '[...this.#ids, 1_000_000_007]',
  ],
  [
    'synthesize: kinds are no tenants',
    'bench/synthesize/make.ts',
    'draft.tenant = recipe.kinds.length > 1 ? tenant : null',
    'draft.tenant = null',
  ],
  [
    'synthesize: sessions of before the trace are not there',
    'bench/synthesize/make.ts',
    'const sessionsPerMs = recipe.rate / recipe.kinds.length /',
    'const sessionsPerMs = (4 * recipe.rate) / recipe.kinds.length /',
  ],
  [
    'synthesize: text of its own has a block that others have',
    'bench/synthesize/prompt.ts',
    'this.#ids.push(this.#source.fresh())',
    'this.#ids.push(7)',
  ],
])

const replay = checksOf('test/unit/bench-replay.test.ts', [
  [
    'replay: equal blocks get different texts',
    'bench/replay/text.ts',
    'text += blockText(node, wordCount, salt)',
    'text += blockText(node + tokens, wordCount, salt)',
  ],
  [
    'replay: the salt does not change the texts',
    'bench/replay/text.ts',
    'let state = mix(node, salt)',
    'let state = mix(node, 1)',
  ],
  [
    'replay: the limit of requests in flight is not kept',
    'bench/replay/drive.ts',
    'while (running.size >= inFlightMax && !drive.stop.aborted) await Promise.race(running)',
    '',
  ],
  [
    'replay: turns of a session overtake each other',
    'bench/replay/drive.ts',
    'this.#sessions = [...bySession.values()].reverse()',
    'this.#sessions = [...bySession.values()].map((session) => session.toReversed())',
  ],
  [
    'replay: a stop is seen only at the end',
    'bench/replay/drive.ts',
    'left > 0 && !stop.aborted; left = ',
    'left > 0; left = ',
  ],
  [
    'replay: a ramp moves nothing',
    'bench/replay/drive.ts',
    'return dueMs < rampMs / 2 ? Math.sqrt(2 * rampMs * dueMs) : dueMs + rampMs / 2',
    'return dueMs',
  ],
  [
    'replay: failures are not counted by reason',
    'bench/replay/measure.ts',
    'failedByReason[answer.why] = (failedByReason[answer.why] ?? 0) + 1',
    'failedByReason.failed = (failedByReason.failed ?? 0) + 1',
  ],
  [
    'replay: tokens by tier are not added up',
    'bench/replay/measure.ts',
    'cachedBy[name] = (cachedBy[name] ?? 0) + tokens',
    'cachedBy[name] = tokens',
  ],
  [
    'replay: an event that is cut in two is lost',
    'bench/replay/sse.ts',
    "this.#rest = parts.pop() ?? ''",
    "this.#rest = ''\n    parts.pop()",
  ],
])

const record = checksOf('test/unit/bench-record.test.ts', [
  [
    'record: a block is named by the whole prompt',
    'bench/record/book.ts',
    'prompt.slice(from, from + pieceLength)}`)',
    'prompt}`)',
  ],
  [
    'record: the session is written as it was sent',
    'bench/record/book.ts',
    "toString('hex', 0, 6)",
    "toString('hex', 0, 0) + session",
  ],
  [
    'record: lines are written in the order of their ends',
    'bench/record/book.ts',
    'if (head.outputTokens === null && !all) return',
    'if (head.outputTokens === null && !all && this.#waiting.length < 2) return',
  ],
  [
    'record: all keys are one tenant',
    'bench/record/book.ts',
    ".toString('hex')\n    const known",
    ".toString('hex', 0, 0)\n    const known",
  ],
  [
    'record: a request that cannot be read is refused',
    'bench/record/proxy.ts',
    '  const entry = noted(request, body, book, atMs)\n',
    "  const entry = noted(request, body, book, atMs)\n  if (String(body).startsWith('not')) {\n    response.writeHead(400).end()\n    return\n  }\n",
  ],
  [
    'record: headers of the answer are dropped',
    'bench/record/proxy.ts',
    'const headers = { ...answer.headers }\n',
    'const headers: IncomingMessage["headers"] = {}\n',
  ],
  [
    'record: cached tokens are not noted',
    'bench/record/proxy.ts',
    "return numberIn(tail, ['cached_tokens', 'cache_read_input_tokens'])",
    'return tail.length < 0 ? 0 : null',
  ],
  [
    'record: events of every tier are recorded',
    'bench/record/events.ts',
    "if (event.kind !== 'stored' || event.holder.tier !== 'host') return",
    "if (event.kind !== 'stored') return",
  ],
])

const simulate = checksOf('test/unit/simulate-checks.test.ts', [
  [
    'simulate: results come in the order in which workers end',
    'bench/simulate/pool.ts',
    'const ended = results.filter((result) => result !== undefined)',
    'const ended = results.filter((result) => result !== undefined).reverse()',
  ],
  [
    'simulate: chance goes on from job to job of one worker',
    'bench/simulate/pool.ts',
    'const result = runJob(trace, next, job, progress)',
    'jobsRun += 1\n    const result = runJob(trace, next, { ...job, seed: job.seed + jobsRun }, progress)',
  ],
  [
    'simulate: a stopped run gives results all the same',
    'bench/simulate/pool.ts',
    'if (stop.aborted) break\n',
    '',
  ],
])

const plan = checksOf('test/e2e/bench-plan.test.ts', [
  [
    'plan: the drive of the daemon is told of no use',
    'tiers/disk.ts',
    'this.#table.visit(keys, readyCount, this.#options.world.nowMs())',
    'void [keys, readyCount]',
  ],
])

export const benchChecks = [
  ...plan,
  ...[...e2e, ...report, ...readme, ...analyze],
  ...[...synthesize, ...replay, ...record],
  ...simulate.map((check) =>
    check.name.includes('chance goes on')
      ? {
          ...check,
          changes: [
            ...check.changes,
            {
              file: 'bench/simulate/pool.ts',
              from: 'const stopWord = 0\n',
              to: 'const stopWord = 0\nlet jobsRun = 0\n',
            },
          ],
        }
      : check,
  ),
]
