import t from 'tap'
import { questions, stationLog } from '../../daemon/up/document.ts'
import { readUpOptions } from '../../daemon/up/fields.ts'
import { planParts, portsWanted } from '../../daemon/up/plan.ts'
import { bytesText, secondsText, textTable } from '../../daemon/up/table.ts'

const settled = (words: readonly string[]) => {
  const { options } = readUpOptions(words)
  const ports = Array.from({ length: portsWanted(options) }, (_, i) => 1_000 + i)
  return planParts({ options, data: '/d', model: '/m.gguf', llamaServer: '/llama', ports, coreCount: 4 })
}

void t.test('every part is told the others’ addresses', (t) => {
  const plan = settled(['--engines', '3', '--s3', 's3://b/p'])
  t.equal(plan.engines('/s').length, 3)
  t.same(
    plan.workers.map(({ url }) => url),
    ['http://127.0.0.1:1002', 'http://127.0.0.1:1003', 'http://127.0.0.1:1004'],
  )
  t.ok(plan.daemon.words.join(' ').includes('--s3 s3://b/p'))
  t.ok(plan.engines('/s').every(({ words }) => words.join(' ').includes('--daemon /s')))
  t.ok(plan.router.words.includes('engine-2=http://127.0.0.1:1003'))
  t.ok(
    plan.engines('/s').every(({ words }) => words.join(' ').includes('--threads 1')),
    'cores are shared out',
  )
  t.end()
})

void t.test('clients may choose the worker only on a loopback address without keys', (t) => {
  t.ok(settled([]).router.words.includes('--allow-worker-choice'))
  t.notOk(settled(['--host', '0.0.0.0']).router.words.includes('--allow-worker-choice'))
  t.notOk(settled(['--keys-file', 'k.json']).router.words.includes('--allow-worker-choice'))
  t.end()
})

void t.test('wrong options are refused by name', (t) => {
  t.throws(() => readUpOptions(['--engines', '0']), /engines/)
  t.throws(() => readUpOptions(['--portt', '1']), /--port/)
  t.throws(() => readUpOptions(['--config', '/nowhere.json']), /nowhere\.json/)
  t.end()
})

void t.test('the demo’s document is the same for a seed and holds its answers', (t) => {
  t.equal(stationLog(20, 7), stationLog(20, 7))
  t.not(stationLog(20, 7), stationLog(20, 8))
  t.match(stationLog(20, 7), /Day 3: .* gave \d+ litres/)
  t.equal(questions.length, 2)
  t.end()
})

void t.test('tables and units', (t) => {
  t.equal(textTable(['a', 'b'], [['x', '12']]), 'a  b\n-  --\nx  12')
  t.equal(bytesText(1_536), '1.5 KiB')
  t.equal(secondsText(250), '250 ms')
  t.equal(secondsText(2_500), '2.50 s')
  t.end()
})
