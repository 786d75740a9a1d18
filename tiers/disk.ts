import type { Native, RegionHandle } from '../addon/native.ts'
import { Arena } from './arena.ts'
import { assert } from './block/assert.ts'
import type { World } from './block/clock.ts'
import { KvFailure } from './block/failures.ts'
import type { BlockKey, NamespaceId, Slot } from './block/id.ts'
import { slotPageBytes } from './block/limits.ts'
import { type Damage, damageOf, readSeal, type Seal, sealByteCount, writeSeal } from './block/seal.ts'
import { type Catalog, type CatalogEntry, catalogFailureOf } from './catalog.ts'
import type { SlabFile, StoreFiles } from './files.ts'
import type { StoreMeter } from './metrics.ts'
import { noRow, type Row } from './policy/eviction.ts'
import type { PolicyEntry } from './policy/register.ts'
import { diskSlotBytes, recoverSlab } from './recover.ts'
import { Rest } from './rest.ts'
import { VictimChooser } from './room.ts'
import type { Ended, Runner } from './run.ts'
import {
  copyOffset,
  decodeTable,
  encodeTable,
  newerTable,
  newTable,
  type SegmentTable,
  segmentCountOf,
  slabFormat,
  type TableRead,
  tableCopyBytes,
  withSlotPages,
} from './slab.ts'
import type { BlockTable, Claimed, Identity } from './table.ts'
import type {
  ColdTier,
  ReadResult,
  ReadWanted,
  TierChange,
  TierUsage,
  WriteResult,
  WriteWanted,
} from './tier.ts'
import { tierTable } from './tier-table.ts'

export type DiskOptions = {
  readonly native: Native
  readonly world: World
  readonly meter: StoreMeter
  readonly runner: Runner
  readonly files: StoreFiles
  readonly directory: string
  readonly byteCount: number
  readonly policy: PolicyEntry
  /** The namespace of a seal found in the slab: known again from an earlier life, or a number of its own that nobody
   *  asks for. */
  readonly namespaceOf: (seal: Seal) => NamespaceId
}

type Opened = { readonly file: SlabFile; readonly region: RegionHandle; readonly slab: SegmentTable }
type Writing = { readonly wanted: WriteWanted; readonly row: Row; readonly slot: Slot; readonly at: number }

/** Blocks on a local drive: one preallocated file of slots, each a header page and a payload. */
export class DiskTier implements ColdTier {
  readonly name = 'nvme'
  readonly #options: DiskOptions
  readonly #file: SlabFile
  readonly #region: RegionHandle
  readonly #catalog: Catalog
  readonly #arena: Arena
  readonly #table: BlockTable
  readonly #chooser: VictimChooser
  readonly #rest: Rest
  /** Blocks of an earlier life whose payload nobody has read since. */
  readonly #unproved = new Set<BlockKey>()
  readonly #listeners: ((change: TierChange) => void)[] = []
  #slab: SegmentTable
  #isCatalogLost = false
  #tableWrite: Promise<void> = Promise.resolve()
  /** Removals from the catalog that a reuse of the slots has to wait for. */
  #removals: Promise<void> = Promise.resolve()

  private constructor(options: DiskOptions, opened: Opened, catalog: Catalog) {
    const { world, meter, policy, byteCount } = options
    this.#options = options
    this.#file = opened.file
    this.#region = opened.region
    this.#slab = opened.slab
    this.#catalog = catalog
    const segmentCount = segmentCountOf(opened.slab, byteCount)
    this.#arena = new Arena(segmentCount * opened.slab.segmentBytes, opened.slab.segmentBytes)
    this.#table = tierTable(world, this.#arena, byteCount, policy, diskSlotBytes)
    this.#chooser = new VictimChooser(this.#table, this.#arena)
    this.#rest = new Rest(world, () => meter.add('terrace_tier_rests_total', { tier: 'nvme' }))
  }

  /** Opens the slab of a directory, or makes it, and finds its blocks again. */
  static async open(options: DiskOptions): Promise<{ tier: DiskTier; found: readonly Seal[] }> {
    const opened = await openSlab(options)
    const catalog = await options.files.openCatalog(`${options.directory}/catalog`, options.world)
    const tier = new DiskTier(options, opened, catalog)
    return { tier, found: await tier.#recover() }
  }

  /** Tells the policy that a request walked a chain. */
  visit(keys: readonly BlockKey[], readyCount: number): void {
    this.#table.visit(keys, readyCount, this.#options.world.nowMs())
  }

  answered(keys: readonly BlockKey[], answerTokens: number): void {
    this.#table.answered(keys, answerTokens)
  }

  reorder(keys: readonly BlockKey[]): void {
    this.#table.reorder(keys)
  }

  /** Every block that can be read now; the scrubber walks them. */
  keys(): BlockKey[] {
    return Array.from(this.#table.sealed(), ({ key }) => key)
  }

  /** What a read of the block must find, or null when it is not there. */
  wantedOf(key: BlockKey): Identity | null {
    const row = this.#table.sealedRowOf(key)
    return row === noRow ? null : this.#table.at(row).identity
  }

  /** Checks the invariants; tests call it. */
  check(): void {
    this.#table.check()
  }

  bytesOf(key: BlockKey): number | null {
    const row = this.#table.sealedRowOf(key)
    return row === noRow ? null : this.#table.at(row).identity.payloadBytes
  }

  blocksMaxOf(payloadBytes: number): number {
    return this.#arena.slotsMax(diskSlotBytes(payloadBytes))
  }

  /** Chance of a use within the horizon, resident or not; null where the policy does not know. */
  chanceOfUse(key: BlockKey, horizonMs: number): number | null {
    return this.#table.chanceOfUse(key, this.#options.world.nowMs(), horizonMs)
  }

  async read(wanted: readonly ReadWanted[], deadlineMs: number): Promise<readonly ReadResult[]> {
    const restMs = this.#rest.leftMs
    if (restMs > 0) return wanted.map(() => ({ as: 'busy', retryAfterMs: restMs }))
    if (this.#options.world.nowMs() >= deadlineMs) return wanted.map(() => ({ as: 'busy', retryAfterMs: 0 }))
    return Promise.all(wanted.map((one) => this.#readOne(one)))
  }

  /** Read protocol: pin, read, check every field of the seal, compare the generation again, unpin. */
  async #readOne({ wanted, into }: ReadWanted): Promise<ReadResult> {
    const { world, runner } = this.#options
    const pinned = this.#table.pin(wanted.key, world.nowMs())
    if (pinned === null) return { as: 'missing' }
    if (pinned.identity.payloadBytes !== wanted.payloadBytes) {
      this.#table.unpin(pinned.lease)
      return { as: 'damaged', why: 'length' }
    }
    const done = await runner.run({
      operation: 'read',
      sourceRegion: this.#region,
      source: this.#offsetOf(pinned.slot.index),
      targetRegion: into.region,
      target: into.offset,
      byteCount: wanted.payloadBytes,
      place: 0,
      checksum: -1,
      seal: null,
    })
    if (done.as === 'overdue') {
      this.#rest.failed('no answer from the drive')
      const quiet = done.ended.then(() => this.#table.unpin(pinned.lease))
      return { as: 'busy', retryAfterMs: this.#rest.leftMs, quiet }
    }
    const generation = this.#table.stillHolds(pinned.lease)
    const isIndexed = this.#table.sealedRowOf(wanted.key) === pinned.lease.row
    this.#table.unpin(pinned.lease)
    if (done.as === 'failed') {
      this.#rest.failed(done.why)
      return { as: 'failed', why: done.why }
    }
    this.#rest.went()
    if (generation === 'changed') return { as: 'missing' }
    const read = readSeal(done.header, 0)
    const exactly = { ...wanted, generation: pinned.slot.generation, checksum: pinned.checksum }
    const why = damageOf(read, exactly, done.checksum)
    // A copy that left while it was read may be as bad as it likes; the key may have another, good one by now.
    if (why !== null && !isIndexed) return { as: 'missing' }
    return this.#judge(wanted.key, read.as === 'seal' ? read.seal : null, why)
  }

  /** A hint of an earlier life that points at a slot with another owner is no damage: the block is simply not there. */
  #judge(key: BlockKey, seal: Seal | null, why: Damage | null): ReadResult {
    const unproved = this.#unproved.delete(key)
    if (why === null) {
      assert(seal !== null, 'an undamaged read has a seal')
      return { as: 'found', seal }
    }
    if (!unproved || !['magic', 'wrong_key', 'stale_generation'].includes(why)) return { as: 'damaged', why }
    this.#options.meter.add('terrace_tier_recovery_refused_total', { why: 'stale_hint' })
    this.drop(key)
    this.#tell({ kind: 'gone', keys: [key], why: 'evicted' })
    return { as: 'missing' }
  }

  /** Write protocol: claim, un-index the old owner, payload, header last, flush, index. The flush is shared by the batch. */
  async write(blocks: readonly WriteWanted[]): Promise<readonly WriteResult[]> {
    if (this.#rest.leftMs > 0) return blocks.map(() => ({ as: 'refused', why: 'resting' }))
    const results: WriteResult[] = []
    const writing: Writing[] = []
    const evicted: BlockKey[] = []
    const above = blocks.map(({ seal }) => seal.parent).filter((parent) => parent !== null)
    const claimed = this.#table.wantChain(above)
    for (const [at, wanted] of blocks.entries()) {
      const slot = this.#claim(wanted, evicted)
      if (slot.as === 'claimed') writing.push({ wanted, row: slot.row, slot: slot.slot, at })
      else results[at] = slot
    }
    claimed()
    if (evicted.length > 0) this.#tell({ kind: 'gone', keys: evicted, why: 'evicted' })
    await Promise.all([this.#catalog.remove(evicted), this.#removals, this.#saveTable()])
    const ends = await Promise.all(writing.map((one) => this.#writeOne(one)))
    const flushed = ends.some(({ as }) => as === 'ok') ? await this.#flush() : null
    const entries: CatalogEntry[] = []
    const sealed: Identity[] = []
    for (const [i, { wanted, row, slot, at }] of writing.entries()) {
      const ended = ends[i]
      assert(ended !== undefined, 'every write ended')
      const failure = ended.as === 'failed' ? ended : flushed
      const isWritten = failure === null || failure.as === 'ok'
      const { identity } = this.#table.at(row)
      const done = { slot, ok: isWritten, checksum: wanted.seal.checksum }
      const outcome = this.#table.finishFill(row, done)
      if (outcome === 'sealed') {
        entries.push({ seal: { ...wanted.seal, generation: slot.generation }, index: slot.index })
        sealed.push(identity)
        results[at] = { as: 'written' }
      } else {
        results[at] = { as: 'failed', why: failure?.as === 'failed' ? failure.why : outcome }
      }
    }
    this.#table.admit(sealed, this.#options.world.nowMs())
    await this.#catalog.put(entries)
    return results
  }

  drop(key: BlockKey): void {
    const row = this.#table.sealedRowOf(key)
    this.#unproved.delete(key)
    if (row === noRow) return
    this.#table.drop(row, false, this.#options.world.nowMs())
    this.#removals = Promise.all([this.#removals, this.#catalog.remove([key])]).then(() => undefined)
  }

  onChange(listener: (change: TierChange) => void): void {
    this.#listeners.push(listener)
  }

  usage(): TierUsage {
    this.#measureCatalog()
    const { state, why } =
      this.#rest.leftMs > 0
        ? ({ state: 'resting', why: this.#rest.why } as const)
        : ({ state: 'serving', why: '' } as const)
    return {
      blockCount: this.#table.sealedCount,
      usedBytes: this.#arena.usedBytes,
      capacityBytes: this.#arena.segmentCount * this.#arena.segmentBytes,
      state,
      why,
    }
  }

  #measureCatalog(): void {
    const { meter } = this.#options
    const isOn = this.#catalog.state === 'on'
    meter.set('terrace_tier_catalog_on', {}, isOn ? 1 : 0)
    if (isOn || this.#isCatalogLost || this.#catalog.why === '') return
    this.#isCatalogLost = true
    meter.add('terrace_tier_catalog_failed_total', { why: catalogFailureOf(this.#catalog.why) })
  }

  readMsOf(byteCount: number): number | null {
    return this.#options.runner.msOf('read', byteCount)
  }

  async close(): Promise<void> {
    await Promise.all([this.#tableWrite, this.#removals])
    await this.#catalog.close()
    this.#options.native.closeRegion(this.#region)
    await this.#file.close()
  }

  async #recover(): Promise<readonly Seal[]> {
    const { meter, world, byteCount, namespaceOf } = this.#options
    const segmentCount = segmentCountOf(this.#slab, byteCount)
    const into = { arena: this.#arena, table: this.#table, namespaceOf }
    const found = await recoverSlab(this.#file, this.#slab, segmentCount, this.#catalog, into)
    for (const [why, count] of found.refused) meter.add('terrace_tier_recovery_refused_total', { why }, count)
    meter.add('terrace_tier_recovered_blocks_total', { from: found.from }, found.seals.length)
    for (const { key } of found.seals) this.#unproved.add(key)
    this.#table.admit(
      [...this.#table.sealed()].sort((a, b) => a.position - b.position),
      world.nowMs(),
    )
    if (found.from === 'seals') {
      await this.#catalog.begin(this.#slab.slabId)
      const slotOf = (seal: Seal) => this.#table.at(this.#table.sealedRowOf(seal.key)).state.slot
      await this.#catalog.put(found.seals.map((seal) => ({ seal, index: slotOf(seal).index })))
    }
    return found.seals
  }

  /** The claimed row and slot, or why there is none. Victims leave at once; their keys are added to `evicted`. */
  #claim(
    { seal, namespace }: WriteWanted,
    evicted: BlockKey[],
  ): Extract<Claimed, { as: 'claimed' }> | WriteResult {
    const identity = {
      key: seal.key,
      parent: seal.parent,
      namespace,
      position: seal.position,
      route: seal.route,
      payloadBytes: seal.payloadBytes,
    }
    const slotBytes = diskSlotBytes(seal.payloadBytes)
    // A chain longer than the tier would push its own roots out, again and again.
    if (seal.position >= this.#arena.slotsMax(slotBytes)) return { as: 'refused', why: 'no_room' }
    for (;;) {
      const claimed = this.#table.claim(identity)
      if (claimed.as === 'claimed') return claimed
      if (claimed.as === 'known') return { as: 'already' }
      if (claimed.as === 'too_large') return { as: 'refused', why: 'too_large' }
      const nowMs = this.#options.world.nowMs()
      const rows = this.#chooser.choose(slotBytes, nowMs)
      if (rows.length === 0) return { as: 'refused', why: 'no_room' }
      for (const row of rows) {
        const { key } = this.#table.drop(row, true, nowMs)
        this.#unproved.delete(key)
        evicted.push(key)
        this.#options.meter.add('terrace_tier_evicted_blocks_total', { tier: 'nvme' })
      }
    }
  }

  async #writeOne({ wanted, slot }: Writing): Promise<Ended> {
    const seal = new Uint8Array(sealByteCount)
    writeSeal({ ...wanted.seal, generation: slot.generation }, seal, 0)
    const done = await this.#options.runner.run({
      operation: 'write',
      sourceRegion: wanted.from.region,
      source: wanted.from.offset,
      targetRegion: this.#region,
      target: this.#offsetOf(slot.index),
      byteCount: wanted.from.byteCount,
      place: 0,
      checksum: -1,
      seal,
    })
    if (done.as === 'overdue') this.#rest.failed('no answer from the drive')
    const ended = done.as === 'overdue' ? await done.ended : done
    if (ended.as === 'failed') this.#rest.failed(ended.why)
    else this.#rest.went()
    return ended
  }

  async #flush(): Promise<Ended> {
    const ended = await this.#options.runner.runToEnd({
      operation: 'flush',
      sourceRegion: this.#region,
      source: 0,
      targetRegion: this.#region,
      target: 0,
      byteCount: 0,
      place: 0,
      checksum: -1,
      seal: null,
    })
    if (ended.as === 'failed') this.#rest.failed(ended.why)
    return ended
  }

  /** Writes the segment table when a segment serves another size than the table says. */
  #saveTable(): Promise<void> {
    const slotPages = new Uint32Array(this.#slab.slotPages.length)
    for (let i = 0; i < this.#arena.segmentCount; i++) {
      const pages = this.#arena.slotBytesOf(i) / slotPageBytes
      slotPages[i] = pages === 0 ? (this.#slab.slotPages[i] ?? 0) : pages
    }
    if (slotPages.some((pages, i) => pages !== this.#slab.slotPages[i])) {
      this.#slab = withSlotPages(this.#slab, slotPages)
      const slab = this.#slab
      this.#tableWrite = this.#tableWrite.then(() => this.#writeTable(slab))
    }
    return this.#tableWrite
  }

  /** A table that cannot be written costs a slower or smaller recovery, nothing else. */
  async #writeTable(slab: SegmentTable): Promise<void> {
    try {
      await this.#file.write(copyOffset(slab), encodeTable(slab))
      await this.#file.sync()
    } catch (error) {
      this.#rest.failed(error instanceof Error ? error.message : 'unknown')
    }
  }

  #offsetOf(index: Parameters<Arena['byteOffsetOf']>[0]): number {
    return this.#slab.dataOffset + this.#arena.byteOffsetOf(index)
  }

  #tell(change: TierChange): void {
    for (const listener of this.#listeners) listener(change)
  }
}

/** Opens or makes the slab file. Throws KvFailure when there is no room for it or another release wrote it. */
async function openSlab({ native, files, directory, byteCount, world }: DiskOptions): Promise<Opened> {
  const path = `${directory}/nvme.slab`
  const bytes = byteCount - (byteCount % slotPageBytes)
  const before = await files.bytesOf(path)
  const known = before === null ? null : await readTable(files, path)
  if (known?.as === 'other_format') {
    throw new KvFailure('KVT_DATA_VERSION', { file: path, found: known.format, ours: slabFormat })
  }
  const wantedBytes = bytes - Math.min(before ?? 0, bytes)
  const freeBytes = await files.freeBytes(directory)
  if (wantedBytes > freeBytes) throw new KvFailure('KVT_DISK_FULL', { directory, freeBytes, wantedBytes })
  let region: RegionHandle
  try {
    region = native.openFile(path, bytes, true)
  } catch (error) {
    if (before === null) await files.remove(path)
    const why = error instanceof Error ? error.message : 'unknown'
    if (/ENOSPC|EFBIG|EDQUOT/.test(why))
      throw new KvFailure('KVT_DISK_FULL', { directory, freeBytes, wantedBytes })
    throw new KvFailure('KVT_DATA_UNWRITABLE', { directory, why })
  }
  const file = await files.openSlab(path)
  if (known?.as === 'table') return { file, region, slab: known.table }
  const slab = newTable(bytes, idOf(world))
  await file.write(copyOffset(slab), encodeTable(slab))
  await file.sync()
  return { file, region, slab }
}

async function readTable(files: StoreFiles, path: string): Promise<TableRead> {
  const file = await files.openSlab(path)
  try {
    const copies = new Uint8Array(2 * tableCopyBytes)
    const count = await file.read(0, copies)
    const first = decodeTable(copies.subarray(0, Math.min(count, tableCopyBytes)))
    return newerTable(first, decodeTable(copies.subarray(tableCopyBytes, Math.max(count, tableCopyBytes))))
  } finally {
    await file.close()
  }
}

function idOf(world: World): string {
  let id = ''
  while (id.length < 16) id += Math.floor(world.random() * 36).toString(36)
  return id
}
