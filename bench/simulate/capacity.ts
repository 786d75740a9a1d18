import { valueOfWord } from '../../tiers/block/option-value.ts'
import { UsageError } from '../failure.ts'
import type { Trace } from '../trace/trace.ts'

/** Capacities of the reference tables, in percent of the distinct blocks. */
export const tableCapacities = ['1%', '2%', '5%', '10%', '25%', '50%'] as const

/** Which way a percentage becomes whole blocks: up for one tier, down for several tiers and for tenants. */
export type Rounding = 'up' | 'down'

/** A capacity as it was written: `5%` (of the distinct blocks), `4096` (blocks) or `10GiB`. */
type Written =
  | { readonly as: 'percent'; readonly percent: number }
  | { readonly as: 'blocks'; readonly blocks: number }

/** Refuses what is no capacity, before a trace is read. */
export function checkCapacities(texts: readonly string[], blockBytes: number | null): void {
  for (const text of texts) written(text, blockBytes)
}

/** Blocks of a capacity in a trace. `blockBytes` is null when the size of a block is not known. */
export function capacityBlocks(
  text: string,
  trace: Trace,
  rounding: Rounding,
  blockBytes: number | null,
): number {
  const read = written(text, blockBytes)
  if (read.as === 'blocks') return read.blocks
  const share = (read.percent * trace.nodeCount) / 100
  return rounding === 'up' ? Math.max(1, Math.ceil(share - 1e-9)) : Math.floor(share + 1e-9)
}

/** The capacities of a curve: rising, each once. */
export function risingCapacities(
  texts: readonly string[],
  trace: Trace,
  blockBytes: number | null,
): number[] {
  const sizes = new Set(texts.map((text) => capacityBlocks(text, trace, 'up', blockBytes)))
  return [...sizes].sort((a, b) => a - b)
}

const bytesRow = { unit: 'bytes', fallback: null, min: 1, max: 2 ** 53, about: '' } as const

function written(text: string, blockBytes: number | null): Written {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*(%|[a-zA-Z]+)?$/.exec(text.trim())
  const value = Number(found?.[1] ?? Number.NaN)
  const unit = found?.[2] ?? ''
  if (!Number.isFinite(value)) throw wrongCapacity(text, 'it is not a number with a unit')
  if (unit === '%') {
    if (value === 0) throw wrongCapacity(text, 'it holds nothing')
    if (value > 100) throw wrongCapacity(text, 'more than 100 % of the distinct blocks is never used')
    return { as: 'percent', percent: value }
  }
  if (unit === '') {
    if (!Number.isSafeInteger(value) || value < 1)
      throw wrongCapacity(text, 'blocks are counted in whole numbers from 1')
    return { as: 'blocks', blocks: value }
  }
  const bytes = valueOfWord(bytesRow, text.trim())
  if (bytes.as === 'refused') throw wrongCapacity(text, bytes.why)
  if (blockBytes === null) throw wrongCapacity(text, 'bytes need --block-bytes')
  const blocks = Math.floor(Number(bytes.value) / blockBytes)
  if (blocks < 1) throw wrongCapacity(text, `one block takes ${blockBytes} bytes`)
  return { as: 'blocks', blocks }
}

function wrongCapacity(text: string, why: string): UsageError {
  return new UsageError(
    `capacity "${text}": ${why}; write 5% (of the distinct blocks), 4096 (blocks) or 10GiB`,
  )
}
