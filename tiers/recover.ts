import { type Arena, pageRounded } from './arena.ts'
import type { Generation, NamespaceId, SlotIndex } from './block/id.ts'
import { blockBytesMax, slotPageBytes } from './block/limits.ts'
import { readSeal, type Seal, sealByteCount } from './block/seal.ts'
import type { Catalog, CatalogEntry } from './catalog.ts'
import type { SlabFile } from './files.ts'
import type { SegmentTable } from './slab.ts'
import type { BlockTable } from './table.ts'

/** Headers read at once during a scan. */
const scanWidth = 32

export type Recovered = {
  readonly from: 'catalog' | 'seals'
  /** Blocks restored, deepest last within each chain. */
  readonly seals: readonly Seal[]
  /** Slots left free, by reason. */
  readonly refused: ReadonlyMap<string, number>
}

/** Where restored blocks go. */
export type RestoreInto = {
  readonly arena: Arena
  readonly table: BlockTable
  readonly namespaceOf: (seal: Seal) => NamespaceId
}

/** Finds the blocks of a slab again: by the catalog when it speaks of this slab, else by the seals at the front of
 *  every slot. Either
 *  way a block's payload is proved at its first read, never believed. */
export async function recoverSlab(
  file: SlabFile,
  slab: SegmentTable,
  segmentCount: number,
  catalog: Catalog,
  into: RestoreInto,
): Promise<Recovered> {
  const listed = await catalog.entriesOf(slab.slabId)
  const entries = listed ?? (await scan(file, slab, segmentCount))
  const refused = new Map<string, number>()
  const seals: Seal[] = []
  let generationMax = 0
  for (const entry of [...entries].sort((a, b) => b.seal.generation - a.seal.generation)) {
    const { seal } = entry
    generationMax = Math.max(generationMax, seal.generation)
    const why = restore(entry, into)
    if (why !== null) {
      refused.set(why, (refused.get(why) ?? 0) + 1)
      continue
    }
    seals.push(seal)
  }
  into.arena.raiseFloor(generationMax)
  seals.sort((a, b) => a.position - b.position)
  return { from: listed === null ? 'seals' : 'catalog', seals, refused }
}

/** Why an entry cannot be believed, or null once it is restored. */
function restore({ seal, index }: CatalogEntry, into: RestoreInto): string | null {
  if (seal.payloadBytes > blockBytesMax || seal.generation === 0) return 'length'
  if (into.table.rowsLeft === 0) return 'no_rows'
  // Two slots may carry one key when a crash came between the new header and the old slot's reuse: the younger one stays.
  if (into.table.rowOf(seal.key) >= 0) return 'older_copy'
  const slotBytes = diskSlotBytes(seal.payloadBytes)
  const generation = seal.generation as Generation
  if (!into.arena.adopt(index, slotBytes, generation)) return 'slot'
  const identity = {
    key: seal.key,
    parent: seal.parent,
    namespace: into.namespaceOf(seal),
    position: seal.position,
    route: seal.route,
    payloadBytes: seal.payloadBytes,
  }
  into.table.restore(identity, { index, generation }, seal.checksum)
  return null
}

/** Bytes of a slot in the slab: the header page, then the payload in whole pages. */
export function diskSlotBytes(payloadBytes: number): number {
  return slotPageBytes + pageRounded(payloadBytes)
}

/** Reads the header of every slot of every segment in use. */
async function scan(file: SlabFile, slab: SegmentTable, segmentCount: number): Promise<CatalogEntry[]> {
  const indexes: SlotIndex[] = []
  const segmentPages = slab.segmentBytes / slotPageBytes
  for (let segment = 0; segment < segmentCount; segment++) {
    const pages = slab.slotPages[segment] ?? 0
    if (pages === 0 || pages > segmentPages) continue
    for (let page = 0; page + pages <= segmentPages; page += pages) {
      indexes.push((segment * segmentPages + page) as SlotIndex)
    }
  }
  const entries: CatalogEntry[] = []
  for (let first = 0; first < indexes.length; first += scanWidth) {
    await Promise.all(
      indexes.slice(first, first + scanWidth).map(async (index) => {
        const header = new Uint8Array(sealByteCount)
        const count = await file.read(slab.dataOffset + index * slotPageBytes, header)
        const read = count === sealByteCount ? readSeal(header, 0) : null
        if (read?.as === 'seal') entries.push({ seal: read.seal, index })
      }),
    )
  }
  return entries
}
