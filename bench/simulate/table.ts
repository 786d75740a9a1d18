import { type PolicyKind, policies } from '../../tiers/policy/register.ts'
import type { Trace } from '../trace/trace.ts'
import { seededChance } from './chance.ts'
import { type HintRow, simulateHintRow } from './hint-rows.ts'
import type { Hints } from './hint-stream.ts'
import { nextUses, simulateLimit } from './limit.ts'
import { type HitLog, type Progress, simulateFlat, simulateTree, type TierResult } from './one-tier.ts'
import { simulateWatermark, type Watermark } from './watermark.ts'

/** What one simulation gets beside the trace. */
export type Run = {
  readonly capacityBlocks: number
  readonly seed: number
  /** Per reference the next request that uses its block; made when a row needs it. */
  readonly next: () => Int32Array
  readonly hitLog: HitLog
  readonly hints: Hints
  readonly progress: Progress | null
}

/** A name that `--policy` takes. Offline ones know the future and are not for the daemon; emulations show what
 *  another manager would make of the same memory. */
export type SimulatedPolicy = {
  readonly name: string
  readonly about: string
  readonly kind: PolicyKind | 'offline' | 'emulation'
  readonly run: (trace: Trace, run: Run) => TierResult
}

const online: readonly SimulatedPolicy[] = policies.map((entry) => ({
  name: entry.name,
  about: entry.about,
  kind: entry.kind,
  run: (trace, { capacityBlocks, seed, hitLog, hints, progress }) => {
    if (entry.flat !== null) {
      const policy = entry.flat.make(trace.nodeCount, capacityBlocks)
      return simulateFlat(trace, policy, entry.flat.order, capacityBlocks, hitLog, progress)
    }
    const policy = entry.make({
      rowMax: trace.nodeCount,
      capacityBlocks,
      chance: seededChance(seed),
      rowsAreNames: true,
    })
    return simulateTree(trace, policy, capacityBlocks, null, hitLog, progress, hints)
  },
}))

function hintRow(name: string, about: string, hint: HintRow): SimulatedPolicy {
  return {
    name,
    about,
    kind: 'offline',
    run: (trace, { capacityBlocks, next, hitLog, progress }) =>
      simulateHintRow(trace, next(), hint, capacityBlocks, hitLog, progress),
  }
}

function watermark(name: string, about: string, mark: Watermark): SimulatedPolicy {
  return {
    name,
    about,
    kind: 'emulation',
    run: (trace, { capacityBlocks, hitLog, progress }) =>
      simulateWatermark(trace, mark, capacityBlocks, hitLog, progress),
  }
}

/** Every name that `--policy` takes, with one sentence each. */
export const simulatedPolicies: readonly SimulatedPolicy[] = [
  ...online,
  watermark('watermark-mooncake', 'LRU that clears 5 % when 90 % full, as Mooncake does by default.', {
    high: 0.9,
    batch: 0.05,
  }),
  watermark('watermark-lmcache', 'LRU that clears 20 % when 80 % full, as LMCache does by default.', {
    high: 0.8,
    batch: 0.2,
  }),
  watermark('watermark-flexkv', 'LRU that clears 5 % when 70 % full, as FlexKV does by default.', {
    high: 0.7,
    batch: 0.05,
  }),
  hintRow('hint-again', 'Offline: LRU that is told per block whether it will be used again.', {
    tells: 'again',
    wrongPercent: 0,
  }),
  hintRow('hint-again-20', 'Offline: as hint-again, with the hints of every fifth request wrong.', {
    tells: 'again',
    wrongPercent: 20,
  }),
  hintRow('hint-when', 'Offline: told per block how soon it will be used: 30 s, 300 s, later, never.', {
    tells: 'when',
  }),
  {
    name: 'belady',
    about:
      'The limit: drops, or does not bring in, the block whose next use is farthest; keeps prefixes whole.',
    kind: 'offline',
    run: (trace, { capacityBlocks, next, hitLog, progress }) =>
      simulateLimit(trace, next(), capacityBlocks, hitLog, progress),
  },
]

export function simulatedPolicyNamed(name: string): SimulatedPolicy | null {
  return simulatedPolicies.find((entry) => entry.name === name) ?? null
}

/** The future of a trace, worked out once for all rows that need it. */
export function lazyNextUses(trace: Trace): () => Int32Array {
  let made: Int32Array | null = null
  return () => {
    made ??= nextUses(trace)
    return made
  }
}
