import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { FrameCutter } from '../../daemon/adapters/client/frames.ts'
import { DaemonLink } from '../../daemon/adapters/client/link.ts'
import { DaemonSession } from '../../daemon/adapters/client/session.ts'
import { realWorld } from '../../tiers/block/clock.ts'
import { sessionAsksMax } from '../../tiers/block/limits.ts'
import type { Namespace } from '../../tiers/block/namespace.ts'
import { type AnyAsk, decodeAsk, encodeAnswer, encodeError, wireVersion } from '../../tiers/block/wire.ts'
import { socketFolder, until } from '../servers/llama.ts'

/** The client against daemons that answer late, wrongly, in pieces, or not at all. */

type Heard = { readonly ask: AnyAsk; readonly number: number; readonly socket: Socket }

/** A daemon's side of the socket that answers as told. */
async function listen(path: string, answer: (heard: Heard) => void): Promise<Server> {
  const server = createServer((socket) => {
    const cutter = new FrameCutter()
    socket.on('error', () => undefined)
    socket.on('data', (piece: Buffer) => {
      cutter.push(piece)
      for (let taken = cutter.take(); taken.as === 'frame'; taken = cutter.take()) {
        const decoded = decodeAsk(taken.header, taken.body)
        if (decoded.as === 'ask') answer({ ask: decoded.value, number: taken.header.ask, socket })
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}

const hello = { version: wireVersion, session: 5, daemonEpoch: 'e', heartbeatMs: 0 }

function greet({ ask, number, socket }: Heard): boolean {
  if (ask.message !== 'hello') return false
  socket.write(encodeAnswer('hello', number, hello))
  return true
}

function link(t: Test, socketPath: string): DaemonLink {
  const names = { client: 'c', engine: 'e', worker: 'w' }
  const made = new DaemonLink({ socketPath, ...names, world: realWorld })
  t.teardown(() => made.close())
  return made
}

const ready = (made: DaemonLink): Promise<boolean> => until(() => made.state().as === 'ready', 5_000)

async function room(t: Test, answer: (heard: Heard) => void): Promise<{ path: string; server: Server }> {
  const folder = socketFolder()
  const path = `${folder.path}/d.sock`
  const sockets = new Set<Socket>()
  const server = await listen(path, answer)
  server.on('connection', (socket) => sockets.add(socket))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    folder.remove()
  })
  return { path, server }
}

const lookup = { namespace: 1, tokens: Uint32Array.of(1, 2, 3) }

void t.test('no daemon: lost at once, and found when it comes', async (t) => {
  const folder = socketFolder()
  t.teardown(folder.remove)
  const made = link(t, `${folder.path}/d.sock`)
  t.same(await made.ask('lookup', lookup, 1_000), { as: 'lost', why: 'no_daemon' })
  const server = await listen(`${folder.path}/d.sock`, greet)
  t.ok(await ready(made))
  t.match(made.state(), { as: 'ready', generation: 1, session: 5, epoch: 'e' })
  made.close()
  await new Promise<void>((resolve) => server.close(() => resolve()))
})

void t.test('an answer after the deadline is dropped; the next ask gets its own', async (t) => {
  const late: Heard[] = []
  const { path } = await room(t, (heard) => {
    if (greet(heard)) return
    if (late.length === 0) {
      late.push(heard)
      return
    }
    const answer = { readyBlocks: 0, byTier: { hbm: 0, host: 0, nvme: 0, s3: 0 }, loadMs: 0 }
    for (const one of late)
      one.socket.write(encodeAnswer('lookup', one.number, { ...answer, readyBlocks: 99 }))
    heard.socket.write(encodeAnswer('lookup', heard.number, { ...answer, readyBlocks: 7 }))
  })
  const made = link(t, path)
  t.ok(await ready(made))
  t.same(await made.ask('lookup', lookup, 50), { as: 'lost', why: 'deadline' })
  t.match(await made.ask('lookup', lookup, 5_000), { as: 'answer', answer: { readyBlocks: 7 } })
})

void t.test('asks that ran out of time do not count against the limit', async (t) => {
  const { path } = await room(t, (heard) => {
    if (!greet(heard) && heard.ask.message === 'ping')
      heard.socket.write(encodeAnswer('ping', heard.number, {}))
  })
  const made = link(t, path)
  t.ok(await ready(made))
  const asks = Array.from({ length: sessionAsksMax }, () => made.ask('lookup', lookup, 200))
  t.same(await made.ask('ping', {}, 1_000), { as: 'lost', why: 'too_many' })
  await Promise.all(asks)
  t.match(await made.ask('ping', {}, 5_000), { as: 'answer' })
})

void t.test('answers in single bytes, errors, and answers to another message', async (t) => {
  let turn = 0
  const { path } = await room(t, (heard) => {
    if (greet(heard)) return
    turn += 1
    const { socket, number } = heard
    if (turn === 1) for (const byte of encodeAnswer('ping', number, {})) socket.write(Uint8Array.of(byte))
    else if (turn === 2)
      socket.write(encodeError(number, { code: 'KVT_STOPPING', says: 'the daemon is stopping' }))
    else socket.write(encodeAnswer('hello', number, hello))
  })
  const made = link(t, path)
  t.ok(await ready(made))
  t.match(await made.ask('ping', {}, 5_000), { as: 'answer' })
  t.match(await made.ask('ping', {}, 5_000), { as: 'error', code: 'KVT_STOPPING' })
  t.same(
    await made.ask('ping', {}, 5_000),
    { as: 'lost', why: 'no_daemon' },
    'a wrong answer ends the connection',
  )
  t.ok(await until(() => made.state().as === 'ready', 5_000), 'and a new one is made')
  t.match(made.state(), { generation: 2 })
})

void t.test('bytes that are no frame end the connection and every ask', async (t) => {
  const { path } = await room(t, (heard) => {
    if (!greet(heard)) heard.socket.write(Buffer.alloc(64, 0xff))
  })
  const made = link(t, path)
  t.ok(await ready(made))
  const asks = Array.from({ length: 5 }, () => made.ask('ping', {}, 10_000))
  for (const result of await Promise.all(asks)) t.same(result, { as: 'lost', why: 'no_daemon' })
})

void t.test('another wire version is not spoken', async (t) => {
  const { path } = await room(t, ({ number, socket }) => {
    socket.write(encodeAnswer('hello', number, { ...hello, version: wireVersion + 1 }))
  })
  const made = link(t, path)
  t.ok(await until(() => JSON.stringify(made.state()).includes('wire version'), 5_000), 'the reason is told')
  t.same(await made.ask('ping', {}, 1_000), { as: 'lost', why: 'no_daemon' })
})

void t.test('numbers of namespaces and regions end with their connection', async (t) => {
  let opened = 0
  const tokens: Uint8Array[] = []
  const { path } = await room(t, (heard) => {
    if (greet(heard)) return
    const { ask, number, socket } = heard
    if (ask.message === 'openNamespace') {
      opened += 1
      socket.write(encodeAnswer('openNamespace', number, { namespace: opened, blockBytes: 1 }))
    } else if (ask.message === 'attachRegion') {
      tokens.push(ask.fields.token)
      socket.write(encodeAnswer('attachRegion', number, { region: 9 }))
    } else if (ask.message === 'ping') socket.destroy()
  })
  const made = link(t, path)
  t.ok(await ready(made))
  const handed: Uint8Array[] = []
  const hander = { handDescriptor: (_: string, token: Uint8Array) => void handed.push(token) }
  const session = new DaemonSession(made, hander, `${path}.door`)
  const plane = { name: 'k', layerCount: 1, pieceBytes: 64 }
  const namespace: Namespace = {
    tenant: 't',
    model: 'm',
    revision: 'r',
    adapter: '',
    engine: 'e',
    layout: { blockTokens: 64, dtype: 'f16', planes: [plane] },
    rank: { index: 0, count: 1 },
    epoch: '',
  }
  t.equal(await session.namespaceNumber(namespace), 1)
  t.equal(await session.namespaceNumber(namespace), 1, 'asked once')
  t.equal(await session.namespaceNumber({ ...namespace, tenant: 'u' }), 2)
  const region = await session.attach(0, 64, true)
  t.match(region, { region: 9, generation: 1 })
  t.same(tokens, handed, 'the descriptor and the ask carry the same token')
  await made.ask('ping', {}, 5_000)
  t.ok(await until(() => JSON.stringify(made.state()).includes('"generation":2'), 5_000))
  t.equal(await session.namespaceNumber(namespace), 3, 'asked anew')
  t.equal(session.movesBlocks(), 'yes')
  t.equal(new DaemonSession(made, null, '').movesBlocks(), 'no_addon')
  rmSync(path, { force: true })
})
