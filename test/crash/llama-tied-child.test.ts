import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTied, tieHere } from '../../daemon/adapters/llama/engine/child.ts'
import { until } from '../servers/llama.ts'

/** A tied child ends with its parent, however the parent ends, by both kinds of tie. */

const module = join(import.meta.dirname, '../../daemon/adapters/llama/engine/child.ts')
const ties = tieHere() === 'signal' ? (['signal', 'pipe'] as const) : (['pipe'] as const)

const pidIn = (file: string): number => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0)
const lives = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

for (const tie of ties) {
  void t.test(`${tie}: the parent is killed`, async (t) => {
    const directory = t.testdir()
    const file = join(directory, 'pid')
    const work = `echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 1000`
    const script = `
      const { startTied } = await import(${JSON.stringify(module)})
      startTied('sh', ['-c', ${JSON.stringify(work)}], '', ${JSON.stringify(join(directory, 'log'))}, '${tie}')
      setInterval(() => {}, 1000)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
    t.teardown(() => parent.kill('SIGKILL'))
    t.ok(await until(() => pidIn(file) > 0, 20_000), 'the child runs')
    const pid = pidIn(file)
    t.teardown(() => lives(pid) && process.kill(pid, 'SIGKILL'))
    t.ok(lives(pid))
    parent.kill('SIGKILL')
    t.ok(await until(() => !lives(pid), 10_000), 'and ends with its parent')
  })

  void t.test(`${tie}: it ends by itself, or is asked to`, async (t) => {
    const directory = t.testdir()
    const log = join(directory, 'log')
    const ended = startTied('sh', ['-c', 'echo said; exit 7'], directory, log, tie)
    t.equal(await new Promise((resolve) => ended.once('exit', resolve)), 7, 'its exit code comes through')
    t.equal(readFileSync(log, 'utf8'), 'said\n', 'what it says is in the log')
    const file = join(directory, 'pid')
    const asked = startTied('sh', ['-c', `echo $$ > ${file}; exec sleep 1000`], directory, log, tie)
    t.ok(await until(() => pidIn(file) > 0, 20_000))
    const exit = new Promise((resolve) => asked.once('exit', resolve))
    asked.kill('SIGTERM')
    await exit
    t.ok(await until(() => !lives(pidIn(file)), 10_000), 'nothing is left')
  })
}
