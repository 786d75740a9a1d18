import { rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Native } from '../addon/native.ts'
import type { World } from '../tiers/block/clock.ts'
import { KvFailure } from '../tiers/block/failures.ts'
import type { SessionId } from '../tiers/block/id.ts'
import { heartbeatMs, sessionsMax } from '../tiers/block/limits.ts'
import { type Ask, encodeError, wireVersion } from '../tiers/block/wire.ts'
import type { BlockStore } from '../tiers/store.ts'
import { Connection, type EndWhy } from './connection.ts'
import { errnoOf } from './errno.ts'
import { Flow } from './flow.ts'
import { makeFolder } from './folder.ts'
import type { HeldBlocks } from './held.ts'
import type { LinkRates } from './links.ts'
import type { Log } from './log.ts'
import type { DaemonMeter } from './metrics.ts'
import { Session, type SessionStatus } from './session.ts'

export type ServerNative = Pick<Native, 'peerOf' | 'openDoor' | 'closeDoor' | 'takeDescriptor' | 'openParts'>
type ServerParts = {
  readonly world: World
  readonly native: ServerNative
  readonly store: BlockStore
  readonly meter: DaemonMeter
  readonly links: LinkRates
  readonly heldBlocks: HeldBlocks
  readonly log: Log
  readonly socket: string
  readonly door: string
  readonly epoch: string
  readonly onBroken: (error: unknown) => void
}

/** What the daemon takes on: all; only what is asked of blocks it has; nothing. */
export type ServerState = 'serving' | 'draining' | 'stopping'

const doorTries = 10
const doorWaitMs = 5

/** The unix socket that engines attach to. Only processes of the daemon's own user get past the first check. */
export class EngineServer {
  readonly #parts: ServerParts
  readonly #server: Server
  readonly #door: number
  readonly #flow: Flow
  readonly #connections = new Set<Connection>()
  readonly #sessions = new Map<Connection, Session>()
  readonly #ends = new Set<Promise<void>>()
  #state: ServerState = 'serving'
  #nextSession = 1

  private constructor(parts: ServerParts, server: Server, door: number) {
    this.#parts = parts
    this.#server = server
    this.#door = door
    this.#flow = new Flow({
      world: parts.world,
      store: parts.store,
      meter: parts.meter,
      links: parts.links,
      takeDescriptor: (token) => this.#takeDescriptor(token),
      openParts: (list, byteCount, writable) => parts.native.openParts(this.#door, list, byteCount, writable),
      takesStores: () => this.#state === 'serving',
    })
    server.on('connection', (socket) => this.#accept(socket))
  }

  /** Opens socket and door. Throws KVT_SOCKET_BAD and leaves neither behind. */
  static async open(parts: ServerParts): Promise<EngineServer> {
    const { socket: path, door: doorPath } = parts
    try {
      makeSocketFolder(dirname(path))
      await clearDeadSocket(path)
      await clearDeadSocket(doorPath)
    } catch (error) {
      if (error instanceof KvFailure) throw error
      throw new KvFailure('KVT_SOCKET_BAD', { path, why: errnoOf(error) })
    }
    const server = createServer({ pauseOnConnect: false })
    server.maxConnections = sessionsMax * 2
    await listen(server, path)
    try {
      return new EngineServer(parts, server, parts.native.openDoor(doorPath))
    } catch (error) {
      server.close()
      throw new KvFailure('KVT_SOCKET_BAD', { path: doorPath, why: errnoOf(error) })
    }
  }

  get state(): ServerState {
    return this.#state
  }

  sessions(): readonly (SessionStatus & { readonly asksInFlight: number })[] {
    return [...this.#sessions].map(([connection, session]) => ({
      ...session.describe(),
      asksInFlight: connection.asksInFlight,
    }))
  }

  /** From now on no new sessions and no new blocks; what is stored is still given out. */
  drain(): void {
    if (this.#state === 'serving') this.#state = 'draining'
  }

  /** Ends all sessions once their asks are answered, at the deadline at the latest. Resolves when no copy of theirs runs. */
  async stop(deadlineMs: number): Promise<void> {
    this.#state = 'stopping'
    this.#server.close()
    const { world } = this.#parts
    const busy = () => [...this.#connections].some((connection) => connection.asksInFlight > 0)
    while (busy() && world.nowMs() < deadlineMs) await world.sleep(5)
    for (const connection of [...this.#connections]) {
      connection.end('stopping', new KvFailure('KVT_STOPPING', {}))
    }
    await Promise.all(this.#ends)
    this.#parts.native.closeDoor(this.#door)
    rmSync(this.#parts.socket, { force: true })
    rmSync(this.#parts.door, { force: true })
  }

  #accept(socket: Socket): void {
    const { native, log, meter, world } = this.#parts
    const ours = process.geteuid?.() ?? -1
    const peer = peerOf(native, socket)
    const refusal =
      peer.user !== ours
        ? { why: 'user', failure: new KvFailure('KVT_PEER_REFUSED', { uid: peer.user, ours }) }
        : this.#connections.size >= sessionsMax
          ? {
              why: 'too_many',
              failure: new KvFailure('KVT_TOO_MANY', { what: 'sessions', limit: sessionsMax }),
            }
          : null
    if (refusal !== null) {
      meter.add('terrace_peers_refused_total', { why: refusal.why })
      log.warn('peer_refused', { why: refusal.why, uid: peer.user, pid: peer.process })
      socket.on('error', () => undefined)
      socket.end(encodeError(0, { code: refusal.failure.code, says: refusal.failure.message }))
      world.after(1_000, () => socket.destroy())
      return
    }
    const connection = new Connection(socket, {
      world,
      flow: this.#flow,
      meter,
      log,
      open: (hello) => this.#open(connection, hello, peer.process),
      onEnd: (session, why) => this.#end(connection, session, why),
      onBroken: this.#parts.onBroken,
    })
    this.#connections.add(connection)
  }

  #open(connection: Connection, hello: Ask<'hello'>, peerProcess: number): ReturnType<OpenSession> {
    if (hello.version !== wireVersion) {
      throw new KvFailure('KVT_WIRE_VERSION', { ours: wireVersion, theirs: hello.version })
    }
    if (this.#state !== 'serving') throw new KvFailure('KVT_STOPPING', {})
    const { world, store, heldBlocks, meter, log, epoch } = this.#parts
    const id = this.#nextSession++ as SessionId
    const session = new Session({ id, hello, peerProcess, sinceMs: world.nowMs(), store, heldBlocks })
    this.#sessions.set(connection, session)
    meter.add('terrace_sessions_opened_total', {})
    log.info('session_opened', {
      session: id,
      client: hello.client,
      engine: hello.engine,
      worker: hello.worker,
      pid: peerProcess,
    })
    return { session, answer: { version: wireVersion, session: id, daemonEpoch: epoch, heartbeatMs } }
  }

  #end(connection: Connection, session: Session | null, why: EndWhy): void {
    const { meter, log } = this.#parts
    this.#connections.delete(connection)
    this.#sessions.delete(connection)
    if (session === null) {
      if (why !== 'closed') meter.add('terrace_peers_refused_total', { why })
      return
    }
    meter.add('terrace_sessions_ended_total', { why })
    log.info('session_ended', { session: session.id, why })
    const end = session
      .end(why === 'stopping' ? 'stopping' : 'session_end')
      .catch((error: unknown) => {
        log.warn('session_end_failed', { session: session.id, why: errnoOf(error) })
        this.#parts.onBroken(error)
      })
      .finally(() => this.#ends.delete(end))
    this.#ends.add(end)
  }

  async #takeDescriptor(token: Uint8Array): Promise<number> {
    for (let tries = 1; ; tries++) {
      const descriptor = this.#parts.native.takeDescriptor(this.#door, token)
      if (descriptor >= 0 || tries === doorTries) return descriptor
      await this.#parts.world.sleep(doorWaitMs)
    }
  }
}

type OpenSession = ConstructorParameters<typeof Connection>[1]['open']

/** Node has no name for the peer of a unix socket; the handle under the socket has the descriptor that the kernel is asked by. */
function peerOf(native: ServerNative, socket: Socket): { readonly process: number; readonly user: number } {
  const handle = (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle
  const descriptor = handle?.fd ?? -1
  if (descriptor < 0) return { process: -1, user: -1 }
  try {
    const [process = -1, user = -1] = native.peerOf(descriptor)
    return { process, user }
  } catch {
    return { process: -1, user: -1 }
  }
}

/** The folder of the socket: ours, or the system's. In anybody else's the socket could be replaced by theirs. */
function makeSocketFolder(folder: string): void {
  makeFolder(folder)
  const owner = statSync(folder).uid
  if (owner === 0 || owner === process.geteuid?.()) return
  throw new KvFailure('KVT_SOCKET_BAD', { path: folder, why: `the folder belongs to user ${owner}` })
}

/** Removes the socket that a dead process left; one that somebody listens on is refused. */
async function clearDeadSocket(path: string): Promise<void> {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isSocket()) throw new KvFailure('KVT_SOCKET_BAD', { path, why: 'another file has this name' })
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(true))
    probe.once('error', () => resolve(false))
    probe.once('close', () => probe.destroy())
    probe.once('connect', () => probe.destroy())
  })
  if (alive) throw new KvFailure('KVT_SOCKET_BAD', { path, why: 'another process listens on it' })
  rmSync(path, { force: true })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new KvFailure('KVT_SOCKET_BAD', { path, why: errnoOf(error) }))
    })
    // The file gets its mode from the mask while listen() binds, so that nobody else may connect even for a moment.
    const mask = process.umask(0o177)
    try {
      server.listen(path, resolve)
    } finally {
      process.umask(mask)
    }
  })
}
