import { tierNames } from '../tiers/block/id.ts'
import type { DaemonStatus } from './status.ts'

/** One reason that shows in the counters, and what to do about it. */
export type Finding = { readonly finding: string; readonly says: string }

/** Why the hit rate is what it is, from the counters alone: the first break in the road from "an engine is attached" to "its
 *  requests were cheaper". Pure. */
export function explain(status: DaemonStatus): readonly Finding[] {
  const findings = [...tierFindings(status)]
  const first = firstBreak(status)
  if (first !== null) findings.unshift(first)
  findings.push(...namespaceFindings(status), ...refusalFindings(status))
  return findings
}

function firstBreak(status: DaemonStatus): Finding | null {
  const { sessions, stores, loads, lookups, requests } = status
  const found = (finding: string, says: string): Finding => ({ finding, says })
  const loaded = sum(loads.loadedBlocksByTier)
  const cached = sum(requests.tokensByTier)
  if (cached > 0) {
    const share = ((100 * cached) / requests.promptTokens).toFixed(1)
    return found('hits', `${share} % of ${requests.promptTokens} reported prompt tokens need not be computed`)
  }
  if (sessions.length === 0 && stores.wantedBlocks + loads.wantedBlocks === 0) {
    return found('no_engine', `no engine has attached: start one with --daemon ${status.socket}`)
  }
  if (sessions.length > 0 && sessions.every(({ namespaces }) => namespaces.length === 0)) {
    return found(
      'no_namespace',
      'engines are attached but opened no namespace: their adapter has switched KV off; its own status says why',
    )
  }
  if (stores.wantedBlocks === 0) {
    return found(
      'nothing_offered',
      'engines offered no block: no prompt was as long as one block yet, or their adapter does not save',
    )
  }
  const dropped = sum(stores.droppedBlocksByWhy)
  if (dropped >= stores.wantedBlocks) {
    return found(
      'all_dropped',
      `all ${dropped} offered blocks were dropped: ${listed(stores.droppedBlocksByWhy)}`,
    )
  }
  if (loads.wantedBlocks + lookups.blocks === 0) {
    return found('never_asked', 'blocks are stored, but no engine asked for any: no second request came yet')
  }
  if (loads.possibleBlocks === 0) {
    return found(
      'nothing_shared',
      `none of ${loads.wantedBlocks} wanted blocks was stored before: prompts differ from their start, or it was evicted`,
    )
  }
  if (loaded === 0) {
    return found(
      'nothing_loaded',
      `${loads.possibleBlocks} wanted blocks were held, none was loaded: ${listed(loads.countByStop)}`,
    )
  }
  if (requests.reportedCount === 0) {
    return found(
      'no_reports',
      `${loaded} blocks were loaded, but no engine has reported a finished request yet`,
    )
  }
  return found('not_used', `${loaded} blocks were loaded, but engines report no token that came from them`)
}

function tierFindings(status: DaemonStatus): Finding[] {
  const findings: Finding[] = []
  const blockBytes = Math.max(0, ...status.sessions.flatMap((s) => s.namespaces.map((n) => n.blockBytes)))
  for (const name of tierNames) {
    if (name === 'hbm') continue
    const tier = status.tiers[name]
    if (tier.state === 'resting') {
      findings.push({
        finding: `${name}_resting`,
        says: `tier ${name} is left out after failures: ${tier.why}`,
      })
    }
    const dry = tier.admission?.dry ?? null
    if (tier.admission !== undefined && dry !== null) {
      const { rule, refusedBlocksByWhy } = tier.admission
      const minutes = Math.floor(dry.ms / 60_000)
      findings.push({
        finding: `${name}_admits_nothing`,
        says:
          `tier ${name} took none of the last ${dry.blocks} blocks offered in ${minutes} min: ` +
          `rule ${rule} refused since the start ${listed(refusedBlocksByWhy)}; give --${name}-admission all` +
          `${'budget' in refusedBlocksByWhy ? ' or a larger --nvme-write-bytes-per-day' : ''}`,
      })
    }
    if (tier.state === 'serving' && tier.capacityBytes > 0 && tier.capacityBytes < blockBytes * 64) {
      const roomBlocks = Math.floor(tier.capacityBytes / blockBytes)
      const says = `tier ${name} has room for ${roomBlocks} blocks only: a few prompts push each other out`
      findings.push({ finding: `${name}_small`, says })
    }
  }
  return findings
}

/** Engines that could share blocks, were it not for one field of their namespaces. */
function namespaceFindings(status: DaemonStatus): Finding[] {
  const workersOf = new Map<string, Set<string>>()
  const shapesOf = new Map<string, Set<string>>()
  for (const { worker, namespaces } of status.sessions) {
    for (const { model, tenant, blockTokens, blockBytes } of namespaces) {
      const name = `${tenant} ${model}`
      workersOf.set(name, (workersOf.get(name) ?? new Set()).add(worker))
      shapesOf.set(name, (shapesOf.get(name) ?? new Set()).add(`${blockTokens} tokens, ${blockBytes} bytes`))
    }
  }
  const findings: Finding[] = []
  for (const [name, shapes] of shapesOf) {
    if (shapes.size < 2 || (workersOf.get(name)?.size ?? 0) < 2) continue
    const says = `engines of one model have blocks of different shapes (${[...shapes].join('; ')}) and cannot share them`
    findings.push({ finding: 'shapes_differ', says })
  }
  return findings
}

function refusalFindings(status: DaemonStatus): Finding[] {
  const findings: Finding[] = []
  const failed = sum(status.asks.failedByCode)
  if (failed > 0) {
    const says = `${failed} asks of engines failed: ${listed(status.asks.failedByCode)}`
    findings.push({ finding: 'asks_failed', says })
  }
  const refused = sum(status.refusedPeersByWhy)
  if (refused > 0) {
    const says = `${refused} connections were refused: ${listed(status.refusedPeersByWhy)}`
    findings.push({ finding: 'peers_refused', says })
  }
  return findings
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

/** `deadline 3, absent 1`, the largest first. */
function listed(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts).filter(([, count]) => count > 0)
  if (entries.length === 0) return 'no reason was given'
  return entries
    .sort(([, left], [, right]) => right - left)
    .map(([why, count]) => `${why} ${count}`)
    .join(', ')
}
