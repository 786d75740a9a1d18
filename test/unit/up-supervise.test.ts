import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { Part, type PartPlan } from '../../daemon/up/part.ts'
import { freePorts, requirePort } from '../../daemon/up/ports.ts'
import { Supervisor } from '../../daemon/up/supervise.ts'
import { realWorld } from '../../tiers/block/clock.ts'

const program = [process.execPath]
const planOf = (code: string, readyMsMax = 10_000): PartPlan => ({
  name: 'part',
  words: ['-e', code],
  readyMsMax,
})
const stays = 'process.stdin.on("end", () => process.exit(0)).resume();'

async function until(what: () => boolean): Promise<boolean> {
  for (let i = 0; i < 400; i++) {
    if (what()) return true
    await realWorld.sleep(25)
  }
  return false
}

void t.test('a part is ready when it says so, and stops when asked', async (t) => {
  const part = new Part(
    planOf(`console.log('not json'); console.log('{"port":5}'); ${stays}`),
    program,
    () => {},
    realWorld,
  )
  t.same(await part.ready(), { as: 'ready', line: { port: 5 } })
  await part.stop(2_000)
  t.equal((await part.ended).signal, 'SIGTERM')
})

void t.test('a part that fails is told with its last words', async (t) => {
  const lines: string[] = []
  const part = new Part(
    planOf('console.error("port 5 is in use"); process.exit(3)'),
    program,
    (line) => lines.push(line),
    realWorld,
  )
  const start = await part.ready()
  t.match(start, { as: 'failed', last: /port 5 is in use/ })
  t.same(lines, ['port 5 is in use'])
  const silent = new Part(planOf(stays, 100), program, () => {}, realWorld)
  t.match(await silent.ready(), { as: 'failed', last: /not ready after 0.1 s/ })
  await silent.stop(2_000)
})

void t.test('a part that ignores the request is ended by force, its children too', async (t) => {
  const file = join(t.testdir(), 'child')
  const part = new Part(
    planOf(
      `process.on('SIGTERM', () => {});
       const child = require('child_process').spawn('sleep', ['60']);
       require('fs').writeFileSync(${JSON.stringify(file)}, String(child.pid));
       console.log('{}'); ${stays}`,
    ),
    program,
    () => {},
    realWorld,
  )
  await part.ready()
  await part.stop(100)
  const childId = Number(readFileSync(file, 'utf8'))
  const gone = await until(() => !existsSync(`/proc/${childId}`) || /State:\s+Z/.test(statusOf(childId)))
  t.ok(gone, 'the child of the part is gone')
})

function statusOf(processId: number): string {
  try {
    return readFileSync(`/proc/${processId}/status`, 'utf8')
  } catch {
    return 'State: Z'
  }
}

void t.test('the supervisor starts a part again, until it is told to stop', async (t) => {
  const said: string[] = []
  const supervisor = new Supervisor({
    program,
    world: realWorld,
    say: (_, text) => said.push(text),
    log: () => {},
  })
  const line = await supervisor.start(planOf(`console.log(JSON.stringify({ id: process.pid })); ${stays}`))
  t.ok(line !== null)
  const first = supervisor.processIdOf('part') ?? 0
  process.kill(first, 'SIGKILL')
  t.ok(await until(() => said.includes('serves again')), said.join('; '))
  const second = supervisor.processIdOf('part') ?? 0
  t.not(second, first)
  await supervisor.stop([['part']], 1_000)
  t.ok(await until(() => !existsSync(`/proc/${second}`)), 'nothing is left')
})

void t.test('a port in use is named with the option that changes it', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  await t.rejects(requirePort('127.0.0.1', port, '--port'), { code: 'KVT_PORT_IN_USE', message: /--port/ })
  server.close()
  const ports = await freePorts(5)
  t.equal(new Set(ports).size, 5)
  await requirePort('127.0.0.1', ports[0] ?? 0, '--port')
})
