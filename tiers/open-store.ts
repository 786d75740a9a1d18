import type { Native } from '../addon/native.ts'
import { type AdmissionSetting, Admissions, type ChanceOfUse, TierAdmission } from './admit.ts'
import { Announcer } from './announce.ts'
import type { World } from './block/clock.ts'
import { KvFailure } from './block/failures.ts'
import type { BlockKey } from './block/id.ts'
import { pastBlocksMax } from './block/limits.ts'
import { DiskTier } from './disk.ts'
import { realFiles, type StoreFiles } from './files.ts'
import { HostTier } from './host.ts'
import type { StoreMeter } from './metrics.ts'
import { NamespaceFile } from './namespace-file.ts'
import { NamespaceBook, unknownNamespace } from './namespaces.ts'
import type { Parts } from './parts.ts'
import { BlockPast } from './policy/block-past.ts'
import { defaultPolicy, type PolicyEntry, policyNamed } from './policy/register.ts'
import { Residents } from './residents.ts'
import { Runner } from './run.ts'
import { SameRequest } from './same-request.ts'
import { Scrub } from './scrub.ts'
import type { ColdTier } from './tier.ts'
import { type AdmissionOf, TieredStore } from './tiered-store.ts'

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
  /** The policy of the NVMe tier, when it has one of its own. */
  readonly nvmePolicy?: string
  /** Rules in front of the tiers below host memory; without one a tier takes every block as soon as it is there. */
  readonly admission?: Partial<Readonly<Record<ColdTier['name'], AdmissionSetting>>>
  readonly meter: StoreMeter
  /** The file system; the machine's unless a test brings its own. */
  readonly files?: StoreFiles
}

/** Opens the tiers of one node. Throws KvFailure when it cannot serve at all; then nothing stays open. */
export async function openStore(options: StoreOptions): Promise<TieredStore> {
  const { native, world, meter, s3 } = options
  const policy = policyOf(options.policy)
  const nvmePolicy = policyOf(options.nvmePolicy ?? options.policy)
  const book = new NamespaceBook(options.clusterSecret, native)
  const announcer = new Announcer(book)
  const residents = { nvme: new Residents('nvme', book, announcer), s3: new Residents('s3', book, announcer) }
  const host = new HostTier(native, world, options.hostBytes, policy)
  const runner = new Runner(native, world, meter)
  const close = async (): Promise<void> => {
    await runner.close()
    host.close()
  }
  try {
    const names = await openNames(options, book)
    const disk = await openDisk(options, nvmePolicy, runner, book, residents.nvme)
    const cold: ColdTier[] = [disk, s3].filter((tier) => tier !== null)
    const { admissions, admissionOf } = admissionsOf(options, host, disk, cold)
    for (const tier of cold) {
      tier.onChange((change) => {
        residents[tier.name].take(change)
        admissionOf(tier.name)?.took(change)
      })
    }
    for (const opened of book.all()) s3?.openNamespace?.(opened.fingerprint)
    const requests = new SameRequest()
    const visited: Parts['visited'] = (ask, keys, readyCount) => {
      if (ask === 'load') requests.loaded(keys)
      if (ask === 'store' && requests.stored(keys) === 'same') return
      host.table.visit(keys, readyCount, world.nowMs())
      disk?.visit(keys, readyCount)
    }
    const reordered: Parts['reordered'] = (keys) => {
      host.table.reorder(keys)
      disk?.reorder(keys)
    }
    const answered: Parts['answered'] = (keys, answerTokens) => {
      host.table.answered(keys, answerTokens)
      disk?.answered(keys, answerTokens)
    }
    const flows = { book, announcer, runner, host, cold, residents, admissions, visited, reordered, answered }
    const parts: Parts = { native, world, meter, ...flows }
    const scrub = disk === null ? null : new Scrub(parts, disk)
    scrub?.start()
    // What was found is state, which `holdings` tells; events are what changes from here on.
    announcer.flush()
    return new TieredStore(
      parts,
      admissionOf,
      () => names?.save(() => book.all()),
      async () => {
        await scrub?.stop()
        await Promise.all([...cold.map((tier) => tier.close()), names?.close()])
        await close()
      },
    )
  } catch (error) {
    await close()
    throw error
  }
}

function policyOf(name: string): PolicyEntry {
  const policy = policyNamed(name)
  if (policy !== null) return policy
  throw new KvFailure('KVT_CONFIG_BAD', { why: `policy ${name} is not known: use ${defaultPolicy}` })
}

/** The rules in front of the cold tiers, and what they have in common. */
function admissionsOf(
  { world, meter, admission = {} }: StoreOptions,
  host: HostTier,
  disk: DiskTier | null,
  cold: readonly ColdTier[],
): { readonly admissions: Admissions | null; readonly admissionOf: AdmissionOf } {
  const past = new BlockPast<BlockKey>(pastBlocksMax)
  const ofHost: ChanceOfUse = (key, horizonMs) => host.table.chanceOfUse(key, world.nowMs(), horizonMs)
  const ofDisk: ChanceOfUse = (key, horizonMs) => disk?.chanceOfUse(key, horizonMs) ?? null
  // The tier below remembers blocks for longer, unless the one above has kept the block for the sake of just this question.
  const chanceOf: ChanceOfUse = (key, horizonMs) => {
    const [first, second] = host.table.judgesForBelow === 'yes' ? [ofHost, ofDisk] : [ofDisk, ofHost]
    return first(key, horizonMs) ?? second(key, horizonMs)
  }
  const rules = new Map<ColdTier['name'], TierAdmission>()
  for (const tier of cold) {
    const setting = admission[tier.name]
    if (setting === undefined) continue
    rules.set(tier.name, new TierAdmission({ tier, setting, past, chanceOf, world, meter }))
  }
  const [nearest] = cold
  const rule = nearest === undefined ? undefined : rules.get(nearest.name)
  if (nearest !== undefined && rule !== undefined) {
    const holds = (key: BlockKey): boolean => nearest.bytesOf(key) !== null
    host.table.useBelow({ holds, stayMs: () => rule.stayMs(), bar: rule.bar })
  }
  const admissions = rules.size === 0 ? null : new Admissions(past, [...rules.values()])
  return { admissions, admissionOf: (tier) => rules.get(tier) ?? null }
}

/** The list of namespaces, when anything outlives the process. */
async function openNames(options: StoreOptions, book: NamespaceBook): Promise<NamespaceFile | null> {
  if (options.nvmeBytes === 0 && options.s3 === null) return null
  const names = new NamespaceFile(options.files ?? realFiles, options.dataDirectory)
  await names.restore(book)
  return names
}

async function openDisk(
  options: StoreOptions,
  policy: PolicyEntry,
  runner: Runner,
  book: NamespaceBook,
  residents: Residents,
): Promise<DiskTier | null> {
  if (options.nvmeBytes === 0) return null
  const { native, world, meter, dataDirectory: directory, nvmeBytes: byteCount } = options
  const { tier, found } = await DiskTier.open({
    ...{ native, world, meter, runner, directory, byteCount, policy },
    files: options.files ?? realFiles,
    namespaceOf: (seal) => book.withFingerprint(seal.namespace)?.id ?? unknownNamespace,
  })
  for (const seal of found) residents.add(seal)
  return tier
}
