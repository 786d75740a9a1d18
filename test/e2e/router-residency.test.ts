import t, { type Test } from 'tap'
import { type RouteHash, routeScheme } from '../../tiers/block/route.ts'
import { MockDaemon } from '../servers/mock-daemon.ts'
import { type MockEngine, startMockEngine } from '../servers/mock-engine.ts'
import { type RouterProcess, seriesIn, startRouter, until } from '../servers/router-process.ts'

// Processes are started one after another; a busy machine takes its time.
t.setTimeout(120_000)

const blockCount = 10
const hashes = Array.from(
  { length: blockCount },
  (_, i) => `00000000000000${(i + 16).toString(16)}` as RouteHash,
)
const names = (): unknown => ({
  tokenCount: blockCount * 64 + 5,
  blockTokens: 64,
  scheme: routeScheme,
  hashes,
})
const ask = { model: 'mock', messages: [{ role: 'user', content: 'a long one' }] }

type Scene = {
  readonly a: MockEngine
  readonly b: MockEngine
  readonly daemon: MockDaemon
  readonly router: RouterProcess
}

async function scene(t: Test): Promise<Scene> {
  const daemon = await new MockDaemon().start()
  const a = await startMockEngine('a', { names })
  const b = await startMockEngine('b', { names })
  daemon.status = {
    sessions: [{ worker: 'a' }, { worker: 'b' }],
    tiers: { host: { readBytesPerSecond: 1e9, readLatencyMs: 0.1 } },
  }
  const router = await startRouter([a, b], ['--daemon', daemon.url])
  t.teardown(async () => {
    await router.stop('SIGKILL')
    await Promise.all([a.close(), b.close(), daemon.close()])
  })
  await until(() => daemon.readerCount === 1, 'the router reads events')
  return { a, b, daemon, router }
}

type Explained = {
  readonly candidates: readonly {
    readonly worker: string
    readonly deviceBlocks: number
    readonly loadableBlocks: number
    readonly whyNoOverlap: string | null
  }[]
}

async function explain(router: RouterProcess): Promise<Explained> {
  const answer = await fetch(`${router.adminUrl}/explain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ path: '/v1/chat/completions', body: ask }),
  })
  return (await answer.json()) as Explained
}

async function blocksOf(router: RouterProcess, worker: string): Promise<readonly [number, number]> {
  const { candidates } = await explain(router)
  const found = candidates.find((entry) => entry.worker === worker)
  return [found?.deviceBlocks ?? -1, found?.loadableBlocks ?? -1]
}

async function chosen(router: RouterProcess): Promise<string | null> {
  const answer = await fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ask),
  })
  await answer.text()
  return answer.headers.get('x-terrace-worker')
}

void t.test('requests go where their prefix is; a removal and a clearing are seen', async (t) => {
  const { daemon, router } = await scene(t)
  t.equal((await explain(router)).candidates[0]?.whyNoOverlap, 'prefix_not_held')
  daemon.store('hbm', 'b', hashes)
  await until(async () => (await blocksOf(router, 'b'))[0] === blockCount, 'b has it all')
  for (let i = 0; i < 6; i++) t.equal(await chosen(router), 'b')
  t.same(await blocksOf(router, 'a'), [0, 0])

  daemon.remove('hbm', 'b', hashes.slice(3, 4))
  await until(async () => (await blocksOf(router, 'b'))[0] === 3, 'a hole ends the prefix')
  daemon.store('host', '', hashes)
  await until(async () => (await blocksOf(router, 'a'))[1] === blockCount, 'a can load it')
  t.same(await blocksOf(router, 'b'), [3, blockCount - 3], 'the node fills in behind the device')
  daemon.clear('hbm', 'b')
  await until(async () => (await blocksOf(router, 'b'))[0] === 0, 'b lost its own')
  const metrics = await (await fetch(`${router.url}/metrics`)).text()
  t.equal(
    seriesIn(metrics, 'terrace_router_predicted_hit_tokens_total{tenant="default",tier="hbm"}'),
    6 * blockCount * 64,
  )
  t.equal(
    seriesIn(metrics, 'terrace_router_possible_hit_tokens_total{tenant="default"}'),
    6 * blockCount * 64,
  )
})

void t.test('missing events are noticed, and one snapshot heals them', async (t) => {
  const { daemon, router } = await scene(t)
  const before = daemon.snapshots
  daemon.store('hbm', 'a', hashes.slice(0, 4), false)
  daemon.store('hbm', 'a', hashes.slice(4))
  await until(async () => (await blocksOf(router, 'a'))[0] === blockCount, 'healed')
  t.equal(daemon.snapshots, before + 1)
  const gaps = `terrace_router_event_gaps_total{daemon="${daemon.url}"}`
  t.equal(seriesIn(await (await fetch(`${router.url}/metrics`)).text(), gaps), 1)
})

void t.test('a daemon that starts anew: nothing old counts', async (t) => {
  const { daemon, router } = await scene(t)
  daemon.store('hbm', 'a', hashes)
  daemon.store('nvme', '', hashes)
  await until(async () => (await blocksOf(router, 'a'))[0] === blockCount, 'seen')
  daemon.restart()
  daemon.store('hbm', 'b', hashes.slice(0, 2))
  await until(async () => (await blocksOf(router, 'b'))[0] === 2, 'the new state')
  t.same(await blocksOf(router, 'a'), [0, 0])
})

void t.test('a daemon that cannot be reached is nobody to load from, and comes back by itself', async (t) => {
  const { daemon, router } = await scene(t)
  daemon.store('hbm', 'a', hashes.slice(0, 2))
  daemon.store('host', '', hashes)
  await until(async () => (await blocksOf(router, 'a'))[1] === blockCount - 2, 'seen')
  const port = Number(new URL(daemon.url).port)
  await daemon.close()
  await until(async () => (await blocksOf(router, 'a'))[1] === 0, 'its tiers do not count')
  t.same(await blocksOf(router, 'a'), [2, 0], 'the engine still has its own')
  const again = await new MockDaemon().start(port)
  t.teardown(() => again.close())
  again.epoch = 'another'
  again.store('host', '', hashes.slice(0, 5))
  await until(async () => (await blocksOf(router, 'b'))[1] === 5, 'followed again')
})

void t.test('an adapter that is late or gone costs the overlap, not the request', async (t) => {
  const { a, b, router } = await scene(t)
  const counted = (result: string) => async (): Promise<boolean> => {
    t.ok(await chosen(router))
    const metrics = await (await fetch(`${router.url}/metrics`)).text()
    return seriesIn(metrics, `terrace_router_naming_total{result="${result}"}`) > 0
  }
  for (const engine of [a, b]) engine.settings = { ...engine.settings, namesMs: 5_000 }
  await until(counted('late'), 'late')
  await until(counted('resting'), 'and left alone for a while')
  for (const engine of [a, b]) engine.settings = { ...engine.settings, namesMs: 0, names: () => ({ odd: 1 }) }
  await until(counted('malformed'), 'malformed')
  for (const engine of [a, b]) engine.settings = { ...engine.settings, names: null }
  await until(async () => {
    await chosen(router)
    const { candidates } = await explain(router)
    return candidates.every(({ whyNoOverlap }) => whyNoOverlap === 'no_adapter')
  }, 'both are known to have no adapter')
  t.ok(await counted('no_adapter')())
})

void t.test(
  'without a prefix to go by: equal workers share, and a conversation stays where it is',
  async (t) => {
    const { a, b, router } = await scene(t)
    for (const engine of [a, b]) engine.settings = { ...engine.settings, names: null, firstMs: 300 }
    const send = (session: string | null): Promise<string | null> =>
      fetch(`${router.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(session === null ? ask : { ...ask, prompt_cache_key: session }),
      }).then(async (answer) => {
        await answer.text()
        return answer.headers.get('x-terrace-worker')
      })
    await Promise.all(Array.from({ length: 20 }, () => send(null)))
    t.ok(a.seen.length >= 8 && b.seen.length >= 8, `${a.seen.length} and ${b.seen.length} of 20`)
    for (const engine of [a, b]) engine.settings = { ...engine.settings, firstMs: 0 }
    for (const session of ['s1', 's2', 's3', 's4']) {
      const home = await send(session)
      for (let i = 0; i < 5; i++) t.equal(await send(session), home, session)
    }
  },
)
