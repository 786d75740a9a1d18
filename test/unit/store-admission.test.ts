import t from 'tap'
import type { AdmissionSetting } from '../../tiers/admit.ts'
import { admissionDryMs } from '../../tiers/block/limits.ts'
import { Meter } from '../../tiers/block/metric.ts'
import { storeMetrics } from '../../tiers/metrics.ts'
import { openStore } from '../../tiers/open-store.ts'
import { admissionNamed } from '../../tiers/policy/admission.ts'
import { type Bucket, SimCold } from '../sim/cold.ts'
import { layoutOf, namespaceOf, ServedChecker, SimEngine } from '../sim/engine.ts'
import { SimFiles } from '../sim/files.ts'
import { FakeNative, noFaults } from '../sim/native.ts'
import { SimWorld } from '../sim/world.ts'

const layout = layoutOf(1, 1, 512)
const blockBytes = 1_024
const dayMs = 86_400_000
/** One for all stores here: some are opened again on what an earlier one wrote. */
const checker = new ServedChecker()

function settingOf(name: string, changes: Partial<AdmissionSetting> = {}): AdmissionSetting {
  const rule = admissionNamed(name)
  if (rule === null) throw new Error(`no rule ${name}`)
  return { rule, demotion: 'demote', writeBytesPerDay: 0, ...changes }
}

type Rig = {
  readonly hostBlocks?: number
  readonly nvmeBlocks?: number
  readonly files?: SimFiles
  readonly bucket?: Bucket
  readonly nvme?: AdmissionSetting
  readonly s3?: AdmissionSetting
}

/** A store in the simulated world with one engine; a prompt is a list of block numbers. */
async function openRig({ hostBlocks = 8, nvmeBlocks = 64, files = new SimFiles(), bucket, nvme, s3 }: Rig) {
  const world = new SimWorld(3)
  const native = new FakeNative(world, files.disk)
  native.faults = noFaults
  const meter = new Meter(storeMetrics)
  const cold = bucket === undefined ? null : new SimCold(world, native, bucket, () => noFaults)
  const opening = openStore({
    ...{ native, world, meter, files, s3: cold, policy: 'lru-leaf-only' },
    clusterSecret: new Uint8Array(32).fill(7),
    dataDirectory: '/data',
    hostBytes: hostBlocks * 4_096,
    nvmeBytes: nvmeBlocks === 0 ? 0 : 131_072 + nvmeBlocks * 8_192,
    admission: { ...(nvme === undefined ? {} : { nvme }), ...(s3 === undefined ? {} : { s3 }) },
  })
  const store = await world.until(opening)
  const id = store.openNamespace(namespaceOf('a', layout))
  if (id === null) throw new Error('no namespace')
  const engine = new SimEngine(namespaceOf('a', layout), 64, checker)
  const region = store.attachRegion(native.share(engine.memory), engine.memory.length, true)
  /** A request: loads what it can and stores the rest. Answers the hits. */
  const serve = async (...prompt: readonly number[]): Promise<number> => {
    const tokens = Uint32Array.from(prompt)
    const loading = engine.load(store, id, region, tokens, prompt.length, world.nowMs() + 10_000)
    const { readyBlocks } = await world.until(loading)
    engine.check(tokens, readyBlocks)
    const rest = prompt.length - readyBlocks
    engine.compute(tokens, readyBlocks, rest, 0)
    if (rest > 0) await world.until(engine.store(store, id, region, tokens, readyBlocks, rest))
    await world.pass(200)
    return readyBlocks
  }
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 60_000) await world.pass(Math.min(60_000, left))
  }
  const written = (tier: 'nvme' | 's3' = 'nvme'): number =>
    meter.valueOf('terrace_tier_demoted_blocks_total', { tier })
  const refused = (why: string, tier: 'nvme' | 's3' = 'nvme'): number =>
    meter.valueOf('terrace_tier_refused_blocks_total', { tier, why })
  const ready = (...prompt: readonly number[]): number =>
    store.lookup(id, Uint32Array.from(prompt)).readyBlocks
  return { world, store, meter, files, serve, pass, written, refused, ready }
}

void t.test('without a rule everything is written at once and nothing is asked', async (t) => {
  const { serve, written, store, meter } = await openRig({})
  await serve(1, 2, 3)
  t.equal(written(), 3)
  t.equal(store.usage().nvme.admission, undefined)
  t.equal(meter.valueOf('terrace_tier_offered_blocks_total'), 0)
})

void t.test('write-through: a refused block has a reason, and another chance at its next use', async (t) => {
  const nvme = settingOf('used-twice', { demotion: 'write-through' })
  const { serve, written, refused, store } = await openRig({ nvme })
  await serve(1, 2, 3)
  t.same([written(), refused('seldom_used')], [0, 3])
  await serve(1, 2, 9)
  t.same([written(), refused('seldom_used')], [2, 4], 'the two that were used again')
  t.match(store.usage().nvme.admission, {
    rule: 'used-twice',
    offeredBlocks: 6,
    refusedBlocksByWhy: { seldom_used: 4 },
    budgetUsed: null,
    dry: null,
  })
})

void t.test('demote: the drive gets blocks when host memory gives them up', async (t) => {
  const { serve, written, refused, ready } = await openRig({ nvme: settingOf('all') })
  await serve(1, 2, 3, 4)
  t.equal(written(), 0, 'nothing while there is room')
  await serve(11, 12, 13, 14, 15, 16)
  t.equal(written(), 4, 'a tail leaves and brings its ancestors along')
  t.equal(ready(1, 2, 3, 4), 4)
  t.equal(refused('rule'), 0)
})

void t.test('demote: what host memory still has is written at a stop, and found after it', async (t) => {
  const { world, serve, written, store, files } = await openRig({ nvme: settingOf('all') })
  await serve(1, 2, 3, 4)
  await world.until(store.close(world.nowMs() + 5_000))
  t.equal(written(), 4)
  const next = await openRig({ files, nvme: settingOf('all') })
  t.equal(next.ready(1, 2, 3, 4), 4)
})

void t.test('demote: a stop writes only what the rule admits', async (t) => {
  const { world, serve, written, store, refused } = await openRig({ nvme: settingOf('used-twice') })
  await serve(1, 2, 3, 4)
  await serve(1, 2)
  await world.until(store.close(world.nowMs() + 5_000))
  t.same([written(), refused('seldom_used')], [2, 2])
})

void t.test('demote: a block that the bucket holds already is still offered to the drive', async (t) => {
  const { serve, written } = await openRig({ bucket: new Map(), nvme: settingOf('all') })
  await serve(1, 2, 3, 4)
  t.same([written('s3'), written('nvme')], [4, 0])
  await serve(11, 12, 13, 14, 15, 16)
  t.equal(written('nvme'), 4)
})

void t.test('second eviction: host memory gave the block up before', async (t) => {
  const { serve, written, refused } = await openRig({ nvme: settingOf('second-eviction') })
  const scan = async (first: number): Promise<void> => {
    await serve(...Array.from({ length: 8 }, (_, at) => first + at))
  }
  await serve(1)
  await scan(10)
  t.same([written(), refused('first_eviction')], [0, 1])
  await serve(1)
  await scan(20)
  t.equal(written(), 1)
})

void t.test('a block does not push its own parent off the drive', async (t) => {
  const files = new SimFiles()
  const rig = { files, nvmeBlocks: 7, nvme: settingOf('all') }
  const first = await openRig(rig)
  for (let single = 1; single <= 7; single += 1) await first.serve(single)
  await first.world.until(first.store.close(first.world.nowMs() + 5_000))
  const { serve, store, ready, world, meter } = await openRig(rig)
  t.match(store.usage().nvme, { blockCount: 7 }, 'full, with block 1 on it')
  await serve(1, 100)
  for (let single = 2; single <= 7; single += 1) await serve(single)
  await serve(200)
  t.equal(meter.valueOf('terrace_tier_evicted_blocks_total', { tier: 'nvme' }), 1)
  await world.until(store.clear('host'))
  t.equal(ready(1, 100), 2, 'another block made room, although block 1 was unused for longest')
})

void t.test('a rule in front of the bucket: blocks go there at their second use', async (t) => {
  const s3 = settingOf('used-twice', { demotion: 'write-through' })
  const { serve, written, refused } = await openRig({ bucket: new Map(), nvmeBlocks: 0, s3 })
  await serve(1, 2, 3)
  t.same([written('s3'), refused('seldom_used', 's3')], [0, 3])
  await serve(1, 2, 3)
  t.equal(written('s3'), 3)
})

void t.test('the write budget ends writing, and time brings it back', async (t) => {
  const perDay = 24
  const nvme = settingOf('all', { demotion: 'write-through', writeBytesPerDay: perDay * blockBytes })
  const { serve, written, refused, pass, store } = await openRig({ nvme })
  for (let chain = 0; chain < 10; chain += 1) {
    const first = 100 * (chain + 1)
    await serve(first, first + 1, first + 2, first + 3)
  }
  t.equal(written(), perDay, 'a day at once, and not one block more')
  t.ok(refused('budget') >= 16)
  t.ok((store.usage().nvme.admission?.budgetUsed ?? 0) > 0.99)
  await pass(dayMs / 4)
  for (let chain = 0; chain < 10; chain += 1) {
    const first = 10_000 + 100 * chain
    await serve(first, first + 1, first + 2, first + 3)
  }
  t.equal(written(), perDay + perDay / 4, 'a quarter of a day gives a quarter of the bytes')
})

void t.test('a rule that admits nothing for long is told by a counter and in the usage', async (t) => {
  const { serve, pass, store, meter } = await openRig({ nvme: settingOf('used-twice') })
  const spells = (): number => meter.valueOf('terrace_tier_dry_spells_total', { tier: 'nvme' })
  let next = 1
  const scan = async (): Promise<void> => {
    await serve(next, next + 1, next + 2, next + 3, next + 4, next + 5)
    next += 6
  }
  const until = async (spanMs: number): Promise<void> => {
    for (let ms = 0; ms <= spanMs; ms += 60_000) {
      await scan()
      await pass(60_000)
    }
  }
  await until(admissionDryMs / 2)
  t.same([spells(), store.usage().nvme.admission?.dry], [0, null], 'not yet')
  await until(admissionDryMs)
  t.equal(spells(), 1, 'once per spell')
  t.ok((store.usage().nvme.admission?.dry?.ms ?? 0) >= admissionDryMs)
  await serve(1_000, 1_001)
  await serve(1_000, 1_001)
  await scan()
  await scan()
  t.equal(store.usage().nvme.admission?.dry, null, 'one admitted block ends it')
})

void t.test('whatever the rule, the drive can serve alone what it holds', async (t) => {
  for (const name of ['all', 'used-twice', 'second-eviction', 'known-or-used']) {
    for (const demotion of ['demote', 'write-through'] as const) {
      const files = new SimFiles()
      const rig = await openRig({
        files,
        hostBlocks: 32,
        nvmeBlocks: 24,
        nvme: settingOf(name, { demotion }),
      })
      const chance = rig.world.chance
      const prompts: number[][] = []
      for (let request = 0; request < 120; request += 1) {
        const length = 1 + Math.floor(chance() * 10)
        // Positions branch: block names must differ by position, or a prompt would repeat its own blocks.
        prompts.push(
          Array.from({ length }, (_, at) => at * 10 + (chance() < 0.7 ? 0 : Math.floor(chance() * 4))),
        )
        await rig.serve(...(prompts.at(-1) ?? []))
      }
      const { blockCount } = rig.store.usage().nvme
      await rig.world.until(rig.store.clear('host'))
      const reached = new Set<string>()
      for (const prompt of prompts) {
        for (let count = rig.ready(...prompt); count > 0; count -= 1) {
          reached.add(prompt.slice(0, count).join())
        }
      }
      t.equal(reached.size, blockCount, `${name}, ${demotion}: ${blockCount} blocks, all reachable`)
      t.ok(blockCount > 0, `${name}, ${demotion}: some were written`)
    }
  }
})
