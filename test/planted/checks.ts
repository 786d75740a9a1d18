import type { Check } from './check.ts'
import { admissionChecks } from './checks-admission.ts'
import { benchChecks } from './checks-bench.ts'
import { benchLiveChecks } from './checks-bench-live.ts'
import { daemonChecks } from './checks-daemon.ts'
import { policyChecks } from './checks-policy.ts'
import { roadChecks } from './checks-road.ts'
import { routerChecks } from './checks-router.ts'

/** Every break that a named test must notice. */
export const checks: readonly Check[] = [
  ...admissionChecks,
  ...benchChecks,
  ...benchLiveChecks,
  ...daemonChecks,
  ...policyChecks,
  ...routerChecks,
  ...roadChecks,
]
