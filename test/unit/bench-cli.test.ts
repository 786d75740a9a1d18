import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { commands } from '../../bench/commands/register.ts'
import { benchMain } from '../../bench/main.ts'
import { suggestion } from '../../bench/nearest.ts'
import { capturedIo } from '../traces.ts'

const lines = [
  '{"timestamp":0,"input_length":48,"output_length":5,"hash_ids":[0,1,2],"session_id":1}',
  '{"timestamp":1000,"input_length":64,"output_length":5,"hash_ids":[0,1,2,3],"session_id":1}',
  '{"timestamp":2000,"input_length":32,"output_length":5,"hash_ids":[0,9],"session_id":2}',
].join('\n')

function traceFile(folder: string): string {
  const path = join(folder, 'trace.jsonl')
  writeFileSync(path, lines)
  return path
}

async function bench(...words: string[]): Promise<{ code: number; out: string; note: string }> {
  const io = capturedIo()
  const code = await benchMain(words, io)
  return { code, out: io.outText(), note: io.noteText() }
}

void t.test('every command has help with an example that starts with its name', async (t) => {
  const overview = await bench('--help')
  t.equal(overview.code, 0)
  for (const command of commands) {
    t.match(overview.out, new RegExp(`^ {2}${command.name} `, 'm'))
    const help = await bench(command.name, '--help')
    t.equal(help.code, 0, command.name)
    t.match(help.out, 'examples:')
    t.ok(command.examples.length > 0 && command.examples.every(({ line }) => line.startsWith(command.name)))
    t.same(await bench('help', command.name), help)
  }
})

void t.test(
  'wrong words: one sentence with the nearest known word, exit code 2, nothing on standard output',
  async (t) => {
    const cases: [string[], RegExp][] = [
      [['analize'], /unknown command "analize"\. Did you mean "analyze"\?/],
      [['analyze', 'x', '--jsn'], /unknown option "--jsn" of "analyze"\. Did you mean "--json"\?/],
      [['analyze'], /"analyze" needs TRACE: a trace file/],
      [['analyze', 'a', 'b'], /does not know what to do with "b"/],
      [['analyze', 'x', '--block-tokens'], /--block-tokens needs a value: --block-tokens N/],
      [['analyze', 'x', '--block-tokens', 'many'], /--block-tokens: "many" is not a whole number from 1/],
      [['analyze', 'x', '--block-tokens=0'], /"0" is not a whole number from 1 to/],
      [['analyze', 'x', '--skip-bad=yes'], /--skip-bad takes no value/],
      [
        ['convert', 'x', '--to', 'azur'],
        /--to: unknown "azur"; one of mooncake, azure\. Did you mean "azure"\?/,
      ],
      [['analyze', 'x', '-j'], /unknown option "-j"/],
    ]
    for (const [words, message] of cases) {
      const result = await bench(...words)
      t.equal(result.code, 2, words.join(' '))
      t.match(result.note, message)
      t.equal(result.out, '')
    }
    t.equal(suggestion('qqqqqqqq', ['analyze']), '')
  },
)

void t.test('--json is JSON and nothing else; --csv is CSV; files are written', async (t) => {
  const folder = t.testdir()
  const trace = traceFile(folder)
  const json = await bench('analyze', trace, '--json')
  const report = JSON.parse(json.out) as Record<string, unknown>
  t.equal(report.references, 9)
  t.equal(report.trace, 'trace')
  t.type(report.context, 'object')
  t.notMatch(json.out, folder, 'no path leaks into the report')
  const csv = await bench('analyze', trace, '--csv')
  t.equal(csv.out.split('\n')[0], 'chunkTokens,tokenHitRate')
  const page = join(folder, 'page.html')
  const file = join(folder, 'report.json')
  const both = await bench('analyze', trace, `--json=${file}`, '--html', page)
  t.match(both.out, 'Shape of trace')
  t.same(JSON.parse(readFileSync(file, 'utf8')), report)
  const html = readFileSync(page, 'utf8')
  t.match(html, /^<!doctype html>/)
  t.notMatch(html, /<script|https?:|src=|@import|url\(/, 'the page needs nothing else')
  const failed = await bench('analyze', trace, '--html', join(folder, 'no/such/folder.html'))
  t.equal(failed.code, 1)
  t.match(failed.note, /cannot write/)
})

void t.test('the same input gives the same report, byte for byte', async (t) => {
  const trace = traceFile(t.testdir())
  for (const form of ['--json', '--csv']) {
    t.same((await bench('analyze', trace, form)).out, (await bench('analyze', trace, form)).out)
  }
})

void t.test('a bad input is exit code 1 with one message and no output', async (t) => {
  const result = await bench('analyze', join(t.testdir(), 'nothing.jsonl'), '--json')
  t.equal(result.code, 1)
  t.equal(result.out, '')
  t.match(result.note, /^terrace bench: no file/)
})

void t.test('interrupted before anything was computed: exit code 130, no output', async (t) => {
  const stop = new AbortController()
  stop.abort()
  const io = { ...capturedIo(), stop: stop.signal }
  t.equal(await benchMain(['analyze', traceFile(t.testdir())], io), 130)
})

void t.test('convert: there and back is the same trace; selections and speed', async (t) => {
  const folder = t.testdir()
  const trace = traceFile(folder)
  const first = join(folder, 'one.jsonl.gz')
  t.equal((await bench('convert', trace, '--output', first)).code, 0)
  const again = await bench('convert', first, '--block-tokens', '16')
  t.equal(again.out, (await bench('convert', trace)).out)
  t.equal((await bench('convert', trace, '--limit', '1', '--after', '0.5')).out.trim().split('\n').length, 1)
  t.match((await bench('convert', trace, '--speedup', '2')).out, /"timestamp":500,/)
  t.match(
    (await bench('convert', trace, '--to', 'azure')).out,
    /^TIMESTAMP,ContextTokens,GeneratedTokens\n0,48,5\n1,64,5/,
  )
  const joined = await bench('convert', trace, '--reblock', '2')
  t.match(joined.out, /"hash_ids":\[0,1\]/)
  t.equal((await bench('convert', trace, '--tenant', 'x')).code, 2)
  const twice = (await bench('convert', trace, '--copies', '2', '--input-tokens-max', '40')).out
    .trim()
    .split('\n')
  const copied = twice.map((line) => JSON.parse(line))
  t.same(
    copied.map(({ hash_ids: ids, input_length: tokens }) => [ids, tokens]),
    [
      [[0, 1], 32],
      [[2, 3], 32],
      [[0, 1], 32],
      [[2, 3], 32],
      [[0, 4], 32],
      [[2, 5], 32],
    ],
  )
})

void t.test('anonymize: salted, joinable only with the salt, no names, starts at 0', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'log.jsonl')
  writeFileSync(
    path,
    `${JSON.stringify({ timestamp: 1_700_000_000, user: 'alice', prompt: 'my secret prompt' })}\n`,
  )
  const one = await bench('anonymize', path, '--salt', 'a')
  t.equal(one.code, 0)
  t.notMatch(one.out, /alice|secret|1700000000/)
  t.equal(one.out, (await bench('anonymize', path, '--salt', 'a')).out)
  t.not(one.out, (await bench('anonymize', path, '--salt', 'b')).out)
  t.not((await bench('anonymize', path)).out, (await bench('anonymize', path)).out, 'random without a salt')
  const joined = await bench('anonymize', traceFile(folder), '--reblock', '2', '--salt', 'a')
  const ids = joined.out
    .trim()
    .split('\n')
    .flatMap((line) => JSON.parse(line).hash_ids)
  t.equal(new Set(ids).size, 4, 'also re-blocked, another block is another id')
})

void t.test('compare: exit code by tolerance; refuses different definitions', async (t) => {
  const folder = t.testdir()
  const write = (name: string, rate: number, definition = 'leading'): string => {
    const path = join(folder, name)
    const rows = [{ policy: 'lru', capacityBlocks: 4, hitRate: rate }]
    writeFileSync(path, JSON.stringify({ rows, command: 'simulate', context: { definition } }))
    return path
  }
  const base = write('base.json', 0.5)
  t.equal((await bench('compare', base, write('same.json', 0.5))).code, 0)
  const worse = write('worse.json', 0.49)
  const told = await bench('compare', base, worse, '--json')
  t.equal(told.code, 1)
  t.equal(JSON.parse(told.out).differences[0].path, 'rows[lru capacityBlocks=4].hitRate')
  t.equal((await bench('compare', base, worse, '--tolerance', '0.02')).code, 0)
  t.equal((await bench('compare', base, worse, '--relative', '0.001')).code, 1)
  const other = write('other.json', 0.5, 'anywhere')
  t.equal((await bench('compare', base, other)).code, 1)
  t.match((await bench('compare', base, other)).note, /measure different things/)
  t.equal((await bench('compare', base, other, '--any-context')).code, 0)
  writeFileSync(join(folder, 'none.json'), '{}')
  t.match(
    (await bench('compare', base, join(folder, 'none.json'))).note,
    /no report: it has no field "command"/,
  )
  t.match(
    (await bench('compare', base, base, '--fields', 'hitrate')).note,
    /neither report has a field hitrate/,
  )
})

void t.test('what cannot be written is refused before anything is read', async (t) => {
  const folder = t.testdir()
  const nothing = join(folder, 'no/such/folder')
  for (const words of [
    ['analyze', 'no-trace', '--html', `${nothing}/page.html`],
    ['simulate', 'no-trace', `--json=${nothing}/x.json`],
    ['convert', 'no-trace', '--output', `${nothing}/x.jsonl`],
    ['replay', 'no-trace', '--requests', `${nothing}/x.csv`],
  ]) {
    const { code, note } = await bench(...words)
    t.equal(code, 1)
    t.match(note, /cannot write ".*": no such file or folder\n/)
    t.notMatch(note, /ENOENT/)
  }
  t.match((await bench('analyze', 'no-trace', '--html', folder)).note, /it is a folder/)
  const both = await bench('analyze', 'no-trace', '--json', '--csv')
  t.equal(both.code, 2)
  t.match(both.note, /both want standard output/)
})

void t.test('what is no capacity is refused before anything is read', async (t) => {
  for (const [text, why] of [
    ['x', /not a number/],
    ['0%', /holds nothing/],
    ['101%', /never used/],
    ['1.5', /whole numbers/],
    ['99999999999999999999', /whole numbers/],
    ['10GiB', /--block-bytes/],
    ['10Gii', /size in bytes/],
  ] as const) {
    for (const word of ['simulate', 'sweep', 'headroom']) {
      const { code, note } = await bench(word, 'no-trace', '--capacity', text)
      t.equal(code, 2)
      t.match(note, why, `${word} ${text}`)
    }
    t.match((await bench('simulate', 'no-trace', '--policy', 'lru', '--tiers', `host=${text}`)).note, why)
  }
  const budget = ['simulate', 'no-trace', '--policy', 'lru', '--nvme-write-bytes-per-day', '1GiB']
  t.match((await bench(...budget, '--tiers', 'host=5%,nvme=25%')).note, /and --block-bytes/)
  t.match(
    (await bench(...budget, '--block-bytes', '1024', '--tiers', 'host=5%,s3=25%')).note,
    /needs an nvme tier/,
  )
  t.match((await bench('plan', 'no-trace', '--without', 'nvm')).note, /--without: unknown "nvm".*"nvme"/)
  t.match(
    (await bench('synthesize', '--minutes', '1e6', '--rate', '1e5')).note,
    /at most 5000000 fit in memory/,
  )
})

void t.test('a written trace is whole or not there', async (t) => {
  const folder = t.testdir()
  const trace = traceFile(folder)
  const before = readFileSync(trace, 'utf8')
  t.equal((await bench('convert', trace, '--output', trace)).code, 0, 'a trace may be written over itself')
  t.equal(readFileSync(trace, 'utf8').trim().split('\n').length, before.trim().split('\n').length)
  const stop = new AbortController()
  const io = capturedIo()
  // Ctrl-C comes once the trace is read: what was assumed is noted then.
  const note = (text: string): void => {
    io.note(text)
    stop.abort()
  }
  const target = join(folder, 'out.jsonl')
  writeFileSync(target, 'precious')
  t.equal(await benchMain(['convert', trace, '--output', target], { ...io, note, stop: stop.signal }), 130)
  t.equal(readFileSync(target, 'utf8'), 'precious')
  t.same(readdirSync(folder).sort(), ['out.jsonl', 'trace.jsonl'])
})

void t.test('closed or full standard streams: one sentence, or no notes, never a stack', (t) => {
  const main = resolve(import.meta.dirname, '../../bench/main.ts')
  const run = (redirect: string) =>
    spawnSync('sh', ['-c', `"${process.execPath}" "${main}" policies --json ${redirect}`], {
      timeout: 20_000,
    })
  const full = run('>/dev/full')
  t.equal(full.status, 1)
  t.equal(full.stderr.toString(), 'terrace bench: cannot write standard output: the disk is full\n')
  const noted = spawnSync('sh', ['-c', `"${process.execPath}" "${main}" analyze - --json 2>/dev/full`], {
    input: lines,
    timeout: 20_000,
  })
  t.equal(noted.status, 0)
  t.equal(JSON.parse(noted.stdout.toString()).requests, 3)
  t.end()
})

void t.test('as a process: standard input, pipe closed early', (t) => {
  const main = resolve(import.meta.dirname, '../../bench/main.ts')
  const run = spawnSync(process.execPath, [main, 'analyze', '-', '--json'], { input: lines, timeout: 20_000 })
  t.equal(run.status, 0)
  t.equal(JSON.parse(run.stdout.toString()).requests, 3)
  t.match(run.stderr.toString(), /standard input: read as mooncake/)
  t.end()
})

void t.test(
  'odd traces: nothing crashes, nothing is not a number, nothing reaches the terminal as an order',
  async (t) => {
    const folder = t.testdir()
    const odd = {
      empty: '{"timestamp":0,"input_length":0,"output_length":0,"hash_ids":[1]}',
      one: '{"timestamp":5,"input_length":512,"output_length":1,"hash_ids":[1]}',
      named:
        '{"timestamp":0,"input_length":0,"output_length":0,"hash_ids":[]}\n' +
        '{"timestamp":0,"input_length":600,"output_length":0,"hash_ids":[7,8],"tenant":"\\u001b[31mred"}',
      back:
        '{"timestamp":1e15,"input_length":512,"output_length":1,"hash_ids":[1]}\n' +
        '{"timestamp":3,"input_length":1024,"output_length":1,"hash_ids":[1,2]}',
      huge:
        '{"timestamp":0,"input_length":2147483647,"output_length":2147483647,' +
        '"hash_ids":[9007199254740993,18446744073709551615,-1]}',
    }
    for (const [name, text] of Object.entries(odd)) {
      const path = join(folder, `${name}.jsonl`)
      writeFileSync(path, text)
      for (const words of [
        ['analyze'],
        ['plan'],
        ['simulate', '--policy', 'lru,terrace'],
        ['simulate', '--policy', 'lru', '--tenants', 'shared,quota,shares,alone'],
      ]) {
        const page = join(folder, 'page.html')
        const [word = '', ...rest] = words
        const { code, out, note } = await bench(word, path, ...rest, '--html', page)
        const all = out + readFileSync(page, 'utf8')
        t.equal(code, 0, `${name} ${words.join(' ')}: ${note}`)
        t.notMatch(all, /NaN|Infinity|undefined/, `${name} ${words.join(' ')}`)
        t.notOk(out.includes('\u001b'), `${name} ${words.join(' ')}`)
      }
    }
  },
)
