import { mooncake } from './mooncake.ts'
import type { TraceFormat } from './reader.ts'

/** Every format that can be read, in the order in which sniffing tries them. */
export const formats: readonly TraceFormat[] = [mooncake]
