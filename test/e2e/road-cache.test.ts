import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stationLog } from '../../daemon/up/document.ts'
import { startSeaweed } from '../servers/seaweed.ts'
import { type Answer, ask, System, until } from './system.ts'

/** The four ways a prefix comes back (the engine's own slot, host memory of the node, NVMe after a restart, S3 after the loss of
 *  the disk), with real engines and a real S3 server: answers equal those without cache, token by token. */

const questions = [4, 14, 32].map((days) => `${stationLog(days, days)}\n\nWhat did the tank give on day 3?`)

void t.test(
  'the same prefix again, elsewhere, after a restart, and after the loss of the disk',
  async (t) => {
    const directory = t.testdir()
    const seaweed = await startSeaweed(join(directory, 's3'))
    t.teardown(() => seaweed.stop())
    const options = {
      directory,
      words: ['--s3', `s3://terrace-road/kv?endpoint=${encodeURIComponent(seaweed.endpoint)}`],
      environment: { AWS_ACCESS_KEY_ID: seaweed.accessKey, AWS_SECRET_ACCESS_KEY: seaweed.secretKey },
    }
    let system = await System.start(options)
    t.teardown(() => system.stop())

    const cold: Answer[] = []
    for (const question of questions) cold.push(await ask(system, question, 'engine-1'))
    for (const [i, answer] of cold.entries()) {
      t.ok(answer.text.length > 10, `an answer: ${answer.text}`)
      t.ok(answer.promptTokens > 100, `${answer.promptTokens} tokens`)
      // The documents share their first lines and the chat template, so only the first prompt is wholly new.
      if (i === 0) t.equal(answer.cachedTokens, 0, 'nothing was cached')
    }
    const same = async (where: string, worker: string, tier: string): Promise<void> => {
      for (const [i, question] of questions.entries()) {
        const answer = await ask(system, question, worker)
        const whole = Math.floor(((cold[i]?.promptTokens ?? 0) - 1) / 64) * 64
        t.equal(answer.text, cold[i]?.text, `${where}: the same answer at ${cold[i]?.promptTokens} tokens`)
        t.ok(
          answer.cachedTokens >= whole,
          `${where}: ${answer.cachedTokens} of ${answer.promptTokens} cached`,
        )
        t.ok((answer.from.get(tier) ?? 0) > 0, `${where}: ${JSON.stringify([...answer.from])}`)
      }
    }
    await same('another engine', 'engine-2', 'host')
    const again = await ask(system, questions[2] ?? '', 'engine-2')
    t.equal(again.text, cold[2]?.text, 'the same engine again')
    t.ok((again.from.get('engine') ?? 0) > 0, JSON.stringify([...again.from]))

    t.ok(
      await until(async () => (await system.metric('terrace_tier_resident_blocks', 'tier="s3"')) > 0),
      'blocks reach S3',
    )
    const stopped = await system.stop()
    t.equal(stopped.end.code, 0)
    t.ok(stopped.ms < 3_500, `stopped in ${stopped.ms} ms`)

    system = await System.start(options)
    await same('after a restart', 'engine-1', 'nvme')
    await system.stop()

    rmSync(system.data, { recursive: true })
    system = await System.start(options)
    await same('after the loss of the disk', 'engine-2', 's3')
    t.equal(await system.metric('terrace_tier_damaged_blocks_total'), 0, 'no block was damaged')
  },
)
