import { createHash } from 'node:crypto'
import t from 'tap'
import { type ReadText, readRouterConfig, routerFields, routerHelp } from '../../router/config.ts'
import { optionHelp } from '../../tiers/block/option-help.ts'

const entry = { sha256: createHash('sha256').update('sk-acme').digest('hex'), tenant: 'acme' }
const files: Readonly<Record<string, string>> = {
  'ok.json': JSON.stringify({ keys: [entry] }),
  'bad.json': '{',
  'empty.json': '{"keys":[]}',
  'plain.json': '{"keys":[{"sha256":"sk-acme","tenant":"acme"}]}',
  'twice.json': JSON.stringify({ keys: [entry, entry] }),
  'other.json': JSON.stringify({ keys: [{ ...entry, role: 'x' }] }),
  'tenant.json': JSON.stringify({ keys: [{ ...entry, tenant: 'a b' }] }),
  'rate.json': JSON.stringify({ keys: [{ ...entry, requestsPerMinute: 0 }] }),
  'terrace.json': JSON.stringify({ router: { port: 9000, stallMs: '5s' }, daemon: { hostBytes: 1 } }),
  'unknown.json': JSON.stringify({ router: { prt: 9000 } }),
}
const readText: ReadText = (path) => {
  const text = files[path]
  return text === undefined ? { why: 'ENOENT' } : { text }
}
const read = (...words: string[]) => readRouterConfig(words, {}, readText)

void t.test('command line, environment and file, in this order', (t) => {
  const config = readRouterConfig(
    ['--worker', 'a=http://127.0.0.1:1', '--worker', 'b=http://127.0.0.1:2', '--config', 'terrace.json'],
    { TERRACE_STALL_MS: '7s' },
    readText,
  )
  t.match(config, { port: 9000, stallMs: 7_000, host: '127.0.0.1', keys: null })
  t.same(
    config?.workers.map(({ name }) => name),
    ['a', 'b'],
  )
  t.equal(read('--help'), null)
  t.equal(read('--host', '0.0.0.0', '--keys-file', 'ok.json')?.keys?.tenantOf('sk-acme')?.name, 'acme')
  t.end()
})

void t.test('every refusal is one sentence that names the field, and never a key', (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--host', '0.0.0.0'], /reachable from other machines: give --keys-file, or bind 127\.0\.0\.1/],
    [['--host', '192.168.1.4'], /reachable from other machines/],
    [['--keys-file', 'none.json'], /none\.json cannot be read \(ENOENT\): correct --keys-file/],
    [['--keys-file', 'bad.json'], /not JSON/],
    [['--keys-file', 'empty.json'], /"keys" is empty/],
    [['--keys-file', 'plain.json'], /keys\[0\]\.sha256 must be the 64/],
    [['--keys-file', 'twice.json'], /same "sha256"/],
    [['--keys-file', 'other.json'], /keys\[0\]\.role is not known/],
    [['--keys-file', 'tenant.json'], /keys\[0\]\.tenant must be 1 to 64/],
    [['--keys-file', 'rate.json'], /keys\[0\]\.requestsPerMinute must be/],
    [['--admin-token-file', 'bad.json'], /at least 16 characters/],
    [['--worker', 'a'], /--worker: must be NAME=URL/],
    [['--worker', 'a=ftp://x'], /--worker: url: must start with http/],
    [['--worker', 'a=http://x:1/v1'], /--worker: url: must be the root/],
    [['--worker', 'a=http://x:1', '--worker', 'a=http://x:2'], /two workers have the same name/],
    [['--daemon', 'nowhere'], /--daemon: url: must be like/],
    [['--prot', '1'], /did you mean --port\?/],
    [['--port', '70000'], /--port/],
    [['--config', 'unknown.json'], /unknown field "router\.prt": did you mean "router\.port"/],
  ]
  for (const [words, sentence] of cases) {
    t.throws(() => read(...words), { message: sentence, code: 'KVT_CONFIG_BAD' }, words.join(' '))
    try {
      read(...words)
    } catch (error) {
      t.notMatch(String(error), 'sk-acme')
    }
  }
  t.end()
})

void t.test('help shows every option with its fallback, and examples', (t) => {
  const help = optionHelp(routerFields, routerHelp)
  for (const flag of ['--port', '--worker NAME=URL', '--keys-file', '--index-bytes', '[8080]', 'Examples:']) {
    t.match(help, flag)
  }
  t.end()
})
