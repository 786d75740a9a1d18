import { posix } from 'node:path'
import t from 'tap'
import { files, textOf } from '../tree.ts'

/** The house rules, read from the tree. Each message carries its reason; each exception stands in one list, with its own. */

/** Who may import whom: files of a zone may import their own zone and those listed. The longest prefix names the zone. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'tiers/block': [],
  'tiers/policy': ['tiers/block'],
  addon: ['tiers/block'],
  tiers: ['tiers/block', 'tiers/policy', 'addon'],
  'daemon/adapters/client': ['tiers/block', 'addon'],
  'daemon/adapters/llama': ['tiers/block', 'daemon/adapters/client'],
  'daemon/up': ['tiers/block', 'daemon', 'daemon/adapters/llama', 'daemon/adapters/client', 'addon'],
  daemon: ['tiers/block', 'tiers/policy', 'tiers', 'addon'],
  router: ['tiers/block'],
  'bench/micro': ['tiers/block', 'tiers/policy', 'tiers', 'addon', 'bench'],
  bench: ['tiers/block', 'tiers/policy', 'tiers', 'router'],
  test: [
    'tiers/block',
    'tiers/policy',
    'tiers',
    'addon',
    'daemon',
    'daemon/adapters/client',
    'daemon/adapters/llama',
  ].concat(['daemon/up', 'router', 'bench', 'bench/micro', 'terrace']),
  terrace: ['addon', 'daemon', 'daemon/up', 'daemon/adapters/llama', 'router', 'bench', 'tiers/block'],
}

/** Files that may go past a limit, and why. */
const longFiles: Readonly<Record<string, string>> = {}
const wideLines: readonly { readonly file: RegExp; readonly why: string }[] = [
  { file: /^test\//, why: 'golden values stand on one line' },
]
const clockFiles: readonly { readonly file: RegExp; readonly why: string }[] = [
  { file: /^tiers\/block\/clock\.ts$/, why: 'it is the World' },
  { file: /^(test|bench)\//, why: 'tests and live measurements run in real time' },
  { file: /^terrace\.ts$/, why: 'hands the real World in' },
]

function zoneOf(file: string): string | null {
  if (file === 'terrace.ts') return 'terrace'
  let zone: string | null = null
  for (const name of Object.keys(mayImport)) {
    if (file.startsWith(`${name}/`) && name.length > (zone?.length ?? 0)) zone = name
  }
  return zone
}

/** The text with comments and strings blanked, so that rules about code do not read prose. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (match) => match.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`\\])\/\/[^\n]*/g, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'/g, "''")
}

void t.test('imports follow the table: one direction, so that every room can be read alone', (t) => {
  const wrong: string[] = []
  for (const [file, text] of textOf) {
    const zone = zoneOf(file)
    for (const [, spec] of text.matchAll(/(?:from|import\(|import)\s*\(?'(\.{1,2}\/[^']+)'/g)) {
      const target = zoneOf(posix.join(posix.dirname(file), spec ?? ''))
      const listed = zone !== null && target !== null && mayImport[zone]?.includes(target) === true
      if (target !== zone && !listed) wrong.push(`${file} -> ${spec}`)
    }
  }
  t.same(wrong, [])
  t.end()
})

void t.test('daemon, router and the tiers are not imported through their mains', (t) => {
  const wrong = [...textOf].flatMap(([file, text]) =>
    file === 'terrace.ts' || file.startsWith('test/')
      ? []
      : [...text.matchAll(/from '(\.{1,2}\/[^']*main\.ts)'/g)].map(([, spec]) => `${file} -> ${spec}`),
  )
  t.same(wrong, [])
  t.end()
})

void t.test('pure folders import no platform: they run in daemon, bench, router and simulator alike', (t) => {
  const wrong = [...textOf].flatMap(([file, text]) =>
    /^tiers\/(block|policy)\//.test(file)
      ? [...text.matchAll(/from '([^.'][^']*)'/g)].map(([, spec]) => `${file} -> ${spec}`)
      : [],
  )
  t.same(wrong, [])
  t.end()
})

void t.test('files are at most 500 lines and lines at most 132 columns (code 110, by the formatter)', (t) => {
  const wrong: string[] = []
  for (const [file, text] of textOf) {
    const lines = text.split('\n')
    if (lines.length > 501 && longFiles[file] === undefined) wrong.push(`${file}: ${lines.length} lines`)
    if (wideLines.some((exception) => exception.file.test(file))) continue
    for (const [i, line] of lines.entries()) {
      if (line.length > 132) wrong.push(`${file}:${i + 1}: ${line.length} columns`)
    }
  }
  t.same(wrong, [])
  t.end()
})

void t.test('time and chance come from the World, so that a run can be repeated from a seed', (t) => {
  const banned = /\b(Date\.now|Math\.random|setTimeout|setInterval|performance\.now|new Date\(\))/
  const wrong: string[] = []
  for (const [file, text] of textOf) {
    if (clockFiles.some((exception) => exception.file.test(file))) continue
    for (const [i, line] of codeOf(text).split('\n').entries()) {
      const found = banned.exec(line)
      if (found !== null) wrong.push(`${file}:${i + 1}: ${found[1]}`)
    }
  }
  t.same(wrong, [])
  t.end()
})

void t.test('no stubs, no diary, no default exports, no enums', (t) => {
  const rules: readonly { readonly pattern: RegExp; readonly why: string }[] = [
    { pattern: /\b(TODO|FIXME|XXX|HACK)\b/, why: 'finish it or name it in the README' },
    { pattern: /^export default /m, why: 'a name is found, a default is not' },
    { pattern: /^\s*(export )?(const )?enum /m, why: 'Node strips types, it does not build them' },
  ]
  const wrong: string[] = []
  for (const [file, text] of textOf) {
    if (file === 'test/unit/tidy.test.ts') continue
    for (const { pattern, why } of rules) {
      const found = pattern.exec(text)
      if (found !== null) wrong.push(`${file}: ${found[0].trim()} (${why})`)
    }
  }
  t.same(wrong, [])
  t.end()
})

void t.test('folders are named after what they hold', (t) => {
  const wrong = files.filter((file) => /(^|\/)(utils?|common|helpers?|lib|misc)(\/|\.ts$)/.test(file))
  t.same(wrong, [])
  t.end()
})
