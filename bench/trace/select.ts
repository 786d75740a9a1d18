import type { OptionFields, OptionValues } from '../command.ts'
import { UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import { rebuilt } from './reblock.ts'
import type { TraceTree } from './trace.ts'
import type { Selection } from './write.ts'

/** Options that choose a part of a trace. */
export const selectionFields = {
  after: {
    kind: 'number',
    placeholder: 'SECONDS',
    unit: 'seconds',
    fallback: null,
    min: 0,
    max: 1e10,
    about: 'Only requests from this time of the trace on.',
  },
  before: {
    kind: 'number',
    placeholder: 'SECONDS',
    unit: 'seconds',
    fallback: null,
    min: 0,
    max: 1e10,
    about: 'Only requests before this time of the trace.',
  },
  limit: {
    kind: 'number',
    placeholder: 'N',
    unit: 'requests',
    fallback: null,
    min: 1,
    max: 1e9,
    whole: true,
    about: 'At most the first N of them.',
  },
  tenant: { kind: 'list', placeholder: 'A,B', fallback: [], about: 'Only these tenants.' },
} as const satisfies OptionFields

/** The selection the options describe; call it once per request, in order. */
export function selectionOf(tree: TraceTree, options: OptionValues<typeof selectionFields>): Selection {
  const tenants = new Set(options.tenant.map((name) => tenantNamed(tree, name)))
  const fromMs = (options.after ?? 0) * 1_000
  const untilMs = (options.before ?? Number.POSITIVE_INFINITY) * 1_000
  let left = options.limit ?? Number.POSITIVE_INFINITY
  return (request) => {
    const atMs = tree.arrivalMs[request] ?? 0
    if (atMs < fromMs || atMs >= untilMs || left <= 0) return false
    if (tenants.size > 0 && !tenants.has(tree.tenant?.[request] ?? -1)) return false
    left -= 1
    return true
  }
}

function tenantNamed(tree: TraceTree, name: string): number {
  const index = tree.tenantNames.indexOf(name)
  if (index >= 0) return index
  const known = tree.tenantNames.length === 0 ? 'the trace names no tenants' : tree.tenantNames.join(', ')
  throw new UsageError(`--tenant: no "${name}" in the trace (${known}).${suggestion(name, tree.tenantNames)}`)
}

/** The trace of the selected requests alone, in their order. */
export function selectedTree(tree: TraceTree, selected: Selection): TraceTree {
  const requests: number[] = []
  for (let request = 0; request < tree.requestCount; request += 1)
    if (selected(request)) requests.push(request)
  return rebuilt(tree, requests)
}
