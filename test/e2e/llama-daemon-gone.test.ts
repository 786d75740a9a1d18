import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type EngineRun, logBook, socketFolder, startDaemon, startEngine, until } from '../servers/llama.ts'

/** The daemon stopped, killed and back again, under an engine that goes on serving: each is a miss and no more, and what was stored
 *  before is loaded after. */

t.setTimeout(280_000)

const body = {
  messages: [{ role: 'user', content: `${logBook(12)}\n\nWhat did the barrel hold on day 3?` }],
  max_tokens: 6,
  temperature: 0,
}

type Chat = { choices: [{ message: { content: string } }] }

async function ask(
  engine: EngineRun,
  tenant = 'default',
): Promise<{ text: string; from: Readonly<Record<string, number>>; why: string }> {
  const { json, from, headers } = await engine.post('/v1/chat/completions', body, {
    'x-terrace-tenant': tenant,
  })
  const text = (json as Chat).choices[0].message.content
  return { text, from, why: headers.get('x-terrace-reason') ?? '' }
}

void t.test('a daemon that stops, dies and comes back', async (t) => {
  const directory = t.testdir()
  const folder = socketFolder()
  t.teardown(folder.remove)
  const socket = join(folder.path, 'd.sock')
  const daemon = await startDaemon(directory, socket)
  t.teardown(() => daemon.child.stop(3_000))
  const engine = await startEngine(directory, 'gone', ['--daemon', socket])
  t.teardown(() => engine.child.stop(3_000))

  const cold = await ask(engine)
  t.equal(cold.why, 'absent')
  const stored = (await engine.status()).counters
  t.ok(await until(async () => (await engine.status()).counters.blocksStored > 0), JSON.stringify(stored))

  const onDisk = async (): Promise<boolean> => {
    const answer = await fetch(`http://127.0.0.1:${daemon.ready.adminPort}/status`)
    const status = (await answer.json()) as { tiers: { nvme: { blockCount: number } } }
    return status.tiers.nvme.blockCount >= 4
  }
  t.ok(await until(onDisk), 'and written to disk')

  process.kill(daemon.child.pid, 'SIGSTOP')
  const stopped = await ask(engine, 'other')
  process.kill(daemon.child.pid, 'SIGCONT')
  t.equal(stopped.text, cold.text, 'the daemon hangs: the same answer')
  t.same(stopped.from, { engine: 0, host: 0, nvme: 0, s3: 0 })
  t.match(stopped.why, /^(no_daemon|deadline)$/)

  await daemon.child.kill()
  t.ok(await until(async () => (await engine.status()).daemon.state === 'connecting', 5_000))
  const alone = await ask(engine, 'third')
  t.equal(alone.text, cold.text, 'the daemon is dead: the same answer')
  t.equal(alone.why, 'no_daemon')

  const next = await startDaemon(directory, socket)
  t.teardown(() => next.child.stop(3_000))
  t.ok(
    await until(async () => (await engine.status()).daemon.movesBlocks === 'yes', 10_000),
    'attached again',
  )
  const { processId, generation } = (await engine.status()).engine
  process.kill(processId, 'SIGKILL')
  const back = async (): Promise<boolean> => (await engine.status()).engine.generation > generation
  t.ok(await until(back, 30_000))
  const ready = async (): Promise<boolean> => (await fetch(`${engine.url}/health`)).status === 200
  t.ok(await until(ready, 60_000), 'the engine has lost its slots')
  const warm = await ask(engine)
  t.equal(warm.text, cold.text, 'the same answer')
  const loaded = (warm.from.nvme ?? 0) + (warm.from.host ?? 0)
  const gated = /^(slower_than_recompute|deadline)$/.test(warm.why)
  t.ok(loaded > 0 || gated, `loaded, or not worth it on a busy machine: ${JSON.stringify(warm)}`)
  t.equal((await engine.status()).counters.wrongGuesses, 0)

  const slots = join(
    existsSync('/dev/shm') ? '/dev/shm' : join(directory, 'gone'),
    `terrace-slots-gone-${engine.child.pid}`,
  )
  rmSync(slots, { recursive: true })
  const without = await ask(engine, 'fourth')
  t.equal(without.text, cold.text, 'no folder for slot files: the same answer')
  const dropped = async (): Promise<boolean> => ((await engine.status()).counters.drops.save_failed ?? 0) > 0
  t.ok(await until(dropped), 'and the loss is counted')
})
