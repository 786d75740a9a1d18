import { adaptivePolicy } from './adaptive.ts'
import { Arc } from './arc.ts'
import { Clock, Sieve } from './clock.ts'
import type { EvictionPolicy, PolicySizes } from './eviction.ts'
import type { FlatPolicy, TouchOrder } from './flat.ts'
import { FlatEviction } from './flat-eviction.ts'
import { Hazard, type HazardKind } from './hazard.ts'
import { LeafOrder, type LeafRank } from './leaf-order.ts'
import { rankByAge, rankByAgedDepthUses, rankByAgedUses, rankByRecency, rankByUses } from './leaf-ranks.ts'
import { Lfu } from './lfu.ts'
import { Fifo, Lru } from './lru.ts'
import { probationPolicy } from './probation.ts'
import { S3Fifo } from './s3-fifo.ts'
import { Slru } from './slru.ts'
import { terracePolicy } from './terrace.ts'
import { TinyLfu } from './tiny-lfu.ts'
import { TwoQueue } from './two-queue.ts'

/** How a policy looks for its victim: along lists, in a heap of leaves, or among leaves drawn at random. */
export type PolicyKind = 'list' | 'leaves' | 'sampled'

type FlatMaker = (rowMax: number, capacityBlocks: number) => FlatPolicy

/** One row of the table from which `terrace bench policies`, the configuration and the docs are made. */
export type PolicyEntry = {
  readonly name: string
  readonly about: string
  readonly kind: PolicyKind
  /** It uses the hints in the notes of a visit. */
  readonly heedsHints: boolean
  /** It can say how likely a block is used again, which some admission rules ask for. */
  readonly tellsChances: boolean
  /** The policy as the daemon's block table takes it. */
  readonly make: (sizes: PolicySizes) => EvictionPolicy
  /** The flat policy under it with its order of touching, for the bench's fast loop; null when it knows chains. */
  readonly flat: { readonly order: TouchOrder; readonly make: FlatMaker } | null
}

function flatPair(name: string, about: string, make: FlatMaker): readonly PolicyEntry[] {
  const entry = (suffix: string, order: TouchOrder, says: string): PolicyEntry => ({
    name: name + suffix,
    about: `${about}; ${says}`,
    kind: 'list',
    heedsHints: false,
    tellsChances: false,
    make: (sizes) =>
      new FlatEviction(name + suffix, order, sizes, (numberMax) => make(numberMax, sizes.capacityBlocks)),
    flat: { order, make },
  })
  return [
    entry('', 'leaf-first', 'a request touches its last block first, so tails leave first.'),
    entry('-root-first', 'root-first', 'a request touches its first block first, so roots leave first.'),
  ]
}

function leafOnly(name: string, about: string, rank: (sizes: PolicySizes) => LeafRank): PolicyEntry {
  const make = (sizes: PolicySizes): EvictionPolicy => new LeafOrder(name, sizes, rank(sizes))
  return { name, about, kind: 'leaves', heedsHints: false, tellsChances: false, make, flat: null }
}

function hazard(name: string, about: string, kind: HazardKind): PolicyEntry {
  return {
    name,
    about,
    kind: 'sampled',
    heedsHints: false,
    tellsChances: false,
    make: (sizes) => new Hazard(name, sizes, kind),
    flat: null,
  }
}

/** The policy of a tier for which nobody names another. */
export const defaultPolicy = 'terrace'

/** Every eviction policy, by name. */
export const policies: readonly PolicyEntry[] = [
  {
    name: 'terrace',
    about:
      'The default: evicts the leaf, or refuses the newcomer, whose place is expected to bring the fewest uses per second.',
    kind: 'sampled',
    heedsHints: true,
    tellsChances: true,
    make: terracePolicy,
    flat: null,
  },
  {
    name: 'probation',
    about:
      'For a tier above one whose writes cost: keeps what still has to show whether it deserves a write; the rest leaves first.',
    kind: 'sampled',
    heedsHints: true,
    tellsChances: true,
    make: probationPolicy,
    flat: null,
  },
  {
    name: 'adaptive',
    about:
      'Follows whichever of five shadow caches (LRU, S3-FIFO, ARC, W-TinyLFU, hazard) hit most lately; refuses what that refuses.',
    kind: 'sampled',
    heedsHints: false,
    tellsChances: false,
    make: adaptivePolicy,
    flat: null,
  },
  ...flatPair('fifo', 'Oldest block leaves', (rowMax) => new Fifo(rowMax)),
  ...flatPair('lru', 'Least recently used block leaves', (rowMax) => new Lru(rowMax)),
  ...flatPair('clock', 'Second chance: one bit per block buys another round', (rowMax) => new Clock(rowMax)),
  ...flatPair('lfu', 'Least often used block leaves; counts never age', (rowMax) => new Lfu(rowMax)),
  ...flatPair(
    'sieve',
    'A hand walks the queue and spares used blocks in place',
    (rowMax) => new Sieve(rowMax),
  ),
  ...flatPair(
    'slru',
    'Probation and a protected segment of 80 %',
    (rowMax, capacity) => new Slru(rowMax, capacity),
  ),
  ...flatPair(
    '2q',
    'A first-in-first-out quarter in front of an LRU; ghosts enter the LRU',
    (rowMax, capacity) => new TwoQueue(rowMax, capacity),
  ),
  ...flatPair(
    's3-fifo',
    'A small queue filters blocks that are used once',
    (rowMax, capacity) => new S3Fifo(rowMax, capacity, 1),
  ),
  ...flatPair(
    's3-fifo-2',
    'As s3-fifo, but two uses are needed to stay',
    (rowMax, capacity) => new S3Fifo(rowMax, capacity, 2),
  ),
  ...flatPair(
    'arc',
    'Two LRU lists, used once and again, shared out by ghost hits',
    (rowMax, capacity) => new Arc(rowMax, capacity),
  ),
  ...flatPair(
    'w-tinylfu',
    'A window of 1 % in front of a frequency-guarded LRU',
    (rowMax, capacity) => new TinyLfu(rowMax, capacity, 0.01),
  ),
  ...flatPair(
    'w-tinylfu-20',
    'As w-tinylfu with a window of 20 %',
    (rowMax, capacity) => new TinyLfu(rowMax, capacity, 0.2),
  ),
  ...flatPair(
    'w-tinylfu-50',
    'As w-tinylfu with a window of 50 %',
    (rowMax, capacity) => new TinyLfu(rowMax, capacity, 0.5),
  ),
  leafOnly(
    'lru-leaf-only',
    'LRU over the leaves of the prefix tree; the path being served is never a victim.',
    rankByRecency,
  ),
  leafOnly('fifo-leaf-only', 'FIFO over the leaves of the prefix tree.', rankByAge),
  leafOnly('lfu-leaf-only', 'LFU over the leaves of the prefix tree.', rankByUses),
  leafOnly(
    'lfu-aged',
    'LFU over leaves whose counts start at the level of the last victims.',
    rankByAgedUses,
  ),
  leafOnly('gdsf', 'LFU-aged over leaves where deep blocks cost more.', rankByAgedDepthUses),
  hazard('hazard', 'Expected hits per second of residence, learned by class and age; 24 leaves drawn.', {
    ages: 'time',
    draws: 24,
    kept: 2,
    decay: 0.97,
  }),
  hazard('hazard-90', 'As hazard, forgetting faster (0.90).', {
    ages: 'time',
    draws: 24,
    kept: 2,
    decay: 0.9,
  }),
  hazard('hazard-256', 'As hazard, but as choosy as of 256 leaves (32 drawn, 8 kept), forgetting at 0.95.', {
    ages: 'time',
    draws: 32,
    kept: 8,
    decay: 0.95,
  }),
  hazard('hazard-visits', 'As hazard with ages counted in requests.', {
    ages: 'visits',
    draws: 24,
    kept: 2,
    decay: 0.9,
  }),
]

export function policyNamed(name: string): PolicyEntry | null {
  return policies.find((entry) => entry.name === name) ?? null
}
