import type { BenchCommand } from '../command.ts'
import { command as analyze } from './analyze.ts'
import { command as anonymize } from './anonymize.ts'
import { command as compare } from './compare.ts'
import { command as convert } from './convert.ts'
import { command as e2e } from './e2e.ts'
import { command as headroom } from './headroom.ts'
import { command as plan } from './plan.ts'
import { command as policies } from './policies.ts'
import { command as record } from './record.ts'
import { command as replay } from './replay.ts'
import { command as simulate } from './simulate.ts'
import { command as sweep } from './sweep.ts'
import { command as synthesize } from './synthesize.ts'

/** Every word after `terrace bench`, in the order of the help page. */
export const commands: readonly BenchCommand[] = [
  analyze,
  simulate,
  sweep,
  headroom,
  plan,
  policies,
  record,
  replay,
  e2e,
  synthesize,
  convert,
  anonymize,
  compare,
]
