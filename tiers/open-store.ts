import type { Native } from '../addon/native.ts'
import { Announcer } from './announce.ts'
import type { World } from './block/clock.ts'
import { KvFailure } from './block/failures.ts'
import { HostTier } from './host.ts'
import type { StoreMeter } from './metrics.ts'
import { NamespaceBook } from './namespaces.ts'
import type { Parts } from './parts.ts'
import { policyNamed } from './policy/register.ts'
import { Residents } from './residents.ts'
import { Runner } from './run.ts'
import type { BlockStore } from './store.ts'
import type { ColdTier } from './tier.ts'
import { TieredStore } from './tiered-store.ts'

export type StoreOptions = {
  readonly native: Native
  readonly world: World
  readonly clusterSecret: Uint8Array
  /** Holds the slab, the catalog and the list of namespaces. It exists, is writable and locked by the caller. */
  readonly dataDirectory: string
  readonly hostBytes: number
  /** Size of the NVMe slab; 0 for none. */
  readonly nvmeBytes: number
  /** Open already; closed by the store. */
  readonly s3: ColdTier | null
  /** Name of an eviction policy, see `policy/register.ts`. */
  readonly policy: string
  readonly meter: StoreMeter
}

/** Opens the tiers of one node. Throws KvFailure when it cannot serve at all; then nothing stays open. */
export async function openStore(options: StoreOptions): Promise<BlockStore> {
  const { native, world, meter } = options
  const policy = policyNamed(options.policy)
  if (policy === null) {
    throw new KvFailure('KVT_CONFIG_BAD', { why: `policy ${options.policy} is not known: use lru` })
  }
  const book = new NamespaceBook(options.clusterSecret, native)
  const announcer = new Announcer(book)
  const host = new HostTier(native, world, options.hostBytes, policy)
  const runner = new Runner(native, world, meter)
  const cold: ColdTier[] = []
  if (options.s3 !== null) cold.push(options.s3)
  const residents = { nvme: new Residents('nvme', book, announcer), s3: new Residents('s3', book, announcer) }
  for (const tier of cold) tier.onChange((change) => residents[tier.name].take(change))
  const parts: Parts = {
    native,
    world,
    meter,
    book,
    announcer,
    runner,
    host,
    cold,
    residents,
    visited: (keys, readyCount) => host.table.visit(keys, readyCount, world.nowMs()),
  }
  return new TieredStore(
    parts,
    () => undefined,
    async () => {
      await Promise.all(cold.map((tier) => tier.close()))
      await runner.close()
      host.close()
    },
  )
}
