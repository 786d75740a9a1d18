import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readOrCreateSecret } from '../../daemon/secret.ts'

const good = '0123456789abcdef'.repeat(4)

void t.test('made once, for its user alone, and found again', async (t) => {
  const file = join(t.testdir(), 'config/terrace/secret')
  const secret = readOrCreateSecret(file)
  t.equal(secret.length, 32)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(file, '..')).mode & 0o777, 0o700)
  t.strictSame(readOrCreateSecret(file), secret)
  t.strictSame(readdirSync(join(file, '..')), ['secret'], 'nothing else is left')
})

void t.test('starts at the same time agree on one secret', async (t) => {
  const file = join(t.testdir(), 'secret')
  const program = `
    const { readOrCreateSecret } = await import(${JSON.stringify(new URL('../../daemon/secret.ts', import.meta.url).href)})
    process.stdout.write(Buffer.from(readOrCreateSecret(process.argv[1])).toString('hex'))`
  const run = () =>
    new Promise<string>((resolve) => {
      let text = ''
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', file])
      child.stdout.on('data', (data) => {
        text += String(data)
      })
      child.once('close', () => resolve(text))
    })
  const secrets = new Set(await Promise.all(Array.from({ length: 6 }, run)))
  t.equal(secrets.size, 1)
  t.match([...secrets][0], /^[0-9a-f]{64}$/)
})

void t.test('a wrong file is refused with what to do, untouched and unrepeated', async (t) => {
  const folder = t.testdir()
  const wrong: [string, string, number, RegExp][] = [
    ['short', 'abcd', 0o600, /does not hold 64 hexadecimal digits/],
    ['long', `${good}00`, 0o600, /does not hold 64/],
    ['text', `CANARY${good.slice(6)}`, 0o600, /does not hold 64/],
    ['empty', '', 0o600, /does not hold 64/],
    ['open', good, 0o644, /other users can read or write it: run "chmod 600"/],
  ]
  for (const [name, text, mode, sentence] of wrong) {
    const file = join(folder, name)
    writeFileSync(file, text)
    chmodSync(file, mode)
    t.throws(() => readOrCreateSecret(file), { code: 'KVT_SECRET_BAD', message: sentence }, name)
    t.throws(
      () => readOrCreateSecret(file),
      { message: /^(?!.*(CANARY|0123456789))/ },
      `${name} is not repeated`,
    )
    t.equal(readFileSync(file, 'utf8'), text)
  }
  mkdirSync(join(folder, 'directory'), { mode: 0o700 })
  t.throws(() => readOrCreateSecret(join(folder, 'directory')), {
    code: 'KVT_SECRET_BAD',
    message: /not a file/,
  })
  symlinkSync('nowhere', join(folder, 'link'))
  t.throws(() => readOrCreateSecret(join(folder, 'link')), { code: 'KVT_SECRET_BAD' })
  spawnSync('mkfifo', ['-m', '600', join(folder, 'pipe')])
  t.throws(() => readOrCreateSecret(join(folder, 'pipe')), { message: /not a file/ }, 'a pipe does not block')
  t.throws(() => readOrCreateSecret('/proc/none/secret'), { message: /cannot be created \(ENOENT\)/ })
  t.notOk(existsSync('/proc/none'))
})

void t.test("another user's file is refused", { skip: process.geteuid?.() !== 0 }, async (t) => {
  const file = join(t.testdir(), 'secret')
  writeFileSync(file, good, { mode: 0o600 })
  chownSync(file, 65_534, 65_534)
  t.throws(() => readOrCreateSecret(file), { message: /belongs to user 65534: run the daemon as that user/ })
})
