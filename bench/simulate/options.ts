import { admissionNamed, admissions } from '../../tiers/policy/admission.ts'
import { policies, policyNamed } from '../../tiers/policy/register.ts'
import type { OptionFields, OptionValues } from '../command.ts'
import { UsageError } from '../failure.ts'
import { suggestion } from '../nearest.ts'
import type { Trace } from '../trace/trace.ts'
import { capacityBlocks, checkCapacities, tableCapacities } from './capacity.ts'
import { hintSourceNamed, hintWords, usualHints } from './hint-stream.ts'
import type { Job, StackJob } from './job.ts'
import { simulatedPolicies, simulatedPolicyNamed } from './table.ts'
import { type Sharing, sharings } from './tenants.ts'
import type { Demotion } from './tier-stack.ts'

/** Tier names, hottest first. */
const tierNames = ['hbm', 'host', 'nvme', 's3'] as const
const demotions = ['demote', 'write-through', 'exclusive'] as const

/** Options of commands that run policies at capacities. */
export const runFields = {
  policy: {
    kind: 'list',
    placeholder: 'A,B',
    fallback: ['lru', 'terrace', 'belady'],
    about:
      'Policies by name ("terrace bench policies" lists them). With --tiers one for all tiers, or A/B from the top down.',
  },
  capacity: {
    kind: 'list',
    placeholder: '1%,5%,4096',
    fallback: tableCapacities,
    about: 'Capacities: percent of the distinct blocks (rounded up), blocks, or bytes (10GiB).',
  },
  blockBytes: {
    kind: 'number',
    placeholder: 'N',
    unit: 'bytes',
    fallback: null,
    min: 1,
    max: 2 ** 40,
    whole: true,
    about: 'KV bytes of one block, for capacities in bytes.',
  },
  hints: {
    kind: 'list',
    placeholder: 'none,told:20',
    fallback: [usualHints],
    about:
      'What policies that heed hints hear of requests: none; inferred (lengths of answers, as in the daemon; gaps where ' +
      'a trace has no lengths); with that told (when the session goes on), told:20 (20 % wrong).',
  },
  seed: {
    kind: 'number',
    placeholder: 'N',
    unit: '',
    fallback: 7,
    min: 0,
    max: 2 ** 32 - 1,
    whole: true,
    about: 'Seed of the policies that draw at random.',
  },
  workers: {
    kind: 'number',
    placeholder: 'N',
    unit: 'threads',
    fallback: null,
    min: 1,
    max: 256,
    whole: true,
    about: 'Worker threads; the report is the same for any number.',
  },
} as const satisfies OptionFields

/** Options for several tiers. */
export const tierFields = {
  tiers: {
    kind: 'list',
    placeholder: 'host=5%,nvme=25%',
    fallback: [],
    about: 'Tiers with their capacities (percent rounded down) instead of --capacity: hbm, host, nvme, s3.',
  },
  admission: {
    kind: 'list',
    placeholder: 'A,B',
    fallback: ['likely'],
    about: `Rules by which a tier takes what the one above gives up: ${admissions.map(({ name }) => name).join(', ')}.`,
  },
  nvmeWriteBytesPerDay: {
    kind: 'bytes',
    placeholder: 'SIZE',
    fallback: 0,
    min: 0,
    max: 2 ** 52,
    about: "The daemon's write budget for the nvme tier of --tiers; 0 sets no limit. Needs --block-bytes.",
  },
  tenants: {
    kind: 'list',
    placeholder: 'shared,shares',
    fallback: [],
    about:
      'Hit rates per tenant of the trace (percent rounded down): shared, alone (each with the whole cache), quota, shares.',
  },
  demotion: {
    kind: 'text',
    placeholder: 'MODE',
    fallback: 'demote',
    choices: demotions,
    about:
      'When blocks go to the second tier: on eviction, when they are brought in, or in one tier at a time only.',
  },
} as const satisfies OptionFields

type RunOptions = OptionValues<typeof runFields>
type TierOptions = OptionValues<typeof tierFields>

export function checkPolicies(names: readonly string[]): void {
  const known = simulatedPolicies.map((entry) => entry.name)
  for (const name of names) if (simulatedPolicyNamed(name) === null) throw unknownPolicy(name, known)
}

function unknownPolicy(name: string, known: readonly string[]): UsageError {
  return new UsageError(
    `--policy: unknown "${name}".${suggestion(name, known)} "terrace bench policies" lists them`,
  )
}

/** Checks what can be checked before the trace is read. */
export function checkRun(options: RunOptions & TierOptions): void {
  for (const text of options.hints) {
    if (hintSourceNamed(text) !== null) continue
    throw new UsageError(`--hints: unknown "${text}"; one of ${hintWords}`)
  }
  for (const text of options.tenants) {
    if (sharings.some((known) => known === text)) continue
    throw new UsageError(`--tenants: unknown "${text}"; one of ${sharings.join(', ')}`)
  }
  if (options.tenants.length > 0 && options.tiers.length > 0) {
    throw new UsageError('--tenants looks at one tier: leave out --tiers')
  }
  const hasNvme = options.tiers.some((text) => text.startsWith('nvme='))
  if (options.nvmeWriteBytesPerDay > 0 && (!hasNvme || options.blockBytes === null)) {
    throw new UsageError('--nvme-write-bytes-per-day: needs an nvme tier in --tiers, and --block-bytes')
  }
  if (options.tiers.length === 0) {
    checkPolicies(options.policy)
    checkCapacities(options.capacity, options.blockBytes)
    return
  }
  const online = policies.map(({ name }) => name)
  for (const name of options.policy.filter((name) => name !== 'belady').flatMap((name) => name.split('/'))) {
    if (policyNamed(name) === null) throw unknownPolicy(name, online)
  }
  for (const name of options.admission) {
    if (admissionNamed(name) !== null) continue
    const names = admissions.map((entry) => entry.name)
    throw new UsageError(
      `--admission: unknown "${name}"; one of ${names.join(', ')}.${suggestion(name, names)}`,
    )
  }
  checkCapacities(
    options.tiers.map((text) => splitTier(text).capacity),
    options.blockBytes,
  )
}

function splitTier(text: string): { readonly name: string; readonly capacity: string } {
  const [name = '', capacity = ''] = text.split('=')
  if (!tierNames.some((known) => known === name) || capacity === '') {
    throw new UsageError(`--tiers: "${text}" is not a tier with a capacity; write host=5%,nvme=25%`)
  }
  return { name, capacity }
}

/** The cells to compute: policies by capacities, or policies by admission rules over one stack of tiers. */
export function jobsOf(trace: Trace, options: RunOptions & TierOptions): readonly Job[] {
  if (options.tiers.length > 0) return stackJobs(trace, options)
  if (options.tenants.length > 0) return tenantJobs(trace, options)
  return options.policy.flatMap((policy) =>
    hintsFor(policy, options.hints).flatMap((hints) =>
      options.capacity.map((text) => ({
        kind: 'one' as const,
        policy,
        hints,
        capacityBlocks: capacityBlocks(text, trace, 'up', options.blockBytes),
        seed: options.seed,
      })),
    ),
  )
}

/** Policies that do not heed hints are run once. `A/B` names one per tier. */
function hintsFor(policy: string, wanted: readonly string[]): readonly string[] {
  const heeds = policy.split('/').some((name) => policyNamed(name)?.heedsHints === true)
  return heeds ? wanted : [usualHints]
}

function tenantJobs(trace: Trace, options: RunOptions & TierOptions): readonly Job[] {
  return options.policy
    .filter((policy) => policyNamed(policy) !== null)
    .flatMap((policy) =>
      hintsFor(policy, options.hints).flatMap((hints) =>
        options.tenants.flatMap((sharing) =>
          options.capacity.map((text) => ({
            kind: 'tenants' as const,
            policy,
            hints,
            sharing: sharing as Sharing,
            capacityBlocks: Math.max(1, capacityBlocks(text, trace, 'down', options.blockBytes)),
            seed: options.seed,
          })),
        ),
      ),
    )
}

function stackJobs(trace: Trace, options: RunOptions & TierOptions): readonly StackJob[] {
  const sizes = options.tiers.map((text) => {
    const { name, capacity } = splitTier(text)
    const blocks = capacityBlocks(capacity, trace, 'down', options.blockBytes)
    if (blocks < 1) throw new UsageError(`--tiers: "${text}" is less than one block of this trace`)
    return { name, capacityBlocks: blocks }
  })
  const order = sizes.map(({ name }) => (tierNames as readonly string[]).indexOf(name))
  if (order.some((place, level) => level > 0 && place <= (order[level - 1] ?? 0))) {
    throw new UsageError(`--tiers: write each tier once, from the top down: ${tierNames.join(', ')}`)
  }
  return options.policy
    .filter((policy) => policy !== 'belady')
    .flatMap((policy) =>
      hintsFor(policy, options.hints).flatMap((hints) =>
        options.admission.map((admission) => ({
          kind: 'stack' as const,
          policy,
          hints,
          tiers: sizes.map((tier, level) => ({ ...tier, policy: policyAt(policy, level, sizes.length) })),
          admission,
          nvmeWritesPerDay: writesPerDay(options),
          demotion: options.demotion as Demotion,
          seed: options.seed,
        })),
      ),
    )
}

/** The write budget in blocks. */
function writesPerDay({ nvmeWriteBytesPerDay, blockBytes }: RunOptions & TierOptions): number | null {
  return nvmeWriteBytesPerDay === 0 || blockBytes === null ? null : nvmeWriteBytesPerDay / blockBytes
}

/** `A/B` names a policy per tier, `A` one for all. */
function policyAt(text: string, level: number, tierCount: number): string {
  const names = text.split('/')
  if (names.length !== 1 && names.length !== tierCount) {
    throw new UsageError(`--policy: "${text}" names ${names.length} policies for ${tierCount} tiers`)
  }
  return names.length === 1 ? text : (names[level] ?? text)
}
