import t from 'tap'
import { KvFailure } from '../../tiers/block/failures.ts'
import { editDistance, nearestWord } from '../../tiers/block/nearest.ts'
import {
  flagOf,
  type OptionTable,
  optionsInEnvironment,
  optionsInFile,
  optionsInWords,
  settleOptions,
  strayVariables,
  variableOf,
} from '../../tiers/block/option.ts'
import { optionHelp, optionReference } from '../../tiers/block/option-help.ts'

const table = {
  hostBytes: { unit: 'bytes', fallback: 2 ** 26, min: 2 ** 20, max: 2 ** 40, about: 'Memory.' },
  stopMs: { unit: 'ms', fallback: 2_500, min: 1, max: 60_000, about: 'Time to stop.' },
  share: { unit: 'ratio', fallback: 0.5, min: 0, max: 1, about: 'Share.' },
  port: { unit: 'count', fallback: 0, min: 0, max: 65_535, about: 'Port.' },
  data: { unit: 'path', fallback: null, about: 'Directory.' },
  policy: { unit: 'text', fallback: 'lru', choices: ['lru', 'fifo'], about: 'Policy.' },
  s3: { unit: 'url', fallback: null, schemes: ['s3'], about: 'Bucket.' },
  json: { unit: 'switch', fallback: false, about: 'JSON lines.' },
  worker: { unit: 'texts', fallback: [], countMax: 2, about: 'Worker.' },
} as const satisfies OptionTable

function whyOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof KvFailure && error.code === 'KVT_CONFIG_BAD') return error.message
    throw error
  }
  return 'nothing was refused'
}
const word = (...words: string[]) => settleOptions(table, [optionsInWords(table, words).values])
const file = (json: unknown) => optionsInFile(table, 'daemon', 'terrace.json', JSON.stringify(json))

void t.test('names of flags and variables', async (t) => {
  t.equal(flagOf('hostBytes'), 'host-bytes')
  t.equal(flagOf('s3'), 's3')
  t.equal(variableOf('nvmeBytes'), 'TERRACE_NVME_BYTES')
})

void t.test('units on the command line', async (t) => {
  const sizes = [
    ['2GiB', 2 * 2 ** 30],
    ['512M', 512 * 2 ** 20],
    ['64m', 2 ** 26],
    ['1.5MiB', 1.5 * 2 ** 20],
    ['2MB', 2e6],
    ['1_048_576', 2 ** 20],
    ['2000 KiB', 2_048_000],
  ] as const
  for (const [text, bytes] of sizes) t.equal(word('--host-bytes', text).hostBytes, bytes, text)
  t.equal(word('--stop-ms=2s').stopMs, 2_000)
  t.equal(word('--share', '25%').share, 0.25)
  t.equal(word('--port=80').port, 80)
  t.equal(word('--s3', 's3://bucket/prefix').s3, 's3://bucket/prefix')
  t.equal(word('--json').json, true)
  t.equal(word('--json', '--no-json').json, false)
  t.equal(word('--json=false').json, false)
  t.strictSame(word('--worker', 'a=1', '--worker', 'b=2').worker, ['a=1', 'b=2'])
})

void t.test('every refusal on the command line names the option and what to do', async (t) => {
  const refusals: [string[], RegExp][] = [
    [['--host-byte', '1'], /unknown option "--host-byte": did you mean --host-bytes\?/],
    [['--zzzzzzzzzzz'], /unknown option "--zzzzzzzzzzz": see --help/],
    [['-x'], /unknown option "-x"/],
    [['--host-bytes'], /--host-bytes: needs a value/],
    [['--host-bytes', '--port'], /--host-bytes: needs a value/],
    [['--host-bytes', '2apples'], /--host-bytes: "2apples" is not a size in bytes/],
    [['--host-bytes', '-5'], /--host-bytes: "-5" is not a size/],
    [['--host-bytes', '1k'], /--host-bytes: "1k" is out of range: 1MiB to 1TiB/],
    [['--host-bytes', '99999999999TiB'], /is not a size in bytes/],
    [['--stop-ms', '2GiB'], /--stop-ms: "2GiB" is not a time/],
    [['--share', '150%'], /--share: "150%" is out of range: 0 to 1/],
    [['--port', '1.5'], /--port: "1.5" is not a whole number/],
    [['--policy', 'lfu'], /--policy: "lfu" is unknown: use one of lru, fifo/],
    [['--data='], /--data: must not be empty/],
    [['--data=a\0b'], /--data: must not hold a zero byte/],
    [['--s3', 'bucket'], /--s3: is not a URL: use s3:\/\//],
    [['--s3', 'http://bucket'], /--s3: has a scheme that is not known here/],
    [['--json=maybe'], /--json: takes true or false/],
    [['--no-json=1'], /--no-json: takes no value/],
    [['--no-port'], /unknown option "--no-port"/],
    [['--worker=a', '--worker=b', '--worker=c'], /--worker: given more than 2 times/],
    [['stray'], /"stray" belongs to no option/],
  ]
  for (const [words, expected] of refusals)
    t.match(
      whyOf(() => word(...words)),
      expected,
      words.join(' '),
    )
})

void t.test('a secret in a URL is refused and not repeated', async (t) => {
  const why = whyOf(() => word('--s3', 's3://AKIA:hunter2@bucket'))
  t.match(why, /--s3: must not carry a user or a password/)
  t.notMatch(why, /hunter2|AKIA/)
})

void t.test('the config file', async (t) => {
  const given = settleOptions(table, [
    file({ daemon: { hostBytes: '1GiB', port: 9, json: true, worker: ['a'] }, router: { anything: 1 } }),
  ])
  t.match(given, { hostBytes: 2 ** 30, port: 9, json: true, worker: ['a'], policy: 'lru', data: null })
  t.equal(file({ router: {} }).size, 0, 'no section of ours')
  const refusals: [unknown, RegExp][] = [
    [{ daemon: { hostByte: 1 } }, /unknown field "daemon.hostByte": did you mean "daemon.hostBytes"\?/],
    [{ deamon: {} }, /unknown field "deamon": did you mean "daemon"\?/],
    [{ daemon: [] }, /"daemon" must be an object/],
    [[], /the file must be an object/],
    [{ daemon: { hostBytes: true } }, /"daemon.hostBytes": must be a size in bytes/],
    [{ daemon: { hostBytes: 12 } }, /"daemon.hostBytes": "12" is out of range/],
    [{ daemon: { json: 'yes' } }, /"daemon.json": must be true or false/],
    [{ daemon: { data: 7 } }, /"daemon.data": must be a text/],
    [{ daemon: { worker: 'a' } }, /"daemon.worker": must be a list of texts/],
  ]
  for (const [json, expected] of refusals)
    t.match(
      whyOf(() => file(json)),
      expected,
    )
  t.match(
    whyOf(() => optionsInFile(table, 'daemon', 'x.json', '{')),
    /x.json is not JSON/,
  )
  const proto = whyOf(() => optionsInFile(table, 'daemon', 'x.json', '{"daemon":{"__proto__":{"port":1}}}'))
  t.match(proto, /unknown field "daemon.__proto__"/)
  t.match(
    whyOf(() => file({ daemon: { constructor: 1 } })),
    /unknown field "daemon.constructor"/,
  )
})

void t.test('the first source that has a field wins', async (t) => {
  const environment = optionsInEnvironment(table, {
    TERRACE_PORT: '7',
    TERRACE_POLICY: 'fifo',
    TERRACE_DATA: '',
    TERRACE_WORKER: 'a,b',
  })
  const settled = settleOptions(table, [
    optionsInWords(table, ['--port', '5']).values,
    environment,
    file({ daemon: { port: 9, policy: 'lru', share: 0.25 } }),
  ])
  t.match(settled, { port: 5, policy: 'fifo', share: 0.25, data: null, stopMs: 2_500, worker: ['a', 'b'] })
  t.match(
    whyOf(() => optionsInEnvironment(table, { TERRACE_PORT: 'x' })),
    /TERRACE_PORT: "x" is not/,
  )
  t.strictSame(strayVariables(table, { TERRACE_HOST_BYTE: '1', PATH: '', TERRACE_PORT: '1' }), [
    'TERRACE_HOST_BYTE is not known here: did you mean TERRACE_HOST_BYTES?',
  ])
})

void t.test('help and reference have a row per field, within the line width', async (t) => {
  const help = optionHelp(table, {
    usage: 'terrace x',
    about: 'Does x.',
    examples: [{ line: 'x', about: 'y' }],
  })
  const reference = optionReference(table)
  for (const name of Object.keys(table)) {
    t.ok(help.includes(`--${flagOf(name)}`), name)
    t.ok(reference.includes(`\`--${flagOf(name)}\``), name)
  }
  t.ok(help.split('\n').every((line) => line.length <= 100))
  t.match(help, /\[64MiB\]/)
  t.equal(optionsInWords(table, ['--help', 'stray']).help, true)
})

void t.test('nearest words', async (t) => {
  t.equal(editDistance('kitten', 'sitting'), 3)
  t.equal(editDistance('ab', 'ba'), 1)
  t.equal(nearestWord('nvme', ['hostBytes', 'nvmeBytes']), 'nvmeBytes')
  t.equal(nearestWord('x'.repeat(10_000), ['hostBytes']), null)
})
