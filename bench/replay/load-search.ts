/** How the highest load is looked for that still meets the goal. Loads are requests per second (open loop) or clients. */
export type SearchSetting = {
  readonly isWhole: boolean
  readonly first: number
  /** Each load is so many times the one before, until one is too high. */
  readonly growth: number
  /** Loads tried between the last good one and the first too high one. */
  readonly refine: number
  readonly most: number
}

type Tried = { readonly load: number; readonly good: boolean }

/** Why no other load is tried. */
export type SearchEnd =
  /** The edge lies between two tried loads, as near as was asked for. */
  | 'found'
  /** Even the first load misses the goal. */
  | 'first_too_high'
  /** Every load up to the highest allowed one is good. */
  | 'most_reached'

export type NextLoad =
  | { readonly as: 'try'; readonly load: number }
  | { readonly as: 'end'; readonly why: SearchEnd }

/** Pure. Up by a factor until a load misses the goal, then halving what lies between. */
export function nextLoad(tried: readonly Tried[], setting: SearchSetting): NextLoad {
  const last = tried.at(-1)
  if (last === undefined) return { as: 'try', load: setting.first }
  const good = bestLoad(tried)
  const bad = tried.filter((one) => !one.good).reduce((least, { load }) => Math.min(least, load), Infinity)
  if (bad === Infinity) {
    if (last.load >= setting.most) return { as: 'end', why: 'most_reached' }
    const grown = last.load * setting.growth
    const load = setting.isWhole ? Math.max(last.load + 1, Math.round(grown)) : grown
    return { as: 'try', load: Math.min(setting.most, load) }
  }
  if (good === null) return { as: 'end', why: 'first_too_high' }
  const refined = tried.length - 1 - tried.findIndex((one) => !one.good)
  const between = setting.isWhole ? Math.round((good + bad) / 2) : Math.sqrt(good * bad)
  if (refined >= setting.refine || between <= good || between >= bad) return { as: 'end', why: 'found' }
  return { as: 'try', load: between }
}

/** The highest load that met the goal below every load that did not; null when there is none. */
export function bestLoad(tried: readonly Tried[]): number | null {
  const bad = tried.filter((one) => !one.good).reduce((least, { load }) => Math.min(least, load), Infinity)
  const good = tried.filter(({ load, good: isGood }) => isGood && load < bad)
  return good.length === 0 ? null : good.reduce((most, { load }) => Math.max(most, load), 0)
}
