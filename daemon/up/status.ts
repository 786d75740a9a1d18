import type { World } from '../../tiers/block/clock.ts'
import {
  type OptionTable,
  optionsInEnvironment,
  optionsInWords,
  settleOptions,
} from '../../tiers/block/option.ts'
import { optionHelp } from '../../tiers/block/option-help.ts'
import { dataDirectoryOf } from './fields.ts'
import { getJson } from './http.ts'
import { findUpState, type UpState } from './state.ts'
import { statusView } from './view.ts'

const statusFields = {
  data: {
    unit: 'path',
    fallback: null,
    fallbackAbout: '.terrace/data in the checkout',
    about: 'Data directory of the running system.',
  },
  once: { unit: 'switch', fallback: false, about: 'Print once and end; the fallback without a terminal.' },
  everyMs: { unit: 'ms', fallback: 1_000, min: 200, max: 3_600_000, about: 'Time between two views.' },
  json: { unit: 'switch', fallback: false, about: 'Print JSON, once.' },
} as const satisfies OptionTable

const page = {
  usage: 'terrace status [options]',
  about:
    'A live view of the running system: engines, tiers with bytes and blocks, hits by tier, requests. ctrl-C ends it.',
  examples: [
    { line: 'terrace status', about: 'Live, in a terminal.' },
    { line: 'terrace status --json', about: 'For scripts.' },
  ],
}

/** `terrace status`. */
export async function statusMain(words: readonly string[], world: World): Promise<number> {
  const given = optionsInWords(statusFields, words)
  if (given.help) {
    process.stdout.write(optionHelp(statusFields, page))
    return 0
  }
  const options = settleOptions(statusFields, [given.values, optionsInEnvironment(statusFields, process.env)])
  const state = findUpState('status', dataDirectoryOf(options.data))
  if (state === null) return 1
  if (options.json) {
    process.stdout.write(`${JSON.stringify(await gather(state, world), null, 2)}\n`)
    return 0
  }
  const live = process.stdout.isTTY && !options.once
  for (;;) {
    const view = statusView(state, await gather(state, world))
    process.stdout.write(live ? `\u001b[H\u001b[2J${view}\nctrl-C ends this view\n` : `${view}\n`)
    if (!live) return 0
    await world.sleep(options.everyMs)
  }
}

/** What the parts say of themselves; null for one that does not answer. */
export type Gathered = {
  readonly daemon: unknown
  readonly router: unknown
  readonly engines: readonly { readonly name: string; readonly status: unknown }[]
}

async function gather(state: UpState, world: World): Promise<Gathered> {
  const jsonOr = async (url: string): Promise<unknown> => {
    const answer = await getJson(url, world)
    return answer.as === 'json' ? answer.json : null
  }
  const [daemon, router, ...engines] = await Promise.all([
    jsonOr(`${state.admin}/status`),
    jsonOr(`${state.router}/health`),
    ...state.workers.map(({ url }) => jsonOr(`${url}/terrace/status`)),
  ])
  return {
    daemon,
    router,
    engines: state.workers.map(({ name }, i) => ({ name, status: engines[i] ?? null })),
  }
}
