import t from 'tap'
import { capacityBlocks, tableCapacities } from '../../bench/simulate/capacity.ts'
import { runJobs } from '../../bench/simulate/pool.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

/** Hit rates of the shared traces' own README, at 1, 2, 5, 10, 25 and 50 % of the distinct blocks. */
const reference = {
  'mooncake-conversation': {
    'lru-root-first': '0.0523 0.0787 0.1954 0.2784 0.3535 0.3631',
    lru: '0.0525 0.0793 0.1958 0.2789 0.3535 0.3631',
    'lru-leaf-only': '0.0525 0.0793 0.1958 0.2789 0.3535 0.3631',
    belady: '0.2464 0.3143 0.3664 0.3664 0.3664 0.3664',
  },
  'claude-code-dev': {
    'lru-root-first': '0.2387 0.6081 0.9068 0.9486 0.9600 0.9601',
    lru: '0.2806 0.6409 0.9098 0.9487 0.9600 0.9601',
    'lru-leaf-only': '0.2806 0.6409 0.9098 0.9487 0.9600 0.9601',
    belady: '0.6130 0.8163 0.9430 0.9601 0.9601 0.9601',
  },
  miniswe: {
    'lru-root-first': '0.0167 0.1470 0.5037 0.5957 0.9338 0.9338',
    lru: '0.2476 0.4427 0.6705 0.7983 0.9338 0.9338',
    'lru-leaf-only': '0.2476 0.4427 0.6705 0.7983 0.9338 0.9338',
    belady: '0.2476 0.4427 0.6705 0.7983 0.9347 0.9347',
  },
  'mixed-tenants': {
    'lru-root-first': '0.1214 0.3451 0.5671 0.6440 0.6930 0.7026',
    lru: '0.1319 0.3559 0.5678 0.6440 0.6930 0.7026',
    'lru-leaf-only': '0.1319 0.3559 0.5678 0.6440 0.6930 0.7026',
    belady: '0.4759 0.6035 0.6911 0.7067 0.7067 0.7067',
  },
} as const

for (const [name, rows] of Object.entries(reference)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`reference rows of ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const capacities = tableCapacities.map((text) => capacityBlocks(text, trace, 'up', null))
    const jobs = Object.keys(rows).flatMap((policy) =>
      capacities.map((blocks) => ({
        kind: 'one' as const,
        hints: 'inferred',
        policy,
        capacityBlocks: blocks,
        seed: 7,
      })),
    )
    const results = await runJobs(trace, jobs, null, new AbortController().signal, () => {})
    for (const [policy, wanted] of Object.entries(rows)) {
      const rates = results
        .filter((result) => result.policy === policy)
        .map((result) => (result.hits / trace.referenceCount).toFixed(4))
      t.equal(rates.join(' '), wanted, policy)
    }
  })
}
