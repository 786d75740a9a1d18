import { KvFailure } from './failures.ts'
import { nearestWord } from './nearest.ts'
import { type OptionAny, type ValueRead, valueOfJson, valueOfWord } from './option-value.ts'

/** Options of a process: command line, environment, config file, `--help` and the reference pages are made from one
 *  table, so that none of them can disagree. Pure; whoever uses it reads files and prints.
 *
 *    const fields = { hostBytes: { unit: 'bytes', fallback: null, min: 1, max: 9, about: '...' } } as const satisfies OptionTable
 *    const given = optionsInWords(fields, argv)             // --host-bytes 2GiB; throws KVT_CONFIG_BAD with one sentence
 *    const environment = optionsInEnvironment(fields, env)  // TERRACE_HOST_BYTES
 *    const file = optionsInFile(fields, 'daemon', 'terrace.json', text)  // { "daemon": { "hostBytes": "2GiB" } }
 *    const options = settleOptions(fields, [given.values, environment, file])  // the first that has a field wins
 *
 *  `optionHelp` and `optionReference` are in option-help.ts. */
export type OptionRow = {
  /** First words say what it is, then why one would change it. */
  readonly about: string
  /** What stands for the value in help, in capitals; absent means the unit's own word. */
  readonly placeholder?: string
  /** `shared` fields must be equal on every node of a cluster; absent means `local`. */
  readonly scope?: 'shared' | 'local'
  /** Shown as the fallback when it is worked out at start. */
  readonly fallbackAbout?: string
} & (
  | {
      /** `bytes`: k, M, G, T and KiB ... are powers of 1024, kB, MB ... of 1000. `ms`: ms, s, min, h. `ratio`: also percent. */
      readonly unit: 'bytes' | 'ms' | 'ratio' | 'count'
      readonly fallback: number | null
      readonly min: number
      readonly max: number
    }
  | { readonly unit: 'path'; readonly fallback: string | null }
  | { readonly unit: 'text'; readonly fallback: string | null; readonly choices?: readonly string[] }
  /** A user or a password in it is refused: they would end up in process lists and logs. */
  | { readonly unit: 'url'; readonly fallback: string | null; readonly schemes: readonly string[] }
  /** `--name`, `--no-name` or `--name=false`. */
  | { readonly unit: 'switch'; readonly fallback: boolean }
  /** May be given several times; in the environment separated by commas. */
  | { readonly unit: 'texts'; readonly fallback: readonly string[]; readonly countMax: number }
)
export type OptionTable = Readonly<Record<string, OptionRow>>

type ValueOf<Row extends OptionRow> = Row extends { unit: 'bytes' | 'ms' | 'ratio' | 'count' }
  ? Row['fallback'] extends number
    ? number
    : number | null
  : Row extends { unit: 'switch' }
    ? boolean
    : Row extends { unit: 'texts' }
      ? readonly string[]
      : Row['fallback'] extends string
        ? string
        : string | null
export type OptionValues<Table extends OptionTable> = { readonly [Name in keyof Table]: ValueOf<Table[Name]> }
/** What one source gave: by field name. */
export type GivenOptions = ReadonlyMap<string, OptionAny>

type WordsRead = {
  readonly values: GivenOptions
  /** Words that belong to no option. */
  readonly operands: readonly string[]
  /** `--help` or `-h` was among the words: then nothing else is required of them. */
  readonly help: boolean
}

/** Parts of the config file. Each process reads its own and lets the others stand. */
const configSections = ['daemon', 'router', 'engine', 'up'] as const
type ConfigSection = (typeof configSections)[number]

/** `hostBytes` to `host-bytes`. */
export function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** `hostBytes` to `TERRACE_HOST_BYTES`. */
export function variableOf(name: string): string {
  return `TERRACE_${flagOf(name).replaceAll('-', '_').toUpperCase()}`
}

/** Reads the words of a command line. `operandsMax` bounds the words that belong to no option. */
export function optionsInWords(table: OptionTable, words: readonly string[], operandsMax = 0): WordsRead {
  const byFlag = new Map(Object.keys(table).map((name) => [flagOf(name), name] as const))
  const values = new Map<string, OptionAny>()
  const operands: string[] = []
  let help = false
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '--help' || word === '-h') help = true
    else if (word === '--') operands.push(...words.slice(at + 1))
    else if (!word.startsWith('-') || word === '-') operands.push(word)
    else at += takeFlag(table, byFlag, values, word, words[at + 1] ?? null)
    if (word === '--') break
  }
  const extra = operands[operandsMax]
  if (extra !== undefined && !help) throw bad(`"${extra.slice(0, 40)}" belongs to no option`)
  return { values, operands, help }
}

/** Reads one flag; returns how many of the following words it took. */
function takeFlag(
  table: OptionTable,
  byFlag: ReadonlyMap<string, string>,
  values: Map<string, OptionAny>,
  word: string,
  next: string | null,
): 0 | 1 {
  const cut = word.indexOf('=')
  const flag = (cut < 0 ? word : word.slice(0, cut)).replace(/^-+/, '')
  const joined = cut < 0 ? null : word.slice(cut + 1)
  const positive = flag.startsWith('no-') ? byFlag.get(flag.slice(3)) : undefined
  if (positive !== undefined && table[positive]?.unit === 'switch') {
    if (joined !== null) throw bad(`--${flag}: takes no value`)
    values.set(positive, false)
    return 0
  }
  const name = word.startsWith('--') ? byFlag.get(flag) : undefined
  const row = name === undefined ? undefined : table[name]
  if (name === undefined || row === undefined) {
    const nearest = nearestWord(flag, [...byFlag.keys()])
    const hint = nearest === null ? 'see --help' : `did you mean --${nearest}?`
    throw bad(`unknown option "${(cut < 0 ? word : word.slice(0, cut)).slice(0, 40)}": ${hint}`)
  }
  if (row.unit === 'switch' && joined === null) {
    values.set(name, true)
    return 0
  }
  const value = joined ?? next
  if (value === null || (joined === null && value.startsWith('--'))) throw bad(`--${flag}: needs a value`)
  keep(values, name, row, valueOfWord(row, value), `--${flag}`)
  return joined === null ? 1 : 0
}

/** Reads the variables that the table knows. */
export function optionsInEnvironment(
  table: OptionTable,
  environment: Readonly<Record<string, string | undefined>>,
): GivenOptions {
  const values = new Map<string, OptionAny>()
  for (const [name, row] of Object.entries(table)) {
    const variable = variableOf(name)
    const word = environment[variable]
    if (word === undefined || word === '') continue
    const parts = row.unit === 'texts' ? word.split(',').filter((part) => part !== '') : [word]
    for (const part of parts) keep(values, name, row, valueOfWord(row, part), variable)
  }
  return values
}

/** Reads the section of a config file. `file` is its name, for messages. */
export function optionsInFile(
  table: OptionTable,
  section: ConfigSection,
  file: string,
  text: string,
): GivenOptions {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw bad(`${file} is not JSON: correct it, or start from the example in the README`)
  }
  const values = new Map<string, OptionAny>()
  const sections = entriesOf(json, file, 'the file')
  for (const [name] of sections) {
    if (!configSections.some((known) => known === name)) throw unknown(file, '', name, configSections)
  }
  const own = sections.find(([name]) => name === section)
  if (own === undefined) return values
  for (const [name, value] of entriesOf(own[1], file, `"${section}"`)) {
    const row = Object.hasOwn(table, name) ? table[name] : undefined
    if (row === undefined) throw unknown(file, `${section}.`, name, Object.keys(table))
    keep(values, name, row, valueOfJson(row, value), `${file}: "${section}.${name}"`)
  }
  return values
}

/** One value per field: from the first source that has it, else the fallback. */
export function settleOptions<const Table extends OptionTable>(
  table: Table,
  sources: readonly GivenOptions[],
): OptionValues<Table> {
  const settled: Record<string, OptionAny | null> = {}
  for (const [name, row] of Object.entries(table)) {
    const source = sources.find((given) => given.has(name))
    settled[name] = source?.get(name) ?? row.fallback
  }
  // Every value was read by its own row, so the shapes agree.
  return settled as unknown as OptionValues<Table>
}

/** Variables that look like ours but are in no table: most likely mistyped. One sentence each. */
export function strayVariables(
  table: OptionTable,
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const known = Object.keys(table).map(variableOf)
  const stray: string[] = []
  for (const variable of Object.keys(environment)) {
    if (!variable.startsWith('TERRACE_') || known.includes(variable)) continue
    const nearest = nearestWord(
      variable.slice(8),
      known.map((name) => name.slice(8)),
    )
    if (nearest !== null) stray.push(`${variable} is not known here: did you mean TERRACE_${nearest}?`)
  }
  return stray
}

function keep(
  values: Map<string, OptionAny>,
  name: string,
  row: OptionRow,
  read: ValueRead,
  where: string,
): void {
  if (read.as === 'refused') throw bad(`${where}: ${read.why}`)
  if (row.unit !== 'texts') {
    values.set(name, read.value)
    return
  }
  const all = [...((values.get(name) ?? []) as readonly string[]), ...(read.value as readonly string[])]
  if (all.length > row.countMax) throw bad(`${where}: given more than ${row.countMax} times`)
  values.set(name, all)
}

function entriesOf(json: unknown, file: string, what: string): [string, unknown][] {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw bad(`${file}: ${what} must be an object`)
  }
  return Object.entries(json)
}

function unknown(file: string, path: string, name: string, known: readonly string[]): KvFailure {
  const nearest = nearestWord(name, known)
  const hint = nearest === null ? `known are ${known.join(', ')}` : `did you mean "${path}${nearest}"?`
  return bad(`${file}: unknown field "${path}${name.slice(0, 64)}": ${hint}`)
}

function bad(why: string): KvFailure {
  return new KvFailure('KVT_CONFIG_BAD', { why })
}
