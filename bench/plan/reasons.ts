import { shown } from '../report/format.ts'
import type { KvShape } from './model.ts'
import type { Plan } from './plan.ts'
import { bytesPerGb, type Link, type Site, secondsPerMonth } from './site.ts'

/** When a tier's load is worth it, and when keeping a block is. */
type BreakEven = {
  readonly tier: string
  readonly tokensPerSecond: number
  /** Speed of the load over the speed of prefill; below 1 loading is slower than computing. */
  readonly timesPrefill: number
  /** Shortest prefix for which the load with its delay beats computing; null when none does. */
  readonly tokensMin: number | null
  /** A block that is used again within this time pays for its place; null for a free place. */
  readonly keepSeconds: number | null
}

export function breakEvens(site: Site): readonly BreakEven[] {
  const { prices, links } = site
  return [
    breakEven(site, 'host', links.host, prices.dramGbMonth),
    breakEven(site, 'nvme', links.nvme, prices.nvmeGbMonth),
    breakEven(site, 's3', links.s3, prices.s3GbMonth),
  ]
}

function breakEven(site: Site, tier: string, link: Link, gbMonth: number): BreakEven {
  const tokensPerSecond = link.bytesPerSecond / site.bytesPerToken
  const perToken = site.prefill.linear
  const gain = perToken - (site.overlap ? 0 : 1 / tokensPerSecond)
  const worthwhile = 1 / tokensPerSecond < perToken && gain > 0
  const dollarsSaved = (perToken * site.prices.gpuHour) / 3_600
  const dollarsPerSecond = ((site.bytesPerToken / bytesPerGb) * gbMonth) / secondsPerMonth
  return {
    tier,
    tokensPerSecond,
    timesPrefill: tokensPerSecond * perToken,
    tokensMin: worthwhile ? Math.ceil(link.latencySeconds / gain) : null,
    keepSeconds: dollarsPerSecond === 0 ? null : dollarsSaved / dollarsPerSecond,
  }
}

/** A drive that lasts shorter than this is called out. */
const wearYearsMin = 3

/** Why the plan is what it is, in sentences. */
export function reasons(plan: Plan, shape: KvShape): readonly string[] {
  const { search, site, bytes } = plan
  const { best, alone } = search
  const lines: string[] = []
  const perSecond = site.bytesPerToken / site.prefill.linear
  const speed = shown(1 / site.prefill.linear, 'count')
  lines.push(
    `${shape.name} takes ${shown(site.bytesPerToken, 'bytes')} of KV per token; at ${speed} tokens/s of prefill ` +
      `a link must bring ${Number((perSecond / bytesPerGb).toPrecision(2))} GB/s to break even.`,
  )
  if (site.hbmBytes === 0) {
    lines.push(
      'What engines hold themselves is taken as nothing: --hbm-bytes says it, and then less is needed below.',
    )
  }
  for (const { tier, timesPrefill } of breakEvens(site)) {
    if (timesPrefill < 1)
      lines.push(`${tier} is slower than prefill (${timesPrefill.toFixed(2)} times): loads are refused.`)
  }
  const { prefillSeconds } = alone.outcome
  const saved = prefillSeconds === 0 ? 0 : 1 - best.outcome.prefillSeconds / prefillSeconds
  if (bytes.host + bytes.nvme + bytes.s3 === 0) {
    lines.push('No tier pays: at these prices and speeds computing again is cheaper than keeping.')
  } else {
    const gain = shown(alone.cost.gpu - best.cost.gpu, 'dollars')
    const spent = shown(best.cost.total - best.cost.gpu, 'dollars')
    lines.push(
      `The tiers take ${shown(saved, 'share')} of the prefill off the engines: ` +
        `${gain} a month of engine time for ${spent} of tiers.`,
    )
  }
  for (const { name, option } of plan.neighbours) {
    const more = option.cost.total - best.cost.total
    const gpu = option.cost.gpu - best.cost.gpu
    const change = `${gpu < 0 ? 'falls' : 'rises'} by ${shown(Math.abs(gpu), 'dollars')}`
    const engine = `engine time ${Math.abs(gpu) < 0.01 ? 'stays' : change}`
    if (more < 0) lines.push(`One step ${name} would be cheaper but misses the goal.`)
    else lines.push(`One step ${name}: ${engine}, the tiers ${tierChange(more - gpu)}.`)
  }
  const years = plan.activity.driveYears
  if (years !== null && years < wearYearsMin) {
    const writes = plan.activity.driveWritesPerDay.toFixed(1)
    lines.push(
      `NVMe is rewritten ${writes} times a day and worn out in ${years.toFixed(1)} years: ` +
        'admit less to it, or buy more of it than the hits need.',
    )
  }
  lines.push(...goalReasons(plan))
  return lines
}

function tierChange(dollars: number): string {
  return dollars < 0 ? `cost ${shown(-dollars, 'dollars')} less` : `cost ${shown(dollars, 'dollars')} more`
}

function goalReasons(plan: Plan): string[] {
  const { goal } = plan.site
  if (goal.ttftSeconds === null) return []
  const wish = `${shown(goal.share, 'share')} within ${shown(goal.ttftSeconds, 'seconds')}`
  if (!plan.search.best.meets) {
    const soonest = shown(plan.search.soonest, 'seconds')
    return [
      `The goal (${wish}) is out of reach of any tiers: without any queue the best is ${soonest}; a faster prefill is needed.`,
    ]
  }
  if (plan.engines === null)
    return [
      `The goal (${wish}) is met without a queue, but no number of engines keeps the queue short enough.`,
    ]
  const alone =
    plan.enginesAlone === null
      ? 'no number of engines without the tiers'
      : `${plan.enginesAlone} without the tiers`
  return [`The goal (${wish}) takes ${plan.engines} engines with these tiers, ${alone}.`]
}
