import t from 'tap'
import {
  type EngineRun,
  logBook,
  type Posted,
  socketFolder,
  startDaemon,
  startEngine,
  until,
} from '../servers/llama.ts'

/** The cache never changes an answer: at every hit length, loaded and computed blocks together give the tokens that a cold run
 *  gives. Each hit length has a tenant of its own, which is also how tenants are seen to be apart. */

t.setTimeout(280_000)

const answerTokens = 12

/** Tokens with their probabilities to the last bit. Why not tokens alone: KV that differs in its low bits changes the
 *  probabilities at once, and the tokens only when two are close. */
function answerOf(posted: Posted): unknown {
  return posted.json.completion_probabilities
}

async function complete(engine: EngineRun, prompt: readonly number[], tenant: string): Promise<Posted> {
  const body = { prompt, n_predict: answerTokens, temperature: 0, n_probs: 3 }
  return engine.post('/completion', body, { 'x-terrace-tenant': tenant })
}

void t.test('answers are equal for blocks loaded up to any length', async (t) => {
  const directory = t.testdir()
  const folder = socketFolder()
  t.teardown(folder.remove)
  const socket = `${folder.path}/d.sock`
  const daemon = await startDaemon(directory, socket)
  t.teardown(() => daemon.child.stop(3_000))
  const writer = await startEngine(directory, 'writer', ['--daemon', socket])
  t.teardown(() => writer.child.stop(3_000))
  const reader = await startEngine(directory, 'reader', ['--daemon', socket])
  t.teardown(() => reader.child.stop(3_000))
  for (const engine of [writer, reader]) {
    const status = await engine.status()
    t.equal(status.kv.state, 'on', status.kv.why)
    t.equal(status.daemon.movesBlocks, 'yes')
  }
  const { json } = await writer.post('/tokenize', { content: logBook(40), add_special: true })
  const prompt = (json.tokens as number[]).slice(0, 690)
  t.equal(prompt.length, 690)
  const whole = 640

  const cold = await complete(reader, prompt, 'cold')
  t.equal(cold.status, 200)
  t.same(cold.from, { engine: 0, host: 0, nvme: 0, s3: 0 })
  t.equal((answerOf(cold) as unknown[]).length, answerTokens)

  for (const length of [64, 320, 576, whole]) {
    const tenant = `until-${length}`
    const before = (await writer.status()).counters.blocksStored
    const stored = await complete(writer, prompt.slice(0, length + 1), tenant)
    t.same(stored.from.host, 0, 'another tenant holds nothing of this')
    const all = async (): Promise<boolean> =>
      (await writer.status()).counters.blocksStored - before === length / 64
    t.ok(await until(all), `${length / 64} blocks are stored`)
    const warm = await complete(reader, prompt, tenant)
    t.same(warm.from, { engine: 0, host: length, nvme: 0, s3: 0 }, `${length} tokens are loaded`)
    t.same(answerOf(warm), answerOf(cold), `the same answer with ${length} tokens loaded`)
    const timings = warm.json.timings as { cache_n: number; prompt_n: number }
    t.equal(timings.cache_n, length, 'the counts say what was not computed')
    t.equal(timings.prompt_n, prompt.length - length)
    const again = await complete(reader, prompt, tenant)
    t.same(again.from, { engine: whole, host: 0, nvme: 0, s3: 0 }, 'the slot itself has the whole blocks')
    t.equal(again.headers.get('x-terrace-reason'), 'complete')
    t.same(answerOf(again), answerOf(cold), 'the same answer from the slot')
  }
  for (const engine of [writer, reader]) {
    const { counters } = await engine.status()
    t.equal(counters.wrongGuesses, 0)
    t.same(counters.drops, {})
  }
  const named = await reader.post('/terrace/prompt', { path: '/v1/completions', body: { prompt } })
  const hashes = named.json.hashes as string[]
  t.equal(hashes.length, 10, 'the router gets a name for every whole block')
  t.ok(hashes.every((hash) => /^[0-9a-f]{16}$/.test(hash)))
  const held = async (): Promise<number> => {
    const answer = await fetch(`http://127.0.0.1:${daemon.ready.adminPort}/status`)
    return ((await answer.json()) as { tiers: { hbm: { blockCount: number } } }).tiers.hbm.blockCount
  }
  t.ok(await until(async () => (await held()) >= whole / 64), 'and the daemon knows what the slots hold')
  await reader.child.kill()
  await writer.child.kill()
  t.ok(await until(async () => (await held()) === 0), 'and that they are gone')
})
