import type { TierName } from '../block/id.ts'
import { planBlocksMax } from '../block/limits.ts'
import type { LoadStop } from '../block/wire.ts'
import { bestCut, type Cut, type MsOf } from './cost.ts'

export type LoadDemand = {
  /** Nearest tier that holds each wanted block, in chain order; null where none does. */
  readonly sources: readonly (TierName | null)[]
  readonly blockBytes: number
  /** What computing one block costs the engine, in milliseconds; 0 when unknown. */
  readonly prefillMsPerBlock: number
  readonly leftMs: number
  /** Host slots that the climbing blocks may use at once. */
  readonly hostSlots: number
  readonly msOf: MsOf
}

/** What to load: a prefix, cut into groups that climb and are copied one after the other. */
export type LoadPlan = {
  readonly groups: readonly LoadGroup[]
  readonly blocks: number
  readonly loadMs: number
  /** Why the plan ends where it does. */
  readonly stop: LoadStop
}
export type LoadGroup = { readonly first: number; readonly sources: readonly TierName[] }

/** Pure. Decides; the load flow obeys. Cut at the first absent block (a prefix with a hole is useless), then where
 *  computing is
 *  cheaper than loading, then into groups small enough for the host slots. */
export function planLoad(demand: LoadDemand): LoadPlan {
  const present: TierName[] = []
  for (const source of demand.sources) {
    if (source === null) break
    present.push(source)
  }
  const cut = bestCut(present, demand.blockBytes, demand.prefillMsPerBlock, demand.leftMs, demand.msOf)
  const groupMax = Math.max(1, Math.min(planBlocksMax, Math.floor(demand.hostSlots / 4)))
  const groups: LoadGroup[] = []
  for (let first = 0; first < cut.blocks; first += groupMax) {
    groups.push({ first, sources: present.slice(first, Math.min(cut.blocks, first + groupMax)) })
  }
  return {
    groups,
    blocks: cut.blocks,
    loadMs: cut.loadMs,
    stop: stopOf(cut, present.length < demand.sources.length),
  }
}

function stopOf(cut: Cut, hasGap: boolean): LoadStop {
  if (cut.ends === 'deadline') return 'deadline'
  if (cut.ends === 'cost') return 'slower_than_recompute'
  return hasGap ? 'absent' : 'complete'
}

/** Which blocks a demotion has to write so that the tier below can stand alone: the block and those of its ancestors
 *  that are
 *  not there, root first. `chain` holds the block last. */
export function planDemotion<Key>(chain: readonly Key[], isBelow: (key: Key) => boolean): Key[] {
  return chain.filter((key) => !isBelow(key))
}
