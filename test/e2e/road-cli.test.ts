import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import t from 'tap'
import { freePorts } from '../../daemon/up/ports.ts'
import { shortFolder } from '../servers/daemon-process.ts'
import { ordinaryUser } from '../servers/ordinary-user.ts'
import { System, sleep } from './system.ts'

const program = resolve(import.meta.dirname, '../../terrace.ts')
const terrace = (words: readonly string[], environment: Record<string, string> = {}) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ...environment },
  })
  return { status, stdout, stderr }
}

void t.test('every word has help with examples; an unknown one names the nearest', (t) => {
  for (const word of ['up', 'daemon', 'router', 'bench', 'status', 'doctor', 'demo']) {
    const { status, stdout } = terrace([word, '--help'])
    t.equal(status, 0, word)
    t.match(stdout, new RegExp(`terrace ${word}`), word)
  }
  t.match(terrace(['engine', '--help']).stdout, /terrace engine llama/)
  t.match(terrace(['engine', 'llama', '--help']).stdout, /--slots/)
  t.match(terrace([]).stdout, /Usage: terrace/)
  const wrong = terrace(['stauts'])
  t.equal(wrong.status, 2)
  t.match(wrong.stderr, /did you mean "status"/)
  t.end()
})

void t.test(
  'the command of a checkout that is not set up says so, and one that is linked elsewhere finds its checkout',
  (t) => {
    const root = resolve(import.meta.dirname, '../..')
    const directory = t.testdir({ bare: {}, linked: {} })
    copyFileSync(join(root, 'terrace'), join(directory, 'bare', 'terrace'))
    const bare = spawnSync('sh', [join(directory, 'bare', 'terrace'), 'status'], { encoding: 'utf8' })
    t.equal(bare.status, 1)
    t.match(bare.stderr, /is not set up yet: run "npm start"/)
    symlinkSync(join(root, 'terrace'), join(directory, 'linked', 'terrace'))
    const linked = spawnSync(join(directory, 'linked', 'terrace'), ['--help'], { encoding: 'utf8', cwd: '/' })
    t.match(linked.stdout, /Usage: terrace/)
    t.end()
  },
)

void t.test('what cannot work is one clear sentence, and nothing is left behind', async (t) => {
  const directory = t.testdir({ 'model.txt': 'not a model', 'bad.json': '{"daemon": {"hostByte": 5}}' })
  const [port = 0] = await freePorts(1)
  const up = (words: readonly string[]) =>
    terrace(['up', '--port', String(port), '--data', join(directory, 'data'), ...words], {
      XDG_CONFIG_HOME: directory,
    })
  const small = ['--engines', '1', '--host-bytes', '64MiB', '--nvme-bytes', '64MiB']
  const cases: readonly [string, readonly string[], RegExp][] = [
    ['no such model', ['--model', '/nowhere.gguf'], /model file \/nowhere\.gguf does not exist/],
    ['not a model', ['--model', join(directory, 'model.txt')], /not in GGUF format/],
    ['no such binary', ['--llama-server', '/nowhere/llama-server'], /llama-server/],
    ['unknown option', ['--engine', '2'], /did you mean --engines/],
    ['value out of range', ['--engines', '0'], /--engines/],
    ['config with an unknown field', ['--config', join(directory, 'bad.json')], /hostByte/],
    ['config that is not there', ['--config', join(directory, 'no.json')], /no\.json cannot be read/],
    ['more disk than there is', ['--nvme-bytes', '60TiB'], /bytes free, .* give a smaller --nvme-bytes/],
    // The last part of all: daemon and engines serve already.
    ['keys that are not there', [...small, '--keys-file', '/nowhere'], /\/nowhere cannot be read/],
  ]
  for (const [name, words, says] of cases) {
    const { status, stderr, stdout } = up(words)
    t.not(status, 0, name)
    t.match(`${stderr}${stdout}`, says, name)
    t.notMatch(stderr, /\n {4}at /, `${name}: no stack trace`)
    t.notOk(existsSync(join(directory, 'data')), `${name}: no data directory`)
  }
  const holder = createServer()
  await new Promise<void>((done) => holder.listen(port, '127.0.0.1', done))
  const busy = up([])
  holder.close()
  t.equal(busy.status, 1)
  t.match(busy.stderr, new RegExp(`port ${port} is in use`))
  t.notOk(existsSync(join(directory, 'data')), 'port in use: no data directory')
  t.equal(processesOf(directory), '', 'no process is left')
})

void t.test('what may not be written is one clear sentence, as any user', async (t) => {
  const folder = shortFolder(t)
  const user = ordinaryUser(folder)
  if (user === null) {
    t.skip('this user can neither be another one nor give up a right', () => undefined)
    return
  }
  const { lead, locked, open } = user
  const run = (words: readonly string[]) => {
    const [command = '', ...rest] = [...lead, process.execPath, program, ...words]
    const env = { ...process.env, HOME: locked, XDG_CONFIG_HOME: locked }
    return spawnSync(command, rest, { encoding: 'utf8', timeout: 60_000, env })
  }
  const data = join(locked, 'data')
  const [port = 0] = await freePorts(1)
  const unwritable = /data directory .* cannot be written \(EACCES\): give a writable one with --data/
  const cases: readonly [string, readonly string[], RegExp][] = [
    ['up', ['up', '--port', String(port), '--data', data], unwritable],
    ['daemon', ['daemon', '--data', data, '--secret-file', join(open, 'secret')], unwritable],
    ['secret', ['daemon', '--data', data], /secret file .* cannot be created \(EACCES\): give another/],
  ]
  for (const [name, words, says] of cases) {
    const { status, stderr } = run(words)
    t.equal(status, 1, name)
    t.match(stderr, says, name)
    t.equal(stderr.trim().split('\n').length, 1, `${name}: one line`)
  }
  t.strictSame(readdirSync(locked), [], 'nothing is left')
})

void t.test('a file where the data directory should be', async (t) => {
  const directory = t.testdir({ data: 'a file' })
  const [port = 0] = await freePorts(1)
  const { status, stderr } = terrace(['up', '--port', String(port), '--data', join(directory, 'data')])
  t.equal(status, 1)
  t.match(stderr, /cannot be written|not a directory/)
})

void t.test('a second start, status, doctor, ctrl-C', async (t) => {
  const directory = t.testdir()
  const system = await System.start({ directory, words: ['--engines', '1'] })
  t.teardown(() => system.stop())
  const [port = 0] = await freePorts(1)
  const second = terrace(['up', '--port', String(port), '--data', system.data])
  t.equal(second.status, 1)
  t.match(second.stderr, /in use by process \d+/)

  const status = terrace(['status', '--data', system.data])
  t.equal(status.status, 0, status.stderr)
  for (const word of ['engine-1', 'host', 'nvme', 'requests']) t.match(status.stdout, word)
  const json = JSON.parse(terrace(['status', '--json', '--data', system.data]).stdout) as { daemon: unknown }
  t.ok(json.daemon !== null)
  const doctor = terrace(['doctor', '--data', system.data])
  t.equal(doctor.status, 0, doctor.stdout)
  t.match(doctor.stdout, /CUDA/)

  const models = await system.client.models.list()
  t.ok(models.data.length > 0)
  const stopped = await system.stop()
  t.equal(stopped.end.code, 0, stopped.end.output)
  t.ok(stopped.ms < 3_500, `stopped in ${stopped.ms} ms`)
  await sleep(300)
  t.equal(processesOf(directory), '', 'no process is left')
  t.match(terrace(['status', '--data', system.data]).stderr, /nothing runs/)
})

void t.test('kill -9 of up leaves nothing running', async (t) => {
  const directory = t.testdir()
  const system = await System.start({ directory, words: ['--engines', '1'] })
  system.child.kill('SIGKILL')
  await system.ended
  for (let i = 0; i < 100 && processesOf(directory) !== ''; i++) await sleep(100)
  t.equal(processesOf(directory), '', 'no process is left')
})

/** Command lines of processes that name the directory. */
function processesOf(directory: string): string {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, '.mark'), '')
  try {
    return execFileSync('pgrep', ['-af', directory], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line !== '' && !line.includes('pgrep'))
      .join('\n')
  } catch {
    return ''
  }
}
