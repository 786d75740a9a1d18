import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { DaemonStatus } from '../../daemon/status.ts'
import {
  type DaemonProcess,
  endedDaemon,
  shortFolder,
  smallDaemon,
  spawnDaemon,
  startDaemonProcess,
} from '../servers/daemon-process.ts'
import { engineAt } from '../servers/wire-engine.ts'
import { tokensOf } from '../servers/wire-peer.ts'

// Many processes are started; how long that takes is the machine's business.
t.setTimeout(120_000)

async function statusOf(daemon: DaemonProcess): Promise<DaemonStatus> {
  const answer = await fetch(`${daemon.adminUrl}/status`)
  return (await answer.json()) as DaemonStatus
}

const none = new Uint32Array(0)

void t.test('blocks go down from one engine and up to another, through real memory', async (t) => {
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, smallDaemon(folder))
  const writer = await engineAt(daemon, folder, 'writer')
  const reader = await engineAt(daemon, folder, 'reader')
  const tokens = tokensOf(40)
  const store = { ...writer.range, tokens, firstBlock: 0, blockCount: 10, sources: none, answerTokens: 0 }
  t.match(await writer.peer.value('store', store), { storedBlocks: 10, droppedBlocks: 0 })
  const targets = tokensOf(10, 20)
  const load = { ...reader.range, tokens, firstBlock: 0, blockCount: 10, targets }
  const answer = await reader.peer.value('load', { ...load, deadlineMs: 5_000, prefillMsPerBlock: 0 })
  t.match(answer, { readyBlocks: 10, byTier: { host: 10 }, stop: 'complete' })
  for (let i = 0; i < 10; i++) t.equal(reader.block(20 + i), writer.block(i), `block ${i}`)
  await reader.peer.value('report', {
    namespace: reader.namespace,
    promptTokens: 50,
    computedTokens: 10,
    tokensByTier: { hbm: 0, host: 40, nvme: 0, s3: 0 },
    firstTokenMs: 12,
    prefillMsPerBlock: 3,
  })
  const status = await statusOf(daemon)
  t.match(status, {
    requests: { promptTokens: 50, computedTokens: 10, tokensByTier: { host: 40 } },
    loads: { wantedBlocks: 10, possibleBlocks: 10, loadedBlocksByTier: { host: 10 } },
    tiers: { host: { blockCount: 10, state: 'serving' } },
  })
  t.strictSame(status.sessions.map(({ worker }) => worker).sort(), ['reader', 'writer'])
  const findings = JSON.stringify(await (await fetch(`${daemon.adminUrl}/explain`)).json())
  t.match(findings, /80.0 % of 50 reported prompt tokens/)
  await writer.peer.close()
  await reader.peer.close()
  t.equal(await daemon.stop(), 0)
})

void t.test('what was stored before a stop is ready after the next start, at the size it had', async (t) => {
  const folder = shortFolder(t)
  const [data = '', path = '', secret = '', file = ''] = smallDaemon(folder)
  const common = [data, path, secret, file, '--host-bytes', '64MiB']
  const first = await startDaemonProcess(t, [...common, '--nvme-bytes', '192MiB'])
  const writer = await engineAt(first, folder, 'writer')
  const tokens = tokensOf(40)
  const store = { ...writer.range, tokens, firstBlock: 0, blockCount: 10, sources: none, answerTokens: 0 }
  t.match(await writer.peer.value('store', store), { storedBlocks: 10 })
  t.equal(await first.stop(), 0)
  const size = statSync(join(path, 'nvme.slab')).size
  const second = await startDaemonProcess(t, common)
  t.equal(statSync(join(path, 'nvme.slab')).size, size, 'the slab stays as large as it was')
  const reader = await engineAt(second, folder, 'reader')
  const load = { ...reader.range, tokens, firstBlock: 0, blockCount: 10, targets: tokensOf(10, 20) }
  const answer = await reader.peer.value('load', { ...load, deadlineMs: 10_000, prefillMsPerBlock: 0 })
  t.match(answer, { readyBlocks: 10, byTier: { nvme: 10 }, stop: 'complete' })
  for (let i = 0; i < 10; i++) t.equal(reader.block(20 + i), writer.block(i), `block ${i}`)
  const snapshot = await (await fetch(`${second.adminUrl}/snapshot`)).text()
  t.match(snapshot, /"tier":"nvme"/)
})

void t.test(
  'nothing of prompts, keys or secrets is in logs, metrics, status, events or errors',
  async (t) => {
    const folder = shortFolder(t)
    const secret = randomBytes(32).toString('hex')
    writeFileSync(join(folder, 'secret'), secret, { mode: 0o600 })
    const daemon = await startDaemonProcess(t, [...smallDaemon(folder), '--log-json'], {
      AWS_SECRET_ACCESS_KEY: 'CANARY-AWS',
    })
    const engine = await engineAt(daemon, folder)
    // Tokens that spell a canary in every form a number can be printed in.
    const canary = 3_735_928_559
    const tokens = new Uint32Array(8).fill(canary)
    const range = { ...engine.range, tokens, firstBlock: 0 }
    await engine.peer.value('store', { ...range, blockCount: 2, sources: none, answerTokens: 0 })
    const refused = await engine.peer.refusal('store', {
      ...range,
      blockCount: 3,
      sources: none,
      answerTokens: 0,
    })
    const texts = [refused]
    for (const path of ['/metrics', '/status', '/explain', '/snapshot']) {
      texts.push(await (await fetch(`${daemon.adminUrl}${path}`)).text())
    }
    await engine.peer.close()
    await daemon.stop()
    texts.push(daemon.output())
    const all = texts.join('\n')
    t.match(all, /session_opened/)
    for (const word of [String(canary), 'deadbeef', secret, 'CANARY-AWS', engine.block(0).slice(0, 32)]) {
      t.notOk(all.includes(word), `${word.slice(0, 12)} is nowhere`)
    }
  },
)

void t.test('a second start on the same data directory is refused; after kill -9 it is not', async (t) => {
  const folder = shortFolder(t)
  const first = await startDaemonProcess(t, smallDaemon(folder))
  const second = await endedDaemon(smallDaemon(folder))
  t.equal(second.code, 1)
  t.match(second.output, new RegExp(`terrace daemon: data directory .* is in use by process ${first.pid}`))
  t.equal((await fetch(`${first.adminUrl}/health`)).status, 200, 'the first one serves on')
  await first.stop('SIGKILL')
  t.ok(existsSync(first.socket), 'it left its socket')
  const third = await startDaemonProcess(t, smallDaemon(folder))
  t.equal(await third.stop('SIGTERM'), 0)
  t.notOk(existsSync(third.socket))
  t.notOk(existsSync(join(folder, 'data/daemon.lock')))
  t.notOk(existsSync(join(folder, 'data/daemon.json')))
})

void t.test('a start that cannot be is one sentence, a code, and nothing left behind', async (t) => {
  const folder = shortFolder(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const cases: [string, string[], number, RegExp][] = [
    ['port', ['--admin-port', String(port)], 1, new RegExp(`port ${port} is in use: .*--admin-port`)],
    ['option', ['--host-byte', '1'], 2, /unknown option "--host-byte": did you mean --host-bytes/],
    ['config', ['--config', join(folder, 'none.json')], 2, /none.json cannot be read \(ENOENT\)/],
    ['socket', ['--socket', '/proc/none/daemon.sock'], 1, /socket .* cannot be opened/],
    ['memory', ['--host-bytes', '8TiB'], 2, /--host-bytes: is more than the memory of this machine/],
    ['data', ['--data', '/proc/none'], 1, /data directory \/proc\/none cannot be written \(ENOENT\)/],
    ['s3', ['--s3', 's3://x'], 1, /config: /],
  ]
  const checks = cases.map(async ([what, words, code, sentence]) => {
    const own = join(folder, what)
    const ended = await endedDaemon([...smallDaemon(own), ...words])
    t.equal(ended.code, code, what)
    t.match(ended.output, sentence, what)
    t.equal(ended.output.trim().split('\n').length, 1, `${what}: one line`)
    t.notOk(existsSync(join(own, 'data')), `${what}: no data directory`)
    const left = existsSync(own) ? readdirSync(own) : []
    t.strictSame(
      left.filter((name) => name !== 'secret'),
      [],
      `${what}: nothing but a whole secret`,
    )
  })
  await Promise.all(checks)
  taken.close()
})

void t.test('a start that cannot be leaves a directory that was there as it found it', async (t) => {
  const folder = shortFolder(t)
  const data = join(folder, 'data')
  const words = [...smallDaemon(folder).slice(0, -2), '--nvme-bytes', '64MiB']
  const refused = async (): Promise<void> => {
    const ended = await endedDaemon([...words, '--socket', '/proc/none/daemon.sock'])
    t.equal(ended.code, 1, ended.output)
    t.match(ended.output, /socket .* cannot be opened/)
  }
  mkdirSync(data)
  chmodSync(data, 0o755)
  await refused()
  t.strictSame(readdirSync(data), [], 'an empty one is empty')
  t.equal(statSync(data).mode & 0o777, 0o755, 'and as open as it was')

  const first = await startDaemonProcess(t, words)
  const engine = await engineAt(first, folder)
  t.match(await engine.peer.value('store', engine.storeOf(tokensOf(40))), { storedBlocks: 10 })
  t.equal(await first.stop(), 0)
  writeFileSync(join(data, 'mine'), 'x')
  const before = listing(data)
  await refused()
  t.strictSame(listing(data), before, 'one with blocks has the same files')
  const again = await startDaemonProcess(t, words)
  const reader = await engineAt(again, folder, 'reader')
  t.match(await reader.peer.value('load', reader.loadOf(tokensOf(40))), { readyBlocks: 10 })
})

/** Names and lengths, of everything below a folder. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(
      (name) =>
        `${name} ${statSync(join(folder, name)).isDirectory() ? '' : statSync(join(folder, name)).size}`,
    )
}

void t.test('the end of the parent is the end of the daemon', async (t) => {
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, smallDaemon(folder))
  const ended = new Promise((resolve) => daemon.child.once('close', resolve))
  daemon.child.stdin?.end()
  t.equal(await ended, 0)
  t.match(daemon.output(), /stopping why=parent_end/)
  // As after kill -9 of the parent: nobody reads what the daemon says while it stops.
  const orphan = await startDaemonProcess(t, smallDaemon(folder))
  const code = new Promise((resolve) => orphan.child.once('exit', resolve))
  orphan.child.stdout?.destroy()
  orphan.child.stderr?.destroy()
  orphan.child.stdin?.end()
  t.equal(await code, 0)
  t.notOk(existsSync(join(folder, 'data/daemon.lock')), 'it stopped in order')
})

void t.test('a start that hangs ends on a signal, at once on the second', async (t) => {
  const folder = shortFolder(t)
  // A store far away that takes connections and never answers.
  const silent = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  t.teardown(() => void silent.close())
  const address = silent.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const s3 = ['--s3', `s3://blocks/kv?endpoint=http://127.0.0.1:${port}`]
  const keys = {
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'CANARY-KEY',
    AWS_EC2_METADATA_DISABLED: 'true',
  }
  for (const signals of [1, 2]) {
    const own = join(folder, String(signals))
    const child = spawnDaemon([...smallDaemon(own), ...s3], keys)
    t.teardown(() => void child.kill('SIGKILL'))
    let printed = ''
    child.stdout?.on('data', (data) => {
      printed += String(data)
    })
    child.stderr?.on('data', (data) => {
      printed += String(data)
    })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    while (!existsSync(join(own, 'data/daemon-id'))) await sleep(10)
    for (let i = 0; i < signals; i++) {
      child.kill('SIGINT')
      await sleep(100)
    }
    const code = await Promise.race([ended, sleep(20_000, 'still there', { ref: false })])
    t.equal(code, 1, `${signals} signals`)
    t.notOk(existsSync(join(own, 'data')), 'no data directory is left')
    t.notMatch(printed, /CANARY-KEY/)
  }
})

void t.test(
  'a stop ends within its time even while an engine is silent in the middle of a frame',
  async (t) => {
    const folder = shortFolder(t)
    const daemon = await startDaemonProcess(t, smallDaemon(folder))
    const engine = await engineAt(daemon, folder)
    engine.peer.socket.write(Buffer.from([200, 0, 0, 0, 6]))
    await sleep(50)
    const ended = daemon.stop()
    const late = sleep(3_000, 'late', { ref: false })
    t.equal(await Promise.race([ended, late]), 0)
    await engine.peer.closed
  },
)

void t.test(
  'another user may not connect, whatever the file modes say',
  { skip: process.geteuid?.() !== 0 },
  async (t) => {
    const folder = shortFolder(t)
    const daemon = await startDaemonProcess(t, smallDaemon(folder))
    t.equal(statSync(join(folder, 'data')).mode & 0o777, 0o700)
    const connect = `
    process.setgid(65534); process.setuid(65534)
    const socket = require('net').connect(process.argv[1])
    socket.on('error', (error) => { console.log(error.code); process.exit() })
    socket.on('data', (data) => console.log(data.toString('latin1')))
    socket.on('close', () => { console.log('closed'); process.exit() })`
    const stranger = () =>
      spawnSync(process.execPath, ['-e', connect, daemon.socket], { encoding: 'utf8', timeout: 10_000 })
        .stdout
    t.match(stranger(), /EACCES/, 'the folder keeps it out')
    spawnSync('chmod', ['755', folder, join(folder, 'data')])
    spawnSync('chmod', ['666', daemon.socket])
    t.match(stranger(), /KVT_PEER_REFUSED[\s\S]*user 65534 refused[\s\S]*closed/, 'the daemon itself does')
    for (let i = 0; i < 100 && !daemon.output().includes('peer_refused'); i++) await sleep(10)
    t.match(daemon.output(), /peer_refused why=user uid=65534/)
  },
)

void t.test('an engine that dies gives everything back', async (t) => {
  const folder = shortFolder(t)
  const daemon = await startDaemonProcess(t, smallDaemon(folder))
  const engine = await engineAt(daemon, folder)
  await engine.peer.value('held', { namespace: engine.namespace, prefixes: [tokensOf(12)] })
  t.equal((await statusOf(daemon)).tiers.hbm.blockCount, 3)
  engine.peer.socket.destroy()
  for (let i = 0; i < 200; i++) {
    const status = await statusOf(daemon)
    if (status.sessions.length === 0) break
    await sleep(5)
  }
  t.match(await statusOf(daemon), { sessions: { length: 0 }, tiers: { hbm: { blockCount: 0 } } })
})

void t.test('the ready line is for people unless asked otherwise', async (t) => {
  const folder = shortFolder(t)
  const child = spawnDaemon(smallDaemon(folder))
  t.teardown(() => child.kill('SIGKILL'))
  const line = await new Promise<string>((resolve) =>
    child.stdout?.once('data', (data) => resolve(String(data))),
  )
  t.match(line, /^terrace daemon ready: host 64MiB, nvme off, s3 off; engines at .*, admin at http:\/\/127/)
  child.kill('SIGINT')
  await new Promise((resolve) => child.once('close', resolve))
  const help = await endedDaemon(['--help'])
  t.equal(help.code, 0)
  t.match(help.output, /Usage: terrace daemon/)
})
