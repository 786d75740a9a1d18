import t from 'tap'
import { type BlockKey, keyAt } from '../../tiers/block/id.ts'
import { s3RateWindowMs, s3RestMsMax, tierErrorsMax, tierRestMs } from '../../tiers/block/limits.ts'
import { routeHashAt } from '../../tiers/block/route.ts'
import { Breaker } from '../../tiers/s3/breaker.ts'
import { Gate } from '../../tiers/s3/gate.ts'
import { idBefore, PackNames, packIdOf, packWallMs } from '../../tiers/s3/name.ts'
import { Pace } from '../../tiers/s3/pace.ts'
import { layPack } from '../../tiers/s3/pack.ts'
import { refusalOf } from '../../tiers/s3/refusal.ts'
import { Shelf } from '../../tiers/s3/shelf.ts'
import { Tempo } from '../../tiers/s3/tempo.ts'
import { SimWorld } from '../sim/world.ts'

void t.test('pack ids sort by time, also when the clock is set back', (t) => {
  const names = new PackNames('daemon1')
  const ids = [1_000, 2_000, 1_500, 2_000].map((wallMs) => names.next(wallMs))
  t.same(ids, ids.toSorted())
  t.equal(new Set(ids).size, 4)
  t.ok(ids.every((id) => names.isOwn(id)))
  t.notOk(new PackNames('daemon2').isOwn(ids[0] ?? ''))
  t.equal(packWallMs(ids[0] ?? ''), 1_000)
  t.ok(idBefore(1_000) < (ids[0] ?? '') && idBefore(1_001) > (ids[0] ?? ''))
  t.equal(packIdOf(`kv/v1/x/index/${ids[0]}`), ids[0])
  for (const foreign of ['kv/v1/x/index/readme.txt', '', 'a/0123456789ab-Daemon-000001']) {
    t.equal(packIdOf(foreign), null)
  }
  t.end()
})

void t.test('the breaker rests after errors in a row, longer each time, and wakes by success', async (t) => {
  const world = new SimWorld(1)
  let rests = 0
  const breaker = new Breaker(world, () => {
    rests += 1
  })
  for (let i = 1; i < tierErrorsMax; i++) breaker.bad('x')
  breaker.good()
  for (let i = 1; i < tierErrorsMax; i++) breaker.bad('x')
  t.equal(breaker.restMs(), 0, 'a success starts the count again')
  breaker.bad('it broke')
  t.equal(breaker.why(), 'it broke')
  const first = breaker.restMs()
  t.ok(first > tierRestMs / 2 && first <= tierRestMs)
  breaker.bad('a late one')
  t.equal(breaker.restMs(), first, 'what was under way adds nothing')
  for (let i = 0; i < 10; i++) {
    await world.pass(breaker.restMs())
    t.equal(breaker.restMs(), 0)
    breaker.bad('again')
  }
  t.ok(breaker.restMs() > s3RestMsMax / 2 && breaker.restMs() <= s3RestMsMax)
  t.equal(rests, 11)
  breaker.wake()
  t.equal(breaker.restMs(), 0)
})

void t.test('the gate: reads first, background on half of the places, nobody past a deadline', async (t) => {
  const world = new SimWorld(2)
  const gate = new Gate(world, 4)
  const far = world.nowMs() + 10_000
  t.same(await Promise.all([1, 2].map(() => gate.enter('background', far))), [true, true])
  const third = gate.enter('background', far)
  t.same(await Promise.all([1, 2].map(() => gate.enter('read', far))), [true, true])
  const read = gate.enter('read', far)
  const hasty = gate.enter('read', world.nowMs() + 5)
  t.equal(await world.until(hasty), false)
  gate.leave('background')
  t.equal(await read, true, 'the read goes before the background that waited longer')
  gate.leave('read')
  t.equal(await third, true)
  t.equal(await gate.enter('read', world.nowMs()), false)
})

void t.test('the pace cuts what does not flow, and lets flow what does', async (t) => {
  const world = new SimWorld(3)
  const stalled = new Pace(world, { ms: 60_000, fault: 'store' }, 'flowing')
  await world.pass(s3RateWindowMs - 1)
  t.notOk(stalled.signal.aborted)
  await world.pass(2)
  t.ok(stalled.signal.aborted)
  await t.rejects(stalled.ended, { name: 'Late', fault: 'store' })

  const flowing = new Pace(world, { ms: 20_000, fault: 'caller' }, 'flowing')
  for (let i = 0; i < 60; i++) {
    flowing.moved(300_000)
    await world.pass(250)
  }
  t.notOk(flowing.signal.aborted, 'above the floor')
  flowing.wait()
  await world.pass(4_000)
  t.notOk(flowing.signal.aborted, 'nothing more is to be sent')
  await world.pass(2_000)
  // The total holds all the same.
  await t.rejects(flowing.ended, { name: 'Late', fault: 'caller' })
})

void t.test('errors of the client are sorted by their code and status', (t) => {
  const of = (name: string, httpStatusCode?: number, code?: string) =>
    refusalOf(Object.assign(new Error('foreign secret text'), { name, code, $metadata: { httpStatusCode } }))
  t.same(of('NoSuchKey', 404), { as: 'absent' })
  t.same(of('NoSuchBucket', 404), { as: 'bucket_missing' })
  t.same(of('PreconditionFailed', 412), { as: 'exists', again: false })
  t.same(of('InvalidRange', 416), { as: 'range' })
  t.same(of('SlowDown', 503), { as: 'slow_down' })
  t.same(of('TooManyRequests', 429), { as: 'slow_down' })
  t.same(of('NotImplemented', 501), { as: 'unsupported' })
  t.match(of('InternalError', 500), { as: 'failed' })
  t.match(of('AccessDenied', 403), { as: 'denied', why: /policy in/ })
  t.match(of('Whatever', 403), { as: 'denied' })
  t.match(of('PermanentRedirect', 301), { as: 'denied', why: /elsewhere/ })
  t.match(of('Error', undefined, 'ECONNREFUSED'), { as: 'failed', why: 'nothing listens at the endpoint' })
  t.match(of('Odd name, with text'), { as: 'failed', why: /unnamed error/ })
  t.match(refusalOf('not even an error'), { as: 'failed' })
  t.notMatch(JSON.stringify(['AccessDenied', 'Odd'].map((name) => of(name, 403))), /secret text/)
  t.end()
})

void t.test('the shelf: one place per block, whole packs go, the unused first', (t) => {
  const key = (i: number): BlockKey => keyAt(new Uint8Array(32).fill(i), 0)
  const packOf = (id: string, ...keys: number[]) =>
    layPack(
      id,
      keys.map((i) => ({
        ...{ key: key(i), parent: null, namespace: key(200), layout: '00112233445566ff', position: 0 },
        ...{ blockTokens: 16, payloadBytes: 600, checksum: 1, generation: 0 },
        route: routeHashAt(new Uint8Array(8), 0),
      })),
    )
  const shelf = new Shelf(4)
  t.equal(shelf.add(packOf('a', 1, 2), 'f', true).length, 2)
  t.equal(shelf.add(packOf('b', 2, 3), 'f', false).length, 1, 'a block that is known stays where it is')
  t.equal(shelf.add(packOf('b', 2, 3), 'f', false).length, 0)
  t.equal(shelf.placeOf(key(2))?.pack.id, 'a')
  t.equal(shelf.blockCount, 3)
  shelf.touch(
    shelf.placeOf(key(1))?.pack ?? { ...packOf('x', 9), folder: '', own: true, byteCount: 0, keys: [] },
  )
  shelf.add(packOf('c', 4, 5), 'f', true)
  t.same(shelf.shrink(), [key(3)], 'b was unused for longest')
  t.equal(shelf.oldestOwn()?.id, 'a')
  t.equal(shelf.forget(key(1)), null)
  t.equal(shelf.forget(key(1)), null)
  const empty = shelf.forget(key(2))
  t.equal(empty?.id, 'a')
  t.same(empty === null ? null : shelf.remove(empty), [])
  const last = shelf.placeOf(key(4))?.pack
  t.same(last === undefined ? null : shelf.remove(last), [key(4), key(5)])
  t.same([shelf.blockCount, shelf.usedBytes, shelf.ownBytes], [0, 0, 0])
  t.end()
})

void t.test('the tempo follows what was measured, and counts what waits', (t) => {
  const tempo = new Tempo()
  t.equal(tempo.readMsOf(1_000), null)
  tempo.measured(1_000_000, 10, 110)
  t.equal(tempo.readMsOf(1_000_000), 110)
  tempo.queued(1_000_000)
  t.equal(tempo.readMsOf(1_000_000), 210)
  tempo.queued(-1_000_000)
  for (let i = 0; i < 50; i++) tempo.measured(1_000_000, 20, 220)
  const later = tempo.readMsOf(1_000_000) ?? 0
  t.ok(later > 200 && later < 221)
  t.end()
})
