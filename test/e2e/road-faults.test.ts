import { execFileSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, readdirSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stationLog } from '../../daemon/up/document.ts'
import { type Answer, ask, System, sleep, until } from './system.ts'

/** Real processes killed and real bytes damaged while real engines serve. */

const question = (days: number): string => `${stationLog(days, days)}\n\nWhat did the tank give on day 3?`

/** The process whose command line matches all the words. */
function processOf(...words: readonly string[]): number {
  const lines = execFileSync('pgrep', ['-af', words[0] ?? ''], { encoding: 'utf8' }).split('\n')
  const line = lines.find((each) => words.every((word) => each.includes(word)) && !each.includes('pgrep'))
  if (line === undefined) throw new Error(`no process ${words.join(' ')}: ${lines.join('\n')}`)
  return Number(line.split(' ')[0])
}

const daemonOf = (system: System): number => processOf(`terrace.ts daemon --data ${system.data}`)
const adapterOf = (system: System, name: string): number =>
  processOf(`engine llama --name ${name}`, system.data)
const enginePort = (system: System, name: string): string =>
  system.state.workers.find((worker) => worker.name === name)?.url ?? ''

/** How many slots of an engine compute. */
async function busyCount(url: string): Promise<number> {
  const slots = (await (await fetch(`${url}/slots`)).json()) as { is_processing: boolean }[]
  return slots.filter(({ is_processing }) => is_processing).length
}

/** Whether the router sees every worker serve. */
async function allServe(system: System): Promise<boolean> {
  const health = await fetch(`${system.url}/health`).catch(() => null)
  const { workers } = ((await health?.json()) ?? {}) as { workers?: { serving: number; all: number } }
  return workers !== undefined && workers.serving === workers.all
}

/** Asks again and again until told to stop; counts what came. */
function load(system: System): { readonly stop: () => Promise<{ right: number; failed: string[] }> } {
  let stopped = false
  const failed: string[] = []
  let right = 0
  const loops = [1, 2, 3].map(async (lane) => {
    for (let i = 0; !stopped; i++) {
      try {
        const answer = await ask(system, question(3 + ((lane + i) % 3)), null, 4)
        if (answer.text !== '') right++
      } catch (error) {
        failed.push(error instanceof Error ? error.message : String(error))
        await sleep(100)
      }
    }
  })
  return {
    stop: async () => {
      stopped = true
      await Promise.all(loops)
      return { right, failed }
    },
  }
}

/** Flips one bit in the payload of every sealed block of the slab. Returns how many. */
function damageSlab(data: string): number {
  const file = readdirSync(data, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.slab'))
  if (file === undefined) throw new Error('no slab')
  const descriptor = openSync(join(data, file), 'r+')
  const page = Buffer.alloc(4_096)
  const byte = Buffer.alloc(1)
  let flipped = 0
  const byteCount = fstatSync(descriptor).size
  for (let offset = 4_096; offset < byteCount; offset += 4_096) {
    readSync(descriptor, page, 0, 4_096, offset)
    if (page.toString('latin1', 0, 8) !== 'TERRACE\n') continue
    readSync(descriptor, byte, 0, 1, offset + 4_096 + 777)
    byte[0] = (byte[0] ?? 0) ^ 1
    writeSync(descriptor, byte, 0, 1, offset + 4_096 + 777)
    flipped++
  }
  closeSync(descriptor)
  return flipped
}

void t.test('faults under real engines', async (t) => {
  const directory = t.testdir()
  let system = await System.start({ directory })
  t.teardown(() => system.stop())

  await t.test('a client that goes away frees the engine’s slot', async (t) => {
    const url = enginePort(system, 'engine-1')
    const abort = new AbortController()
    const stream = await system.client.chat.completions.create(
      {
        model: 'default',
        stream: true,
        messages: [{ role: 'user', content: 'Count to a thousand, slowly.' }],
        max_tokens: 2_000,
        // Else the answer may end by itself in the time that its slot has to come free.
        ...{ ignore_eos: true },
      },
      { signal: abort.signal, headers: { 'x-terrace-worker': 'engine-1' } },
    )
    // Not by a loop that is left: leaving it would end the request already.
    const chunks = stream[Symbol.asyncIterator]()
    for (let at = await chunks.next(); !at.done && !at.value.choices[0]?.delta.content; )
      at = await chunks.next()
    const busy = async (): Promise<boolean> => (await busyCount(url)) > 0
    t.ok(await busy(), 'the slot works')
    abort.abort()
    const goneMs = Date.now()
    t.ok(await until(async () => !(await busy()), 5_000), 'the slot is free')
    t.ok(Date.now() - goneMs < 1_000, `after ${Date.now() - goneMs} ms`)
  })

  await t.test('so does one that does not stream, while the other slot generates', async (t) => {
    const url = enginePort(system, 'engine-1')
    const headers = { 'x-terrace-worker': 'engine-1' }
    const endless = { model: 'default', max_tokens: 2_000, ignore_eos: true, temperature: 0 }
    const messages = [{ role: 'user' as const, content: 'Write the longest story that you can.' }]
    const other = new AbortController()
    const stream = await system.client.chat.completions.create(
      { ...endless, messages, stream: true },
      { signal: other.signal, headers },
    )
    const read = (async () => {
      for await (const _ of stream);
    })().catch(() => undefined)
    t.ok(await until(async () => (await busyCount(url)) === 1), 'one slot generates')
    // A few times: on a busy machine the looking itself takes long.
    let freeMs = Number.POSITIVE_INFINITY
    for (let attempt = 0; attempt < 3 && freeMs > 1_000; attempt++) {
      const gone = new AbortController()
      const left = system.client.chat.completions
        .create({ ...endless, messages }, { signal: gone.signal, headers })
        .then(
          () => 'answered',
          () => 'left',
        )
      t.ok(await until(async () => (await busyCount(url)) === 2), 'and then both')
      await sleep(500)
      gone.abort()
      const goneMs = performance.now()
      t.ok(await until(async () => (await busyCount(url)) < 2, 5_000), 'one slot is free')
      freeMs = performance.now() - goneMs
      t.equal(await left, 'left')
    }
    t.ok(freeMs <= 1_000, `after ${Math.round(freeMs)} ms`)
    t.equal(await busyCount(url), 1, 'the stream goes on')
    other.abort()
    await read
    t.ok(await until(async () => (await busyCount(url)) === 0), 'all are free')
  })

  const truth: Answer[] = []
  for (const days of [3, 4, 5]) truth.push(await ask(system, question(days), 'engine-1'))
  const stillRight = async (t: Test, where: string): Promise<void> => {
    for (const [i, days] of [3, 4, 5].entries()) {
      for (const worker of ['engine-1', 'engine-2']) {
        t.equal((await ask(system, question(days), worker)).text, truth[i]?.text, `${where}, ${worker}`)
      }
    }
  }

  await t.test('kill -9 of the daemon: every request finishes, hits come back', async (t) => {
    const running = load(system)
    await sleep(1_500)
    process.kill(daemonOf(system), 'SIGKILL')
    await sleep(4_000)
    const { right, failed } = await running.stop()
    t.same(failed, [], `${right} answers`)
    t.ok(right > 3, `${right} answers`)
    t.ok(
      await until(
        async () => (await fetch(`${system.state.admin}/health`).catch(() => null))?.status === 200,
      ),
    )
    await stillRight(t, 'after the daemon')
    t.equal(await system.metric('terrace_tier_damaged_blocks_total'), 0)
  })

  await t.test('kill -9 of an adapter: its streams end, the rest goes on, it comes back', async (t) => {
    const running = load(system)
    await sleep(1_500)
    process.kill(adapterOf(system, 'engine-2'), 'SIGKILL')
    await sleep(6_000)
    const { right, failed } = await running.stop()
    t.ok(failed.length <= 3, `only what had begun there: ${failed.join('; ')}`)
    t.ok(right > 3, `${right} answers`)
    t.ok(await until(() => allServe(system), 60_000), 'all workers serve again')
    await stillRight(t, 'after the adapter')
  })

  await t.test('kill -9 of llama-server: the same', async (t) => {
    const running = load(system)
    await sleep(1_500)
    process.kill(processOf('llama-server', '--slot-save-path', 'engine-1'), 'SIGKILL')
    await sleep(6_000)
    const { right, failed } = await running.stop()
    t.ok(failed.length <= 3, `only what had begun there: ${failed.join('; ')}`)
    t.ok(right > 3, `${right} answers`)
    t.ok(await until(() => allServe(system), 60_000), 'all workers serve again')
    await stillRight(t, 'after llama-server')
    t.equal(await system.metric('terrace_tier_damaged_blocks_total'), 0)
  })

  await t.test('a flipped bit on disk: a miss, a counter, the right answer', async (t) => {
    await system.stop()
    t.ok(damageSlab(system.data) > 0, 'blocks were damaged')
    system = await System.start({ directory })
    await stillRight(t, 'after the damage')
    t.ok((await system.metric('terrace_tier_damaged_blocks_total')) > 0, 'it was counted')
    const again = await ask(system, question(5), 'engine-2')
    t.equal(again.text, truth[2]?.text)
    t.ok(again.cachedTokens > 0, 'the block was stored anew')
  })
})
