import { loadNative } from '../../addon/load.ts'
import type { Native } from '../../addon/native.ts'
import type { HostSpan } from '../../tiers/tier.ts'

/** Host memory of a test, out of the native addon's regions as in the daemon. */
export type HostMemory = {
  readonly native: Native
  /** A span of fresh bytes. */
  span(byteCount: number): HostSpan
  bytesOf(span: HostSpan): Uint8Array
  sum(bytes: Uint8Array): number
  close(): void
}

export function hostMemory(): HostMemory {
  const native = loadNative()
  const regions: number[] = []
  return {
    native,
    span: (byteCount) => {
      const region = native.openMemory(byteCount)
      regions.push(region)
      return { region, offset: 0, byteCount }
    },
    bytesOf: (span) => native.windowOf(span.region, span.offset, span.byteCount),
    sum: (bytes) => native.crc32c(bytes, 0),
    close: () => {
      for (const region of regions) native.closeRegion(region)
    },
  }
}
