import type { World } from '../../tiers/block/clock.ts'
import {
  type OptionTable,
  optionsInEnvironment,
  optionsInWords,
  settleOptions,
} from '../../tiers/block/option.ts'
import { optionHelp } from '../../tiers/block/option-help.ts'
import { examine } from './examine.ts'

const doctorFields = {
  data: {
    unit: 'path',
    fallback: null,
    fallbackAbout: '.terrace/data in the checkout',
    about: 'Data directory to look at.',
  },
  s3: {
    unit: 'text',
    fallback: null,
    placeholder: 's3://BUCKET/PREFIX?endpoint=URL',
    about: 'S3 tier to look at.',
  },
  json: { unit: 'switch', fallback: false, about: 'Print JSON.' },
} as const satisfies OptionTable

const page = {
  usage: 'terrace doctor [options]',
  about:
    'Looks at this machine and says what is missing, what it costs, and how to get it. Changes nothing. ' +
    'Exit code 1 when something needed is missing.',
  examples: [{ line: 'terrace doctor', about: 'Everything at a glance.' }],
}

const marks = { good: 'ok', absent: '--', needed: '!!' } as const

/** `terrace doctor`. */
export async function doctorMain(words: readonly string[], world: World): Promise<number> {
  const given = optionsInWords(doctorFields, words)
  if (given.help) {
    process.stdout.write(optionHelp(doctorFields, page))
    return 0
  }
  const options = settleOptions(doctorFields, [given.values, optionsInEnvironment(doctorFields, process.env)])
  const findings = await examine(options, world)
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ findings }, null, 2)}\n`)
  } else {
    const width = Math.max(...findings.map(({ what }) => what.length))
    for (const { what, state, found, costs, remedy } of findings) {
      process.stdout.write(`${marks[state]}  ${what.padEnd(width)}  ${found}\n`)
      if (state === 'good') continue
      if (costs !== '') process.stdout.write(`${' '.repeat(width + 6)}costs: ${costs}\n`)
      if (remedy !== '') process.stdout.write(`${' '.repeat(width + 6)}get it: ${remedy}\n`)
    }
    const needed = findings.filter(({ state }) => state === 'needed').length
    const absent = findings.filter(({ state }) => state === 'absent').length
    process.stdout.write(`\n${needed} needed and missing, ${absent} optional and absent\n`)
  }
  return findings.some(({ state }) => state === 'needed') ? 1 : 0
}
