import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stationLog } from '../../daemon/up/document.ts'
import { smallDisk } from '../servers/small-disk.ts'
import { type Answer, ask, System, until } from './system.ts'

/** The drive runs full while `up` serves real engines: requests are answered as before, the failure is counted, the stop is in
 *  order, and the next start is warm. */

const question = (days: number): string => `${stationLog(days, days)}\n\nWhat did the tank give on day 3?`
const nvmeBytes = 768 * 2 ** 20

void t.test('a full drive under up', async (t) => {
  const directory = t.testdir({ data: {} })
  mkdirSync(join(directory, 'config'))
  const disk = await smallDisk(t, join(directory, 'data'), nvmeBytes + 2 ** 20)
  if (disk === null) {
    t.skip('no user of this machine may mount a tmpfs', () => undefined)
    return
  }
  const options = { directory, disk }
  let system = await System.start(options)
  t.teardown(() => system.stop())
  const answers = new Map<number, Answer>()
  const first = async (days: number): Promise<void> => {
    answers.set(days, await ask(system, question(days), 'engine-1'))
  }
  const again = async (days: number, tier: string): Promise<void> => {
    const { text, from } = await ask(system, question(days), 'engine-2')
    t.equal(text, answers.get(days)?.text, `${days} days: the other engine says the same`)
    t.ok((from.get(tier) ?? 0) > 0, `${days} days: from ${JSON.stringify([...from])}`)
  }
  await first(10)
  disk.fill()
  await first(12)
  await first(14)
  await again(12, 'host')
  const failures = () => system.metric('terrace_tier_catalog_failed_total', 'no_space')
  t.ok(await until(async () => (await failures()) === 1), 'the catalog found no room: counted')
  disk.free()
  await first(16)
  await again(14, 'host')
  const stopped = await system.stop()
  t.equal(stopped.end.code, 0, stopped.end.output)
  t.notMatch(stopped.end.output, /starting it again/, 'nothing ended on the way')

  system = await System.start(options)
  for (const days of answers.keys()) await again(days, 'nvme')
  t.equal(await system.metric('terrace_tier_damaged_blocks_total'), 0)
})
