import type { World } from '../../tiers/block/clock.ts'
import {
  type OptionTable,
  optionsInEnvironment,
  optionsInWords,
  settleOptions,
} from '../../tiers/block/option.ts'
import { optionHelp } from '../../tiers/block/option-help.ts'
import { type Asked, ask } from './ask.ts'
import { questions, stationLog } from './document.ts'
import { dataDirectoryOf } from './fields.ts'
import { getJson } from './http.ts'
import { findUpState, readUpState, type UpState } from './state.ts'
import { secondsText, textTable } from './table.ts'

const demoFields = {
  data: {
    unit: 'path',
    fallback: null,
    fallbackAbout: '.terrace/data in the checkout',
    about: 'Data directory of the running system.',
  },
  days: {
    unit: 'count',
    fallback: 50,
    min: 8,
    max: 150,
    about: 'Length of the document: about 40 tokens each.',
  },
  seed: {
    unit: 'count',
    fallback: null,
    min: 0,
    max: 2 ** 32 - 1,
    fallbackAbout: 'another each time',
    about: 'Which document; the same seed finds the blocks of an earlier run.',
  },
  restart: { unit: 'switch', fallback: true, about: 'Also restart daemon and engines and ask once more.' },
  json: { unit: 'switch', fallback: false, about: 'Print JSON.' },
} as const satisfies OptionTable

const page = {
  usage: 'terrace demo [options]',
  about:
    'Asks each engine about one long document, restarts them, asks again, and shows where the tokens came from ' +
    'and how long the first one took.',
  examples: [{ line: 'terrace demo --days 60', about: 'A longer document: a larger gain.' }],
}

/** Longest wait for a restart, in milliseconds. */
const restartMsMax = 120_000

type Row = { readonly step: string; readonly worker: string; readonly asked: Asked }

/** `terrace demo`. */
export async function demoMain(words: readonly string[], world: World): Promise<number> {
  const given = optionsInWords(demoFields, words)
  if (given.help) {
    process.stdout.write(optionHelp(demoFields, page))
    return 0
  }
  const options = settleOptions(demoFields, [given.values, optionsInEnvironment(demoFields, process.env)])
  const state = findUpState('demo', dataDirectoryOf(options.data))
  if (state === null) return 1
  const document = stationLog(options.days, options.seed ?? Math.floor(world.random() * 2 ** 32))
  const rows: Row[] = []
  const step = async (name: string, worker: string, question: string): Promise<void> => {
    const row = { step: name, worker, asked: await ask(state.router, document, question, worker, world) }
    rows.push(row)
    if (!options.json) process.stdout.write(`${told(row)}\n`)
  }
  const [first = '', second = ''] = questions
  const names = state.workers.map(({ name }) => name)
  for (const [i, name] of names.entries()) {
    await step(i === 0 ? 'first time' : 'another engine', name, first)
    await step('another question', name, second)
  }
  if (options.restart && rows.every(({ asked }) => asked.as === 'answered')) {
    if (!options.json) process.stdout.write('restarting daemon and engines ...\n')
    if (!(await restart(state, world))) {
      process.stderr.write('terrace demo: the system did not come back in time; look at its terminal\n')
      return 1
    }
    await step('after a restart', names[0] ?? '', first)
  }
  process.stdout.write(
    options.json ? `${JSON.stringify({ rows: rows.map(plain) }, null, 2)}\n` : `\n${summary(rows)}\n`,
  )
  return rows.every(({ asked }) => asked.as === 'answered') ? 0 : 1
}

function told({ step, worker, asked }: Row): string {
  if (asked.as === 'failed') return `${step} (${worker}): failed: ${asked.why}`
  return `${step} (${worker}), first token after ${secondsText(asked.firstTokenMs)}: ${asked.text}`
}

function summary(rows: readonly Row[]): string {
  const head = ['what', 'engine', 'prompt tokens', 'not computed', 'from', 'first token']
  return textTable(
    head,
    rows.map(({ step, worker, asked }) => {
      if (asked.as === 'failed') return [step, worker, '-', '-', asked.why, '-']
      const from = [...asked.from].filter(([, count]) => count > 0).map(([tier, count]) => `${tier} ${count}`)
      return [
        step,
        worker,
        String(asked.promptTokens),
        String(asked.cachedTokens),
        from.length === 0 ? 'nowhere (computed)' : from.join(', '),
        secondsText(asked.firstTokenMs),
      ]
    }),
  )
}

function plain({ step, worker, asked }: Row): unknown {
  return asked.as === 'failed'
    ? { step, worker, ...asked }
    : { step, worker, ...asked, from: Object.fromEntries(asked.from) }
}

/** Has `up` restart daemon and engines, and waits until all of them serve again. */
async function restart(state: UpState, world: World): Promise<boolean> {
  process.kill(state.processId, 'SIGHUP')
  const deadlineMs = world.nowMs() + restartMsMax
  while (world.nowMs() < deadlineMs) {
    await world.sleep(250)
    if ((readUpState(state.data)?.restartCount ?? 0) === state.restartCount) continue
    const health = await getJson(`${state.router}/health`, world)
    if (health.as === 'json' && allServe(health.json)) return true
  }
  return false
}

function allServe(health: unknown): boolean {
  const { workers } = health as { readonly workers?: { readonly serving: number; readonly all: number } }
  return workers !== undefined && workers.serving === workers.all
}
