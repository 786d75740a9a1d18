import type { Arena } from './arena.ts'
import type { World } from './block/clock.ts'
import { tierRowBytes, tierRowsMax } from './block/limits.ts'
import type { PolicyEntry } from './policy/register.ts'
import { BlockTable } from './table.ts'

/** Rows a tier of so many bytes gets. */
export function rowMaxFor(byteCount: number): number {
  return Math.min(tierRowsMax, Math.max(1_024, Math.ceil(byteCount / tierRowBytes)))
}

/** The table of a tier of so many bytes, under a policy whose chance comes from the World. */
export function tierTable(
  world: World,
  arena: Arena,
  byteCount: number,
  policy: PolicyEntry,
  slotBytesOf: (payloadBytes: number) => number,
): BlockTable {
  const rowMax = rowMaxFor(byteCount)
  const chance = (): number => Math.floor(world.random() * 2 ** 32)
  const make = (capacityBlocks: number) => policy.make({ rowMax, capacityBlocks, chance })
  return new BlockTable(arena, make, policy.flat?.order ?? 'tree', rowMax, slotBytesOf)
}
