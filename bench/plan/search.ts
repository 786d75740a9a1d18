import type { OnStep } from '../progress.ts'
import type { Cost } from './cost.ts'
import type { Outcome, Places } from './evaluate.ts'

/** One set of tier sizes with what it does and costs. */
export type Option = {
  readonly places: Places
  readonly outcome: Outcome
  readonly cost: Cost
  readonly meets: boolean
}

export type Search = {
  /** The cheapest option that meets the goal, or the cheapest of all when none does. */
  readonly best: Option
  readonly alone: Option
  /** Shortest time to first token that any option reaches, at the goal's share, in seconds. */
  readonly soonest: number
  /** Per size of the lowest tier the cheapest option, in order. */
  readonly frontier: readonly Option[]
  readonly triedCount: number
  /** Every option tried, on a sample of the requests. */
  readonly rough: readonly Option[]
  readonly partial: boolean
}

/** Which tiers may be used at all. */
export type Allowed = { readonly host: boolean; readonly nvme: boolean; readonly s3: boolean }

/** Options looked at again with every request, after the search on a sample. */
const finalistCount = 100

/** Options between two looks at whether to go on. */
const optionsPerStep = 64

/** Tries every rising triple of places on a sample of the requests, then the best ones on all. */
export async function searchSizes(
  price: (places: Places, exact: boolean) => Option,
  last: number,
  allowed: Allowed,
  onStep: OnStep,
): Promise<Search> {
  const rough: Option[] = []
  const cheapest: (Option | undefined)[] = []
  const triples = [...allTriples(last, allowed)]
  for (const places of triples) {
    if (rough.length % optionsPerStep === 0 && !(await onStep(rough.length / triples.length))) break
    const candidate = price(places, false)
    rough.push(candidate)
    const known = cheapest[places.s3]
    if (known === undefined || candidate.cost.total < known.cost.total) cheapest[places.s3] = candidate
  }
  const alone = price({ hbm: 0, host: 0, nvme: 0, s3: 0 }, true)
  const finalists = [...rough]
    .sort((a, b) => (isBetter(a, b) ? -1 : isBetter(b, a) ? 1 : 0))
    .slice(0, finalistCount)
  let best = alone
  for (const { places } of finalists) {
    const exact = price(places, true)
    if (isBetter(exact, best)) best = exact
  }
  const frontier = [alone]
  for (const entry of cheapest) if (entry !== undefined) frontier.push(price(entry.places, true))
  const soonest = rough.reduce(
    (least, { outcome }) => Math.min(least, outcome.ttftAtShare),
    alone.outcome.ttftAtShare,
  )
  return {
    rough,
    best,
    alone,
    soonest,
    frontier,
    triedCount: rough.length + 1,
    partial: rough.length < triples.length,
  }
}

/** Meeting the goal comes first, then money. */
function isBetter(candidate: Option, best: Option): boolean {
  if (candidate.meets !== best.meets) return candidate.meets
  return candidate.cost.total < best.cost.total
}

function* allTriples(last: number, allowed: Allowed): Generator<Places> {
  for (let host = 0; host <= (allowed.host ? last : 0); host += 1) {
    for (let nvme = host; nvme <= (allowed.nvme ? last : host); nvme += 1) {
      for (let s3 = nvme; s3 <= (allowed.s3 ? last : nvme); s3 += 1) {
        if (s3 > 0) yield { hbm: 0, host, nvme, s3 }
      }
    }
  }
}

/** The options next to one: each tier a step smaller and larger. */
export function neighboursOf(places: Places, last: number, allowed: Allowed): readonly [string, Places][] {
  const near: [string, Places][] = []
  const add = (name: string, next: Places): void => {
    const rising = next.host <= next.nvme && next.nvme <= next.s3
    if (rising && next.host >= 0 && next.s3 <= last) near.push([name, next])
  }
  for (const step of [-1, 1]) {
    const word = step < 0 ? 'less' : 'more'
    const { hbm, host, nvme, s3 } = places
    // A tier that is not there stands where the one above it stands.
    const under = (above: number, place: number, moved: number): number => (place === above ? moved : place)
    const nvmeUnder = under(host, nvme, host + step)
    if (allowed.host)
      add(`${word} host`, { hbm, host: host + step, nvme: nvmeUnder, s3: under(nvme, s3, nvmeUnder) })
    if (allowed.nvme) add(`${word} NVMe`, { hbm, host, nvme: nvme + step, s3: under(nvme, s3, nvme + step) })
    if (allowed.s3) add(`${word} S3`, { hbm, host, nvme, s3: s3 + step })
  }
  return near
}
