import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePorts } from '../../daemon/up/ports.ts'
import type { Child } from '../servers/child.ts'
import { logBook, runLlamaServer, startEngine, until } from '../servers/llama.ts'

/** A llama-server that somebody else runs: it gets the same cache when its slots can be trusted, and is passed through with the
 *  reason when not. */

t.setTimeout(280_000)

void t.test('a server of one’s own', async (t) => {
  const directory = t.testdir()
  const [port = 0] = await freePorts(1)
  const slots = join(directory, 'slots')
  mkdirSync(slots)
  const url = `http://127.0.0.1:${port}`
  const run = (words: readonly string[]): Promise<Child> =>
    runLlamaServer(directory, port, ['--ctx-size', '1024', ...words])

  const plain = await run([])
  const engine = await startEngine(directory, 'own', ['--url', url, '--slots', slots])
  t.teardown(() => engine.child.stop(3_000))
  t.match((await engine.status()).kv, { state: 'off', why: /--slot-save-path/ })
  const body = { prompt: logBook(8), max_tokens: 4, temperature: 0 }
  const passed = await engine.post('/v1/completions', body)
  t.equal(passed.status, 200, 'it serves all the same')
  t.equal(passed.headers.get('x-terrace-reason'), 'kv_off')
  await plain.kill()
  t.ok(await until(async () => (await engine.status()).engine.state === 'down', 30_000), 'its end is seen')

  const hidden = await run(['--slot-save-path', slots])
  const why = async (): Promise<string> => (await engine.status()).kv.why
  t.ok(await until(async () => (await why()).includes('--cache-ram 0'), 60_000), await why())
  await hidden.kill()
  t.ok(await until(async () => (await engine.status()).engine.state === 'down', 30_000))

  const good = await run(['--slot-save-path', slots, '--cache-ram', '0'])
  t.teardown(() => good.kill())
  t.ok(await until(async () => (await engine.status()).kv.state === 'on', 60_000), await why())
  const first = await engine.post('/v1/completions', body)
  const second = await engine.post('/v1/completions', body)
  const textOf = (json: unknown): string => (json as { choices: [{ text: string }] }).choices[0].text
  t.equal(textOf(second.json), textOf(first.json))
  t.ok((second.from.engine ?? 0) >= 64, JSON.stringify(second.from))
})
