import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { takeDataDirectory } from '../../daemon/data-directory.ts'
import { identityFrom, identityOfThisProcess, identityText, isAlive } from '../../daemon/process-identity.ts'

const module = JSON.stringify(new URL('../../daemon/data-directory.ts', import.meta.url).href)

/** A process that takes the directory, says how that went, and lives on until it is killed. */
function taker(t: Test, path: string): { readonly child: ChildProcess; readonly says: Promise<string> } {
  const program = `
    const { takeDataDirectory } = await import(${module})
    try { takeDataDirectory(process.argv[1]); console.log('taken') } catch (error) { console.log(error.code) }
    setInterval(() => undefined, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', path])
  t.teardown(() => child.kill('SIGKILL'))
  const says = new Promise<string>((resolve) => {
    child.stdout.once('data', (data) => resolve(String(data).trim()))
    child.once('close', () => resolve('died'))
  })
  return { child, says }
}

function gone(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve())
    child.kill('SIGKILL')
  })
}

void t.test('made for its user, given back whole', async (t) => {
  const path = join(t.testdir(), 'a/b/data')
  const data = takeDataDirectory(path)
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.strictSame(readdirSync(path).sort(), ['daemon.lock', 'version'])
  t.throws(() => takeDataDirectory(path), {
    code: 'KVT_DATA_IN_USE',
    message: new RegExp(`process ${process.pid}`),
  })
  data.release()
  t.strictSame(readdirSync(path), ['version'])
  takeDataDirectory(path).release()
})

void t.test('a living process keeps it, a dead one does not', async (t) => {
  const path = join(t.testdir(), 'data')
  const first = taker(t, path)
  t.equal(await first.says, 'taken')
  t.throws(() => takeDataDirectory(path), {
    code: 'KVT_DATA_IN_USE',
    message: new RegExp(String(first.child.pid)),
  })
  await gone(first.child)
  t.ok(existsSync(join(path, 'daemon.lock')), 'kill -9 leaves the lock')
  takeDataDirectory(path).release()
  t.strictSame(readdirSync(path), ['version'])
})

void t.test('many takers of a dead lock: exactly one wins', async (t) => {
  const path = join(t.testdir(), 'data')
  for (let round = 0; round < 3; round++) {
    const dead = taker(t, path)
    t.equal(await dead.says, 'taken')
    await gone(dead.child)
    const rivals = Array.from({ length: 6 }, () => taker(t, path))
    const said = await Promise.all(rivals.map(({ says }) => says))
    t.strictSame(said.filter((word) => word === 'taken').length, 1, said.join())
    t.ok(
      said.every((word) => word === 'taken' || word === 'KVT_DATA_IN_USE'),
      said.join(),
    )
    await Promise.all(rivals.map(({ child }) => gone(child)))
  }
  takeDataDirectory(path).release()
  t.strictSame(readdirSync(path), ['version'], 'no names of the fight are left')
})

void t.test('a lock that was taken over meanwhile is not taken over again', async (t) => {
  const path = join(t.testdir(), 'data')
  takeDataDirectory(path).release()
  const me = identityOfThisProcess()
  const lock = join(path, 'daemon.lock')
  const dead = { ...me, startTicks: '1' }
  writeFileSync(lock, identityText(dead))
  // The right to take over is read from a pipe: whoever reads it first waits until the rival has taken the lock.
  const pipe = `${lock}.of-${dead.pid}-1`
  spawnSync('mkfifo', ['-m', '600', pipe])
  const init = readFileSync('/proc/1/stat', 'latin1')
  const startTicks = init.slice(init.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  writeFileSync(join(path, 'rival'), identityText({ pid: 1, startTicks, boot: me.boot }))
  const script = 'exec 3> "$1"; mv "$2" "$3"; echo dead >&3; exec 3>&-; sleep 0.5; echo dead > "$1"'
  const rival = spawn('sh', ['-c', script, 'sh', pipe, join(path, 'rival'), lock])
  t.teardown(() => void rival.kill('SIGKILL'))
  t.throws(() => takeDataDirectory(path), { code: 'KVT_DATA_IN_USE', message: /process 1:/ })
  t.match(readFileSync(lock, 'utf8'), /^1 /, 'the rival keeps it')
})

void t.test(
  'locks that lie: another process with the number, another boot, no identity, half a fight',
  async (t) => {
    const path = join(t.testdir(), 'data')
    takeDataDirectory(path).release()
    const me = identityOfThisProcess()
    const lock = join(path, 'daemon.lock')
    const dead = { ...me, startTicks: '1' }
    for (const text of [
      identityText(dead),
      identityText({ ...me, boot: me.boot.replace(/^./, 'g') }),
      'rubbish',
      '',
    ]) {
      writeFileSync(lock, text)
      takeDataDirectory(path).release()
    }
    writeFileSync(lock, identityText(dead))
    writeFileSync(`${lock}.of-${dead.pid}-1`, identityText({ ...me, startTicks: '2' }))
    takeDataDirectory(path).release()
    t.strictSame(readdirSync(path), ['version'])
    t.equal(isAlive(me), true)
    t.equal(isAlive(dead), false)
    t.strictSame(identityFrom(identityText(me)), me)
    t.equal(identityFrom('1 2 3'), null)
  },
)

void t.test('what cannot be ours is refused and left as it was', async (t) => {
  const folder = t.testdir({
    file: 'x',
    open: { mine: 'x' },
    other: { version: 'terrace-data-9\n' },
    empty: {},
  })
  t.throws(() => takeDataDirectory(join(folder, 'file')), { code: 'KVT_DATA_UNWRITABLE' })
  t.throws(() => takeDataDirectory(join(folder, 'file/below')), {
    code: 'KVT_DATA_UNWRITABLE',
    message: /ENOTDIR/,
  })
  chmodSync(join(folder, 'open'), 0o755)
  t.throws(() => takeDataDirectory(join(folder, 'open')), {
    message: /other users may enter it and it holds files/,
  })
  t.strictSame(readdirSync(join(folder, 'open')), ['mine'])
  t.equal(statSync(join(folder, 'open')).mode & 0o777, 0o755)
  t.throws(() => takeDataDirectory(join(folder, 'other')), {
    code: 'KVT_DATA_VERSION',
    message: /version is of format terrace-data-9, this release reads terrace-data-1/,
  })
  t.strictSame(readdirSync(join(folder, 'other')), ['version'], 'the lock is given back')
  chmodSync(join(folder, 'empty'), 0o755)
  takeDataDirectory(join(folder, 'empty')).release()
  t.equal(statSync(join(folder, 'empty')).mode & 0o777, 0o700, 'an empty one is closed to others')
  t.throws(() => takeDataDirectory('/proc/none/data'), { code: 'KVT_DATA_UNWRITABLE', message: /ENOENT/ })
  if (process.geteuid?.() !== 0) return
  mkdirSync(join(folder, 'theirs'))
  chownSync(join(folder, 'theirs'), 65_534, 65_534)
  t.throws(() => takeDataDirectory(join(folder, 'theirs')), { message: /belongs to user 65534/ })
  t.equal(readFileSync(join(folder, 'file'), 'utf8'), 'x')
})

void t.test('a start that came to nothing gives the directory back as it was found', async (t) => {
  const folder = t.testdir({ mine: { mine: 'x' }, empty: {} })
  const fill = (path: string): void => {
    mkdirSync(join(path, 'catalog'))
    for (const name of ['nvme.slab', 'catalog/data.mdb', 'namespaces.json', 'daemon-id.new'])
      writeFileSync(join(path, name), 'x')
  }
  const fresh = join(folder, 'a/b/data')
  const first = takeDataDirectory(fresh)
  t.equal(first.isFresh, true)
  fill(fresh)
  first.abandon()
  t.notOk(existsSync(join(folder, 'a')), 'with the folders above it')

  const shared = takeDataDirectory(fresh)
  writeFileSync(join(folder, 'a/other'), 'x')
  shared.abandon()
  t.strictSame(readdirSync(join(folder, 'a')), ['other'], 'as far up as nobody else uses them')

  chmodSync(join(folder, 'empty'), 0o755)
  takeDataDirectory(join(folder, 'empty')).abandon()
  t.equal(statSync(join(folder, 'empty')).mode & 0o777, 0o755, 'open again')

  chmodSync(join(folder, 'mine'), 0o700)
  const used = takeDataDirectory(join(folder, 'mine'))
  fill(used.path)
  used.release()
  const names = readdirSync(used.path).sort()
  const later = takeDataDirectory(used.path)
  t.equal(later.isFresh, false)
  writeFileSync(join(used.path, 'daemon.json'), 'x')
  later.abandon()
  t.strictSame(readdirSync(used.path).sort(), names, 'what an earlier start made stays')

  const rival = taker(t, used.path)
  t.equal(await rival.says, 'taken')
  t.throws(() => takeDataDirectory(used.path), { code: 'KVT_DATA_IN_USE' })
  t.ok(existsSync(join(used.path, 'nvme.slab')), 'a refused rival touches nothing')
  await gone(rival.child)
  takeDataDirectory(used.path).erase()
  t.strictSame(readdirSync(used.path), ['mine'], 'erased: nothing of a daemon, all of everybody else')
})
