import type { Check } from './check.ts'
import { benchChecks } from './checks-bench.ts'
import { daemonChecks } from './checks-daemon.ts'
import { roadChecks } from './checks-road.ts'
import { routerChecks } from './checks-router.ts'

/** Every break that a named test must notice. */
export const checks: readonly Check[] = [...benchChecks, ...daemonChecks, ...routerChecks, ...roadChecks]
