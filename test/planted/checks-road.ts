import type { Check } from './check.ts'
import { checksOf } from './check.ts'

/** Breaks of what a person sees, with the tests that start the whole system. */

const cache = checksOf('test/e2e/road-cache.test.ts', [
  [
    'cache: cached_tokens says nothing of what was loaded',
    'daemon/adapters/llama/front/usage.ts',
    'holder.cached_tokens = Math.max(0, cachedTokens - before.computedTokens)',
    'holder.cached_tokens = 0',
  ],
  [
    'cache: blocks of a prompt come into each other’s places',
    'daemon/adapters/llama/cache/load.ts',
    'targets: new Uint32Array(),',
    'targets: Uint32Array.from({ length: tokens.length / blockTokens }, (_, i) => i).reverse(),',
  ],
  [
    'cache: a start forgets what lies on the drive',
    'tiers/recover.ts',
    'for (const entry of [...entries].sort(',
    'for (const entry of [...entries].slice(0, 0).sort(',
  ],
  [
    'cache: the bucket is not used',
    'daemon/up/plan.ts',
    ".concat(optional('--s3', options.s3))\n",
    ".concat(optional('--s3', null))\n",
  ],
])

const bucket: readonly Check[] = [
  ...checksOf('test/e2e/road-bucket.test.ts', [
    [
      'bucket: what a node stored is for that node alone',
      'daemon/adapters/llama/cache/identity.ts',
      "epoch: '',",
      'epoch: String(process.pid),',
    ],
  ]),
  {
    name: 'bucket: bytes of the bucket are believed',
    test: 'test/e2e/road-bucket.test.ts',
    changes: [
      {
        file: 'tiers/s3/reader.ts',
        from: "if (damage !== null || read.as === 'damaged') {",
        to: "if (read.as === 'damaged') {",
      },
      // The second guard: a copy into an engine is summed again.
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
    ],
  },
]

const under = 'faults under real engines'
const faults: readonly Check[] = [
  ...checksOf(
    'test/e2e/road-faults.test.ts',
    [
      [
        'faults: a client that went away keeps its slot',
        'daemon/adapters/llama/front/relay.ts',
        '      clientGone = true\n      abort()\n',
        '      clientGone = true\n',
      ],
    ],
    [under, 'goes away'],
  ),
  ...checksOf(
    'test/e2e/road-faults.test.ts',
    [
      [
        'faults: a part that ended is not started again',
        'daemon/up/supervise.ts',
        '      const end = await part.ended\n      if (this.#stopping) return\n',
        '      const end = await part.ended\n      if (end !== null) return\n',
      ],
    ],
    [under, 'of the daemon'],
  ),
  ...checksOf(
    'test/e2e/road-faults.test.ts',
    [
      [
        'faults: an engine that ended is not started again',
        'daemon/up/supervise.ts',
        '      const end = await part.ended\n      if (this.#stopping) return\n',
        '      const end = await part.ended\n      if (end !== null) return\n',
      ],
    ],
    [under, 'of an adapter'],
  ),
  {
    name: 'faults: bytes of the drive are believed',
    test: 'test/e2e/road-faults.test.ts',
    only: [under, 'flipped bit'],
    changes: [
      {
        file: 'tiers/disk.ts',
        from: 'const why = damageOf(read, exactly, done.checksum)',
        to: "const why = damageOf(read, exactly, read.as === 'seal' ? read.seal.checksum : 0)",
      },
      { file: 'tiers/load.ts', from: 'checksum: pinned.checksum,', to: 'checksum: -1,' },
    ],
  },
]

const command: readonly Check[] = [
  ...checksOf(
    'test/e2e/road-cli.test.ts',
    [
      ['command: what failed ends with 0', 'terrace.ts', '    return 1\n  }\n}', '    return 0\n  }\n}'],
      [
        'command: a start that came to nothing leaves its directory',
        'daemon/up/up.ts',
        '    directory.close()\n',
        '',
      ],
    ],
    ['what cannot work'],
  ),
  ...checksOf(
    'test/e2e/road-cli.test.ts',
    [
      [
        'command: an unwritable place is told without what to do',
        'daemon/up/directory.ts',
        '  const prepared = prepareDataDirectory(path)\n',
        "  const prepared = prepareDataDirectory(path.includes('locked') ? '/' : path)\n",
      ],
    ],
    ['may not be written'],
  ),
  ...checksOf(
    'test/e2e/road-cli.test.ts',
    [['command: status shows no engines', 'daemon/up/view.ts', '    enginesTable(engines),\n', '']],
    ['a second start'],
  ),
  {
    name: 'command: a second start on the same directory',
    test: 'test/e2e/road-cli.test.ts',
    only: ['a second start'],
    changes: [
      { file: 'daemon/up/up.ts', from: 'if (other !== null) throw', to: 'if (other === undefined) throw' },
      {
        file: 'daemon/data-directory.ts',
        from: 'if (winner !== null) throw',
        to: 'if (winner === undefined) throw',
      },
    ],
  },
  ...checksOf(
    'test/e2e/road-cli.test.ts',
    [
      [
        'command: engines outlive an up that was killed',
        'daemon/up/plan.ts',
        "join(data, name), '--ready-json', '--parent-pipe'])",
        "join(data, name), '--ready-json'])",
      ],
    ],
    ['kill -9 of up'],
  ),
]

const full = checksOf('test/e2e/road-full-disk.test.ts', [
  [
    'full drive: the catalog’s failure ends the daemon',
    'tiers/catalog.ts',
    'if (!isOurs) throw reason',
    'if (isOurs) throw reason',
  ],
  [
    'full drive: an empty directory that others may enter is refused',
    'daemon/data-directory.ts',
    'const ours = names.includes(versionFile) || names.every(isSystems)',
    'const ours = names.includes(versionFile)',
  ],
])

export const roadChecks = [...cache, ...bucket, ...faults, ...command, ...full]
