import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { runChild } from '../addon-child.ts'
import { Rig } from '../addon-rig.ts'

const native = loadNative()
const isRoot = process.getuid?.() === 0

/** A directory with a short name: names of sockets are limited. */
function shortDirectory(t: { teardown(run: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'door-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function tokenOf(byte: number): Uint8Array {
  return new Uint8Array(16).fill(byte)
}

void t.test('memory of one process is copied by another', async (t) => {
  const path = join(shortDirectory(t), 'door')
  const door = native.openDoor(path)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(native.takeDescriptor(door, tokenOf(1)), -1, 'nothing yet')
  const child = await runChild(
    `const region = native.openMemory(8192)
     native.windowOf(region, 0, 8192).fill(42)
     native.handDescriptor(args[0], new Uint8Array(16).fill(1), native.descriptorOf(region))
     native.handDescriptor(args[0], new Uint8Array(16).fill(2), native.descriptorOf(region))`,
    [path],
  )
  t.match(child, { code: 0, stderr: '' })
  t.equal(native.takeDescriptor(door, tokenOf(3)), -1, 'another name')
  const descriptor = native.takeDescriptor(door, tokenOf(2))
  t.ok(descriptor >= 0)
  t.equal(native.takeDescriptor(door, tokenOf(2)), -1, 'given once')
  const region = native.openShared(descriptor, 8192, true)
  const rig = new Rig(1)
  const host = native.openMemory(8192)
  t.match(await rig.run({ operation: 'copy', sourceRegion: region, targetRegion: host, byteCount: 8192 }), [
    { status: 0 },
  ])
  t.ok(native.windowOf(host, 0, 8192).every((byte) => byte === 42))
  t.equal(native.windowOf(region, 0, 1)[0], 42, 'sealed memory of another process has a window')
  await rig.close()
  native.closeDoor(door)
  t.notOk(existsSync(path), 'a closed door leaves no file')
  t.throws(() => native.takeDescriptor(door, tokenOf(1)), /door: \d+ is not open/)
})

void t.test('what nobody asks for is bounded: the oldest goes', async (t) => {
  const path = join(shortDirectory(t), 'door')
  const door = native.openDoor(path)
  const given = openSync('/dev/null', 'r')
  for (let i = 0; i < 200; i++) {
    native.handDescriptor(path, tokenOf(i), given)
    // Looked at now and then, as a daemon does; otherwise the row of connections is full first.
    if (i % 50 === 0) native.takeDescriptor(door, tokenOf(255))
  }
  let kept = 0
  for (let i = 0; i < 200; i++) {
    const descriptor = native.takeDescriptor(door, tokenOf(i))
    if (descriptor < 0) continue
    kept++
    closeSync(descriptor)
  }
  t.equal(kept, 64)
  closeSync(given)
  native.closeDoor(door)
})

void t.test('a door that nobody looks at refuses, and does not make the other side wait', async (t) => {
  const path = join(shortDirectory(t), 'door')
  const door = native.openDoor(path)
  const given = openSync('/dev/null', 'r')
  t.throws(
    () => {
      for (let i = 0; i < 10_000; i++) native.handDescriptor(path, tokenOf(1), given)
    },
    { code: 'EAGAIN' },
  )
  closeSync(given)
  native.closeDoor(door)
})

void t.test('a door left by a killed process is opened anew; one that is in use is not', async (t) => {
  const path = join(shortDirectory(t), 'door')
  const child = await runChild(`native.openDoor(args[0]); process.kill(process.pid, 'SIGKILL')`, [path])
  t.equal(child.signal, 'SIGKILL')
  t.ok(existsSync(path))
  const door = native.openDoor(path)
  t.throws(() => native.openDoor(path), { code: 'EADDRINUSE' })
  native.closeDoor(door)
})

void t.test(
  'another user gets nothing through, even where the file lets him',
  { skip: !isRoot },
  async (t) => {
    const directory = shortDirectory(t)
    const path = join(directory, 'door')
    chmodSync(directory, 0o755)
    const door = native.openDoor(path)
    const hand = `import('node:fs').then((fs) => {
    native.handDescriptor(args[0], new Uint8Array(16).fill(9), fs.openSync('/dev/null', 'r'))
  })`
    const closed = await runChild(hand, [path], { uid: 65_534 })
    t.match(closed.stderr, /EACCES/, 'the mode of the file keeps him out')
    chmodSync(path, 0o777)
    const passed = await runChild(hand, [path], { uid: 65_534 })
    t.equal(passed.code, 0, passed.stderr)
    t.equal(native.takeDescriptor(door, tokenOf(9)), -1, 'his descriptor was not taken')
    native.closeDoor(door)
  },
)

void t.test('peerOf tells who is at the other end', async (t) => {
  const path = join(shortDirectory(t), 'socket')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const accepted = new Promise<import('node:net').Socket>((resolve) => server.once('connection', resolve))
  const client = connect(path)
  const socket = await accepted
  const handle = (socket as unknown as { _handle: { fd: number } })._handle
  t.strictSame([...native.peerOf(handle.fd)], [process.pid, process.getuid?.(), process.getgid?.()])
  client.destroy()
  socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})
