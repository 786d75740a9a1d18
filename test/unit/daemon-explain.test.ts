import t from 'tap'
import { explain } from '../../daemon/explain.ts'
import { LinkRates } from '../../daemon/links.ts'
import { lineLog } from '../../daemon/log.ts'
import type { DaemonStatus, TierStatus } from '../../daemon/status.ts'
import { realWorld } from '../../tiers/block/clock.ts'

const zero = { hbm: 0, host: 0, nvme: 0, s3: 0 }
const tier: TierStatus = {
  ...{ blockCount: 0, usedBytes: 0, capacityBytes: 2 ** 30, state: 'serving', why: '' },
  ...{ readBytesPerSecond: null, readLatencyMs: null },
} as const
const session = {
  ...{ session: 1, client: 'c', engine: 'e', worker: 'w1', processId: 1, sinceMs: 0, asksInFlight: 0 },
  namespaces: [{ tenant: 'default', model: 'm', blockTokens: 64, blockBytes: 2 ** 20 }],
  ...{ regions: [], heldBlocks: 0 },
}
const base: DaemonStatus = {
  ...{ version: '0', wireVersion: 1, node: 'n', epoch: 'e', pid: 1, state: 'serving', uptimeMs: 1 },
  ...{ data: '/d', socket: '/d/daemon.sock', sessions: [session] },
  tiers: { hbm: { blockCount: 0 }, host: tier, nvme: tier, s3: { ...tier, state: 'off', capacityBytes: 0 } },
  requests: { reportedCount: 0, promptTokens: 0, computedTokens: 0, tokensByTier: zero },
  loads: { wantedBlocks: 20, possibleBlocks: 10, loadedBlocksByTier: { ...zero, host: 5 }, countByStop: {} },
  lookups: { blocks: 0, predictedBlocksByTier: zero },
  stores: { wantedBlocks: 10, droppedBlocksByWhy: {} },
  asks: { countByMessage: {}, failedByCode: {} },
  refusedPeersByWhy: {},
  events: { sequence: 0, readers: 0, nats: 'off' },
}

const found = (changes: Partial<DaemonStatus>) =>
  explain({ ...base, ...changes }).map(({ finding }) => finding)

void t.test('each break in the road has its sentence, the first one first', async (t) => {
  const loads = base.loads
  const nothing = { ...loads, wantedBlocks: 0, possibleBlocks: 0, loadedBlocksByTier: zero }
  const none = { stores: { wantedBlocks: 0, droppedBlocksByWhy: {} }, loads: nothing }
  t.strictSame(found({ sessions: [], ...none }), ['no_engine'])
  t.strictSame(found({ sessions: [{ ...session, namespaces: [] }], ...none }), ['no_namespace'])
  t.strictSame(found(none), ['nothing_offered'])
  t.strictSame(found({ stores: { wantedBlocks: 10, droppedBlocksByWhy: { no_room: 10 } } }), ['all_dropped'])
  t.strictSame(found({ loads: nothing }), ['never_asked'])
  t.strictSame(found({ loads: { ...loads, possibleBlocks: 0 } }), ['nothing_shared'])
  t.strictSame(found({ loads: { ...loads, loadedBlocksByTier: zero } }), ['nothing_loaded'])
  t.strictSame(found({}), ['no_reports'])
  const requests = { ...base.requests, reportedCount: 1, promptTokens: 100, computedTokens: 100 }
  t.strictSame(found({ requests }), ['not_used'])
  t.strictSame(found({ requests: { ...requests, tokensByTier: { ...zero, s3: 25 } } }), ['hits'])
  const [all] = explain({
    ...base,
    stores: { wantedBlocks: 9, droppedBlocksByWhy: { no_room: 2, stopping: 7 } },
  })
  t.match(all?.says, /stopping 7, no_room 2/)
})

void t.test('a tier whose rule lets nothing through is told, with the reasons and a way out', async (t) => {
  const admission = {
    ...{ rule: 'used-twice', offeredBlocks: 9_000, budgetUsed: 1 },
    refusedBlocksByWhy: { seldom_used: 7_000, budget: 50 },
  }
  const at = (dry: { readonly ms: number; readonly blocks: number } | null) =>
    explain({ ...base, tiers: { ...base.tiers, nvme: { ...tier, admission: { ...admission, dry } } } })
  t.same(
    at(null).map(({ finding }) => finding),
    ['no_reports'],
  )
  const [, dry] = at({ ms: 840_000, blocks: 812 })
  t.equal(dry?.finding, 'nvme_admits_nothing')
  t.match(dry?.says, /none of the last 812 blocks offered in 14 min: rule used-twice refused/)
  t.match(
    dry?.says,
    /seldom_used 7000, budget 50; give --nvme-admission all or a larger --nvme-write-bytes-per-day/,
  )
})

void t.test('what stands beside the road is told too', async (t) => {
  const resting = { ...tier, state: 'resting', why: 'EIO' } as const
  const small = { ...tier, capacityBytes: 2 ** 22 }
  t.strictSame(found({ tiers: { ...base.tiers, nvme: resting, host: small } }), [
    'no_reports',
    'host_small',
    'nvme_resting',
  ])
  const other = { ...session, worker: 'w2', namespaces: [{ ...session.namespaces[0], blockTokens: 32 }] }
  t.strictSame(found({ sessions: [session, other as typeof session] }), ['no_reports', 'shapes_differ'])
  t.strictSame(found({ sessions: [session, { ...session, worker: 'w2' }] }), ['no_reports'])
  const asks = { countByMessage: {}, failedByCode: { KVT_PLACE_BAD: 2 } }
  t.strictSame(found({ asks, refusedPeersByWhy: { user: 1 } }), [
    'no_reports',
    'asks_failed',
    'peers_refused',
  ])
})

void t.test('link rates are a line through loads from one tier', async (t) => {
  const links = new LinkRates()
  t.equal(links.rateOf('nvme'), null)
  for (let i = 1; i <= 30; i++) links.observe({ ...zero, nvme: i }, 2 ** 20, 0.004 + (i * 2 ** 20) / 1e9)
  const nvme = links.rateOf('nvme')
  t.ok(Math.abs((nvme?.bytesPerSecond ?? 0) - 1e9) < 1e6, `${nvme?.bytesPerSecond}`)
  t.ok(Math.abs((nvme?.latencySeconds ?? 0) - 0.004) < 1e-5, `${nvme?.latencySeconds}`)
  links.observe({ ...zero, nvme: 1, host: 1 }, 2 ** 20, 100)
  t.strictSame(links.rateOf('nvme'), nvme, 'a mixed load teaches nothing')
  links.observe({ ...zero, host: 4 }, 2 ** 20, 0.004)
  t.match(
    links.rateOf('host'),
    { bytesPerSecond: 2 ** 20 * 1_000, latencySeconds: 0 },
    'one size tells no latency',
  )
  t.equal(links.rateOf('s3'), null)
})

void t.test('a log line is one line, whatever the names are', async (t) => {
  const lines: string[] = []
  const log = lineLog(realWorld, false, (line) => lines.push(line))
  log.info('session_opened', { worker: 'w\n2026 warn forged x=1', session: 3, quiet: true })
  t.match(lines, [/^\S+Z info session_opened worker="w\\n2026 warn forged x=1" session=3 quiet=true\n$/])
  const json: string[] = []
  lineLog(realWorld, true, (line) => json.push(line)).warn('x', { why: 'a"b' })
  t.match(JSON.parse(json[0] ?? ''), { level: 'warn', event: 'x', why: 'a"b' })
})
