import { defaultPolicy } from '../../tiers/policy/register.ts'
import { answersOnly } from '../simulate/hint-stream.ts'
import { simulatedPolicyNamed } from '../simulate/table.ts'
import { expandTrace, type TraceTree } from '../trace/trace.ts'
import type { HeldBlocks } from './distance.ts'

const seed = 7

/** Leading blocks that the lowest tier holds when a request arrives, over all block references. */
export type BlockHitRates = { readonly lru: number; readonly terrace: number }

/** The search knows LRU alone; what the default policy makes of the size that was found takes one replay. */
export function blockHitRates(tree: TraceTree, held: HeldBlocks, place: number): BlockHitRates | null {
  const capacityBlocks = held.capacities[place] ?? 0
  if (capacityBlocks === 0) return null
  const run = { capacityBlocks, seed, next: noFuture, hitLog: null, hints: answersOnly, progress: null }
  const replayed = simulatedPolicyNamed(defaultPolicy)?.run(expandTrace(tree), run)
  const share = (hits: number): number => hits / Math.max(1, tree.referenceCount)
  return { lru: share(held.hits[place] ?? 0), terrace: share(replayed?.hits ?? 0) }
}

function noFuture(): Int32Array {
  throw new Error('the default policy does not know the future')
}
