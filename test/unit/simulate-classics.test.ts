import t from 'tap'
import { capacityBlocks, tableCapacities } from '../../bench/simulate/capacity.ts'
import { runJobs } from '../../bench/simulate/pool.ts'
import { loadSharedTrace, sharedTrace } from '../traces.ts'

/** Hit rates of the deterministic policies at 1, 2, 5, 10, 25 and 50 %, from an independent simulator. */
const reference = {
  'mooncake-conversation': {
    'fifo-root-first': '0.0505 0.0757 0.1750 0.2481 0.3264 0.3555',
    fifo: '0.0513 0.0767 0.1759 0.2485 0.3266 0.3556',
    'fifo-leaf-only': '0.0525 0.0791 0.1957 0.2788 0.3533 0.3631',
    'clock-root-first': '0.0527 0.0800 0.2021 0.2823 0.3531 0.3627',
    clock: '0.0529 0.0803 0.2028 0.2826 0.3531 0.3627',
    'lfu-root-first': '0.0582 0.0832 0.1269 0.1948 0.3364 0.3627',
    lfu: '0.0582 0.0833 0.1276 0.1949 0.3364 0.3627',
    sieve: '0.0582 0.0833 0.1276 0.1949 0.3364 0.3627',
    'lfu-leaf-only': '0.0582 0.0834 0.1267 0.1949 0.3364 0.3627',
    'lfu-aged': '0.0554 0.0871 0.2075 0.2881 0.3535 0.3631',
    gdsf: '0.0540 0.0842 0.1976 0.2841 0.3470 0.3621',
    'slru-root-first': '0.0582 0.0832 0.1269 0.2067 0.3364 0.3627',
    slru: '0.0582 0.0833 0.1278 0.2069 0.3364 0.3627',
    '2q-root-first': '0.0652 0.0858 0.1754 0.2496 0.3295 0.3555',
    '2q': '0.0677 0.0860 0.1763 0.2501 0.3295 0.3556',
    's3-fifo-root-first': '0.0755 0.1081 0.1907 0.2437 0.3338 0.3627',
    's3-fifo': '0.0755 0.1081 0.1910 0.2437 0.3340 0.3627',
    's3-fifo-2': '0.0750 0.1067 0.1874 0.2448 0.3445 0.3619',
    'arc-root-first': '0.0644 0.0895 0.2098 0.2842 0.3355 0.3627',
    arc: '0.0649 0.0905 0.2102 0.2843 0.3355 0.3627',
    'w-tinylfu-root-first': '0.0868 0.1246 0.1669 0.2037 0.2599 0.2985',
    'w-tinylfu': '0.0880 0.1222 0.1658 0.2035 0.2598 0.2987',
    'w-tinylfu-20': '0.0829 0.1112 0.1577 0.2033 0.2929 0.3435',
    'w-tinylfu-50': '0.0736 0.1050 0.1729 0.2559 0.3296 0.3605',
    'watermark-mooncake': '0.0492 0.0688 0.1785 0.2637 0.3513 0.3615',
    'watermark-lmcache': '0.0467 0.0601 0.1513 0.2429 0.3348 0.3595',
    'watermark-flexkv': '0.0461 0.0588 0.1432 0.2347 0.3294 0.3591',
    'hint-again': '0.1271 0.2455 0.3664 0.3664 0.3664 0.3664',
    'hint-again-20': '0.0814 0.1776 0.3027 0.3569 0.3661 0.3664',
    'hint-when': '0.2164 0.3035 0.3664 0.3664 0.3664 0.3664',
  },
  miniswe: {
    'fifo-root-first': '0.0167 0.1416 0.5005 0.5902 0.9338 0.9338',
    fifo: '0.2470 0.4317 0.6489 0.7736 0.9338 0.9338',
    'fifo-leaf-only': '0.2476 0.4427 0.6705 0.7983 0.9338 0.9338',
    'clock-root-first': '0.0190 0.1536 0.5016 0.5946 0.9327 0.9338',
    clock: '0.2475 0.4419 0.6695 0.7981 0.9335 0.9338',
    'lfu-root-first': '0.0076 0.0118 0.0265 0.1124 0.2323 0.5287',
    lfu: '0.0350 0.0971 0.1757 0.1659 0.2917 0.5708',
    'lfu-aged': '0.2476 0.4427 0.6705 0.7983 0.9338 0.9338',
    'slru-root-first': '0.0023 0.0118 0.2059 0.5957 0.9338 0.9338',
    slru: '0.0569 0.1093 0.3137 0.6483 0.8322 0.9338',
    '2q-root-first': '0.0023 0.1153 0.3314 0.3940 0.9338 0.9338',
    '2q': '0.0730 0.3016 0.6185 0.7382 0.9338 0.9338',
    's3-fifo-root-first': '0.0115 0.1358 0.4951 0.6056 0.9321 0.9338',
    's3-fifo': '0.0550 0.2164 0.5515 0.6733 0.9338 0.9338',
    's3-fifo-2': '0.0553 0.2152 0.5458 0.6758 0.9338 0.9338',
    'arc-root-first': '0.0566 0.1232 0.4868 0.5829 0.9302 0.9292',
    arc: '0.1094 0.3468 0.6476 0.7943 0.9330 0.9337',
    'w-tinylfu-root-first': '0.0537 0.2344 0.4851 0.7028 0.8277 0.8721',
    'w-tinylfu': '0.0534 0.2180 0.4637 0.6459 0.8384 0.8363',
    'w-tinylfu-20': '0.1046 0.2957 0.5329 0.7274 0.9145 0.9338',
    'w-tinylfu-50': '0.1652 0.3734 0.6106 0.7771 0.9338 0.9338',
    'watermark-mooncake': '0.2180 0.4026 0.6477 0.7721 0.9338 0.9338',
    'hint-again': '0.2476 0.4427 0.6705 0.7983 0.9347 0.9347',
  },
} as const

/** Blocks that the limit brings in, per distinct block: it refuses what is not used sooner than the victim. */
const limitInserts = {
  'mooncake-conversation': '0.27 0.27 0.27 0.31 0.41 0.60',
  miniswe: '0.20 0.37 0.59 0.70 0.92 0.95',
} as const

for (const [name, rows] of Object.entries(reference)) {
  const { path, skip } = sharedTrace(name)
  void t.test(`classical policies on ${name}`, { skip }, async (t) => {
    const trace = await loadSharedTrace(path ?? '')
    const capacities = tableCapacities.map((text) => capacityBlocks(text, trace, 'up', null))
    const jobs = [...Object.keys(rows), 'belady'].flatMap((policy) =>
      capacities.map((blocks) => ({
        kind: 'one' as const,
        hints: 'inferred',
        policy,
        capacityBlocks: blocks,
        seed: 7,
      })),
    )
    const results = await runJobs(trace, jobs, null, new AbortController().signal, () => {})
    const of = (policy: string) => results.filter((result) => result.policy === policy)
    for (const [policy, wanted] of Object.entries(rows)) {
      const rates = of(policy).map(({ hits }) => (hits / trace.referenceCount).toFixed(4))
      t.equal(rates.join(' '), wanted, policy)
    }
    const inserts = of('belady').map((result) => ((result.inserts ?? 0) / trace.nodeCount).toFixed(2))
    t.equal(inserts.join(' '), limitInserts[name as keyof typeof limitInserts], 'inserts of the limit')
  })
}
