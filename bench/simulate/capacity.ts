import { UsageError } from '../failure.ts'
import type { Trace } from '../trace/trace.ts'

const unitBytes: Readonly<Record<string, number>> = {
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
}

/** Capacities of the reference tables, in percent of the distinct blocks. */
export const tableCapacities = ['1%', '2%', '5%', '10%', '25%', '50%'] as const

/** Which way a percentage becomes whole blocks: up for one tier, down for several tiers and for tenants. */
export type Rounding = 'up' | 'down'

/** Blocks of a capacity written as `5%` (of the distinct blocks), `4096` (blocks) or `10GiB`.
 *  `blockBytes` is null when the size of a block is not known. */
export function capacityBlocks(
  text: string,
  trace: Trace,
  rounding: Rounding,
  blockBytes: number | null,
): number {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*(%|[a-zA-Z]+)?$/.exec(text.trim())
  const value = Number(found?.[1] ?? Number.NaN)
  const unit = found?.[2] ?? ''
  if (!Number.isFinite(value)) throw wrongCapacity(text, 'it is not a number with a unit')
  if (unit === '%') {
    if (value > 100) throw wrongCapacity(text, 'more than 100 % of the distinct blocks is never used')
    const share = (value * trace.nodeCount) / 100
    return rounding === 'up' ? Math.max(1, Math.ceil(share - 1e-9)) : Math.floor(share + 1e-9)
  }
  if (unit === '') {
    if (!Number.isInteger(value) || value < 1)
      throw wrongCapacity(text, 'blocks are counted in whole numbers from 1')
    return value
  }
  const bytes = unitBytes[unit.toLowerCase()]
  if (bytes === undefined) throw wrongCapacity(text, `"${unit}" is no unit`)
  if (blockBytes === null) throw wrongCapacity(text, 'bytes need --block-bytes')
  const blocks = Math.floor((value * bytes) / blockBytes)
  if (blocks < 1) throw wrongCapacity(text, `one block takes ${blockBytes} bytes`)
  return blocks
}

function wrongCapacity(text: string, why: string): UsageError {
  return new UsageError(
    `capacity "${text}": ${why}; write 5% (of the distinct blocks), 4096 (blocks) or 10GiB`,
  )
}
