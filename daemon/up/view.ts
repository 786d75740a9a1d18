import type { UpState } from './state.ts'
import type { Gathered } from './status.ts'
import { bytesText, textTable } from './table.ts'

/** The live view as text. What the parts say comes as JSON of a release that may be another than ours, so every field is read
 *  with care: what is missing shows as a dash. */
export function statusView(state: UpState, gathered: Gathered): string {
  const { daemon, engines } = gathered
  const parts = [
    `Terrace at ${state.router}, data in ${state.data}, up ${age(at(daemon, 'uptimeMs'))}`,
    enginesTable(engines),
    tiersTable(daemon),
    [requestsLines(daemon), ...admissionLines(daemon)].join('\n'),
  ]
  return parts.join('\n\n')
}

function enginesTable(engines: Gathered['engines']): string {
  const rows = engines.map(({ name, status }) => {
    const slots = at(status, 'slots')
    const kv = at(status, 'kv')
    const state = text(at(kv, 'state'))
    return [
      name,
      status === null ? 'does not answer' : text(at(at(status, 'engine'), 'state')),
      text(at(status, 'model')),
      Array.isArray(slots) ? String(slots.length) : '-',
      state === 'off' ? `off: ${text(at(kv, 'why'))}` : state,
      `${number(at(kv, 'prefillMsPerBlock'))} ms`,
    ]
  })
  return textTable(['engine', 'state', 'model', 'slots', 'cache', 'one block computed'], rows)
}

function tiersTable(daemon: unknown): string {
  if (daemon === null) return 'daemon: does not answer; engines serve without it'
  const hits = at(at(daemon, 'requests'), 'tokensByTier')
  const tiers = at(daemon, 'tiers')
  const rows = ['hbm', 'host', 'nvme', 's3'].map((tier) => {
    const usage = at(tiers, tier)
    const why = text(at(usage, 'why'))
    return [
      tier === 'hbm' ? 'engine' : tier,
      tier === 'hbm'
        ? 'serving'
        : `${text(at(usage, 'state'))}${why === '' || why === '-' ? '' : ` (${why})`}`,
      number(at(usage, 'blockCount')),
      bytes(at(usage, 'usedBytes')),
      at(usage, 'capacityBytes') === 0 ? '-' : bytes(at(usage, 'capacityBytes')),
      number(at(hits, tier)),
    ]
  })
  return textTable(['tier', 'state', 'blocks', 'used', 'of', 'tokens hit'], rows)
}

/** `host 512 MiB, nvme 960 MiB, s3 off`: what the daemon keeps blocks in, and why a tier does not serve. */
export function tiersLine(status: unknown): string {
  const parts = ['host', 'nvme', 's3'].map((tier) => {
    const usage = at(at(status, 'tiers'), tier)
    const state = text(at(usage, 'state'))
    if (state === 'off') return `${tier} off`
    if (state !== 'serving') return `${tier} ${state} (${text(at(usage, 'why'))})`
    return at(usage, 'capacityBytes') === 0 ? tier : `${tier} ${bytes(at(usage, 'capacityBytes'))}`
  })
  return `keeps blocks in ${parts.join(', ')}`
}

/** What the rules in front of the tiers refused: one line per tier that has one. */
function admissionLines(daemon: unknown): string[] {
  return ['nvme', 's3'].flatMap((tier) => {
    const admission = at(at(at(daemon, 'tiers'), tier), 'admission')
    if (admission === undefined) return []
    const refused = counts(at(admission, 'refusedBlocksByWhy'))
    const used = at(admission, 'budgetUsed')
    const budget = typeof used === 'number' ? `, ${(100 * used).toFixed(0)} % of the day's write budget` : ''
    const rule = `${tier} ${text(at(admission, 'rule'))}`
    const refusals = `refused ${refused === '' ? 'none' : refused}`
    return [
      `rule      ${rule}: ${number(at(admission, 'offeredBlocks'))} blocks offered, ${refusals}${budget}`,
    ]
  })
}

function requestsLines(daemon: unknown): string {
  const requests = at(daemon, 'requests')
  const prompt = at(requests, 'promptTokens')
  const computed = at(requests, 'computedTokens')
  const share =
    typeof prompt === 'number' && typeof computed === 'number' && prompt > 0
      ? `${(100 * (1 - computed / prompt)).toFixed(1)} %`
      : '-'
  const stops = counts(at(at(daemon, 'loads'), 'countByStop'))
  const drops = counts(at(at(daemon, 'stores'), 'droppedBlocksByWhy'))
  return [
    `requests  ${number(at(requests, 'reportedCount'))}, prompt tokens ${number(prompt)}, not computed ${share}`,
    `loads     ${stops === '' ? 'none yet' : stops}`,
    `drops     ${drops === '' ? 'none' : drops}`,
  ].join('\n')
}

function at(json: unknown, name: string): unknown {
  if (typeof json !== 'object' || json === null || !Object.hasOwn(json, name)) return undefined
  return (json as Record<string, unknown>)[name]
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '-'
}

function number(value: unknown): string {
  return typeof value === 'number' ? String(value) : '-'
}

function bytes(value: unknown): string {
  return typeof value === 'number' ? bytesText(value) : '-'
}

function age(ms: unknown): string {
  if (typeof ms !== 'number') return '-'
  const seconds = Math.floor(ms / 1_000)
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`
}

/** `complete 12, absent 3` */
function counts(value: unknown): string {
  if (typeof value !== 'object' || value === null) return ''
  return Object.entries(value)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}
