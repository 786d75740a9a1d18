/** One number (or word) that two reports both have, or only one of them. */
export type Difference = {
  readonly path: string
  readonly before: string | number | boolean | null
  readonly after: string | number | boolean | null
  /** Absolute and relative change; null when one side is no number. */
  readonly change: number | null
  readonly relative: number | null
  readonly within: boolean
}

type Tolerance = { readonly absolute: number; readonly relative: number }

type Leaf = string | number | boolean | null

/** Number fields that name a row, next to all its words. */
const namingNumbers = new Set([
  'capacityBlocks',
  'chunkTokens',
  'idleSeconds',
  'promptTokens',
  'hostBlocks',
  'load',
  'nvmeBlocks',
  'seed',
])

/** Compares the numbers of two reports' JSON, path by path. Rows of lists are matched by what names them, not by
 *  their place. Context is left out: `contextDifferences` is for that. */
export function compareReports(before: unknown, after: unknown, tolerance: Tolerance): Difference[] {
  const left = leavesOf(before)
  const right = leavesOf(after)
  const differences: Difference[] = []
  for (const path of new Set([...left.keys(), ...right.keys()])) {
    differences.push(differenceOf(path, left.get(path), right.get(path), tolerance))
  }
  return differences
}

function differenceOf(
  path: string,
  before: Leaf | undefined,
  after: Leaf | undefined,
  tolerance: Tolerance,
): Difference {
  const missing = before === undefined || after === undefined
  if (typeof before !== 'number' || typeof after !== 'number') {
    const within = !missing && before === after
    return { path, before: before ?? null, after: after ?? null, change: null, relative: null, within }
  }
  const change = after - before
  const relative = before === 0 ? (change === 0 ? 0 : Number.POSITIVE_INFINITY) : change / Math.abs(before)
  const within = Math.abs(change) <= tolerance.absolute || Math.abs(relative) <= tolerance.relative
  return { path, before, after, change, relative, within: change === 0 || within }
}

/** Definitions that differ: such reports must not be compared number by number. */
export function contextDifferences(before: unknown, after: unknown): string[] {
  const [left, right] = [contextOf(before), contextOf(after)]
  const wrong: string[] = []
  for (const key of ['definition', 'weighting', 'tailBlock', 'outputBlocks', 'warmUp', 'concurrency']) {
    if (left[key] !== right[key]) wrong.push(`${key}: "${String(left[key])}" against "${String(right[key])}"`)
  }
  return wrong
}

function contextOf(report: unknown): Readonly<Record<string, unknown>> {
  const context = (report as { context?: unknown } | null)?.context
  return typeof context === 'object' && context !== null ? (context as Record<string, unknown>) : {}
}

function leavesOf(report: unknown): Map<string, Leaf> {
  const leaves = new Map<string, Leaf>()
  collect('', report, leaves)
  return leaves
}

function collect(path: string, value: unknown, leaves: Map<string, Leaf>): void {
  if (Array.isArray(value)) {
    const names = rowNames(value)
    for (const [index, item] of value.entries()) collect(`${path}[${names[index]}]`, item, leaves)
    return
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      if (path === '' && key === 'context') continue
      collect(path === '' ? key : `${path}.${key}`, item, leaves)
    }
    return
  }
  leaves.set(path, value as Leaf)
}

function rowNames(rows: readonly unknown[]): string[] {
  const names = rows.map((row) => {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) return ''
    const parts = Object.entries(row).filter(
      ([key, value]) => typeof value === 'string' || namingNumbers.has(key),
    )
    return parts
      .map(([key, value]) => (typeof value === 'string' ? value : `${key}=${String(value)}`))
      .join(' ')
  })
  const unique = new Set(names).size === names.length && !names.includes('')
  return unique ? names : rows.map((_, index) => String(index))
}
