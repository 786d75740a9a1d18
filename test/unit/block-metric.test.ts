import t from 'tap'
import { placeProblem } from '../../tiers/block/layout.ts'
import { Meter } from '../../tiers/block/metric.ts'

void t.test('exposition, escaping, and a bound on label sets', (t) => {
  const meter = new Meter({
    terrace_things_total: { kind: 'counter', labels: ['why'], about: 'Things.' },
    terrace_wait_seconds: { kind: 'histogram', labels: [], about: 'Waits.' },
  })
  meter.add('terrace_things_total', { why: 'a"b\n' })
  meter.observe('terrace_wait_seconds', {}, 0.02)
  const text = meter.text()
  t.match(text, 'terrace_things_total{why="a\\"b\\n"} 1')
  t.match(text, 'terrace_wait_seconds_bucket{le="0.025"} 1')
  t.match(text, 'terrace_wait_seconds_bucket{le="0.01"} 0')
  t.match(text, 'terrace_wait_seconds_sum 0.02')
  for (let i = 0; i < 2_000; i++) meter.add('terrace_things_total', { why: `w${i}` })
  t.equal(meter.valueOf('terrace_things_total'), 2_001, 'nothing is lost')
  t.ok(meter.valueOf('terrace_things_total', { why: 'other' }) > 900)
  t.throws(() => meter.add('terrace_things_total', {}), /complete/)
  t.end()
})

void t.test('a place that reaches outside its region is named', (t) => {
  const layout = { blockTokens: 4, dtype: 'f16', planes: [{ name: 'k', layerCount: 3, pieceBytes: 10 }] }
  const place = { planes: [{ baseOffset: 5, layerStride: 100, blockStride: 10 }] }
  t.equal(placeProblem(layout, place, 2, 225), null, 'ends exactly at the end')
  t.match(placeProblem(layout, place, 2, 224), /outside the region/)
  t.match(placeProblem(layout, { planes: [] }, 2, 224), /match/)
  t.match(
    placeProblem(layout, { planes: [{ baseOffset: -1, layerStride: 0, blockStride: 0 }] }, 1, 99),
    /baseOffset/,
  )
  t.match(
    placeProblem(layout, { planes: [{ baseOffset: 2 ** 60, layerStride: 0, blockStride: 0 }] }, 1, 99),
    /./,
  )
  t.end()
})
