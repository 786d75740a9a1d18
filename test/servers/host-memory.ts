import { crc32c } from '../../tiers/block/crc32c.ts'
import type { HostSpan } from '../../tiers/tier.ts'

/** Host memory of a test: what a tier needs of the native side, without the binary. */
export type HostMemory = {
  windowOf(region: number, offset: number, byteCount: number): Uint8Array
  crc32c(bytes: Uint8Array, previous: number): number
  /** A span of fresh bytes. */
  span(byteCount: number): HostSpan
  bytesOf(span: HostSpan): Uint8Array
}

export function hostMemory(): HostMemory {
  const regions: Uint8Array[] = []
  const windowOf = (region: number, offset: number, byteCount: number): Uint8Array => {
    const bytes = regions[region]
    if (bytes === undefined || offset + byteCount > bytes.length) throw new RangeError('outside the region')
    return bytes.subarray(offset, offset + byteCount)
  }
  return {
    windowOf,
    crc32c: (bytes, previous) => crc32c(bytes, previous),
    span: (byteCount) => {
      regions.push(new Uint8Array(byteCount))
      return { region: regions.length - 1, offset: 0, byteCount }
    },
    bytesOf: (span) => windowOf(span.region, span.offset, span.byteCount),
  }
}
