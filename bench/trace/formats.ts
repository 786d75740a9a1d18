import { azure, burstgpt } from './arrivals.ts'
import { bailian } from './bailian.ts'
import { kvEventLines, kvEventPack } from './kvevents.ts'
import { lmcache } from './lmcache.ts'
import { mooncake } from './mooncake.ts'
import { openai } from './openai.ts'
import type { TraceFormat } from './reader.ts'
import { weka } from './weka.ts'

/** Every format that can be read, in the order in which sniffing tries them. */
export const formats: readonly TraceFormat[] = [
  mooncake,
  bailian,
  lmcache,
  kvEventLines,
  kvEventPack,
  weka,
  azure,
  burstgpt,
  openai,
]
