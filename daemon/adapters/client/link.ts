import { createConnection, type Socket } from 'node:net'
import type { World } from '../../../tiers/block/clock.ts'
import { frameBytesMax, helloMsMax, sessionAsksMax } from '../../../tiers/block/limits.ts'
import {
  type Answer,
  type Ask,
  decodeAnswer,
  encodeAsk,
  type FrameHeader,
  type MessageName,
  wireVersion,
} from '../../../tiers/block/wire.ts'
import { FrameCutter } from './frames.ts'

/** Why there is no answer. Each of them is a miss to the engine. */
export type LostWhy = 'no_daemon' | 'deadline' | 'too_many' | 'malformed'
export type AskResult<Name extends MessageName> =
  | { readonly as: 'answer'; readonly answer: Answer<Name> }
  /** The daemon said no; `code` is one of the failure table's. */
  | { readonly as: 'error'; readonly code: string; readonly says: string }
  | { readonly as: 'lost'; readonly why: LostWhy }

export type LinkState =
  | { readonly as: 'connecting'; readonly why: string }
  /** `generation` counts connections: numbers of namespaces and regions are good in one only. */
  | { readonly as: 'ready'; readonly generation: number; readonly session: number; readonly epoch: string }
  | { readonly as: 'closed' }

export type LinkOptions = {
  readonly socketPath: string
  /** Name of this client, of its engine and of the worker that the router knows. */
  readonly client: string
  readonly engine: string
  readonly worker: string
  readonly world: World
}

type Waiting = {
  readonly message: MessageName
  readonly settle: (result: AskResult<MessageName>) => void
}

/** Pause before another try to connect: doubled from the first to the longest, in milliseconds. */
const retryMsMin = 100
const retryMsMax = 2_000

/** The engine's end of the unix socket. It connects by itself, again and again; whoever asks meanwhile gets `lost` at
 *  once. Invariants: an ask ends by its deadline, never throws, and an answer that comes later is dropped. */
export class DaemonLink {
  readonly #options: LinkOptions
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners: ((state: LinkState) => void)[] = []
  #state: LinkState = { as: 'connecting', why: 'not tried yet' }
  #socket: Socket | undefined
  #cutter = new FrameCutter()
  #lastAsk = 0
  #generation = 0
  #retryMs = retryMsMin

  constructor(options: LinkOptions) {
    this.#options = options
    this.#connect()
  }

  state(): LinkState {
    return this.#state
  }

  onChange(listener: (state: LinkState) => void): void {
    this.#listeners.push(listener)
  }

  /** Asks the daemon. `patienceMs` counts from now. */
  ask<Name extends MessageName>(
    message: Name,
    fields: Ask<Name>,
    patienceMs: number,
  ): Promise<AskResult<Name>> {
    if (this.#state.as !== 'ready') return Promise.resolve({ as: 'lost', why: 'no_daemon' })
    return this.#send(message, fields, patienceMs)
  }

  close(): void {
    this.#set({ as: 'closed' })
    this.#socket?.destroy()
    this.#loseAll()
  }

  #send<Name extends MessageName>(
    message: Name,
    fields: Ask<Name>,
    patienceMs: number,
  ): Promise<AskResult<Name>> {
    const socket = this.#socket
    if (socket === undefined) return Promise.resolve({ as: 'lost', why: 'no_daemon' })
    if (this.#waiting.size >= sessionAsksMax || socket.writableLength > frameBytesMax) {
      return Promise.resolve({ as: 'lost', why: 'too_many' })
    }
    this.#lastAsk = (this.#lastAsk + 1) % 2 ** 32
    const number = this.#lastAsk
    return new Promise((resolve) => {
      const settle = (result: AskResult<MessageName>): void => {
        cancel()
        this.#waiting.delete(number)
        resolve(result as AskResult<Name>)
      }
      const cancel = this.#options.world.after(patienceMs, () => settle({ as: 'lost', why: 'deadline' }))
      this.#waiting.set(number, { message, settle })
      socket.write(encodeAsk(message, number, fields))
    })
  }

  #connect(): void {
    if (this.#state.as === 'closed') return
    const socket = createConnection(this.#options.socketPath)
    this.#socket = socket
    this.#cutter = new FrameCutter()
    let ended = false
    const end = (why: string): void => {
      if (ended) return
      ended = true
      socket.destroy()
      if (this.#socket === socket) this.#socket = undefined
      this.#loseAll()
      this.#set({ as: 'connecting', why })
      this.#options.world.after(this.#retryMs, () => this.#connect())
      this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2)
    }
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.once('close', () => end('the daemon closed the connection'))
    socket.on('data', (piece: Buffer) => {
      const problem = this.#receive(piece)
      if (problem !== null) end(problem)
    })
    socket.once('connect', () => void this.#greet(end))
  }

  async #greet(end: (why: string) => void): Promise<void> {
    const { client, engine, worker } = this.#options
    const fields = { version: wireVersion, client, engine, worker, processId: process.pid }
    const result = await this.#send('hello', fields, helloMsMax)
    if (result.as === 'lost') return end(`no hello from the daemon (${result.why})`)
    if (result.as === 'error') return end(result.says)
    if (result.answer.version !== wireVersion)
      return end(`the daemon speaks wire version ${result.answer.version}`)
    this.#generation += 1
    this.#retryMs = retryMsMin
    const { session, daemonEpoch, heartbeatMs } = result.answer
    this.#set({ as: 'ready', generation: this.#generation, session, epoch: daemonEpoch })
    if (heartbeatMs > 0) this.#beat(this.#generation, Math.max(50, Math.floor(heartbeatMs / 3)))
  }

  /** Shows the daemon that a quiet engine lives, for as long as this connection does. */
  #beat(generation: number, everyMs: number): void {
    this.#options.world.after(everyMs, () => {
      if (this.#state.as !== 'ready' || this.#state.generation !== generation) return
      void this.#send('ping', {}, everyMs)
      this.#beat(generation, everyMs)
    })
  }

  /** Takes bytes in; gives why the connection cannot go on, or null. */
  #receive(piece: Uint8Array): string | null {
    this.#cutter.push(piece)
    for (;;) {
      const taken = this.#cutter.take()
      if (taken.as === 'more') return null
      if (taken.as === 'refused') return `malformed frame: ${taken.why}`
      const problem = this.#settle(taken.header, taken.body)
      if (problem !== null) return problem
    }
  }

  #settle(header: FrameHeader, body: Uint8Array): string | null {
    const waiting = this.#waiting.get(header.ask)
    if (waiting === undefined) return null
    const decoded = decodeAnswer(waiting.message, header, body)
    if (decoded.as === 'refused') return `malformed answer: ${decoded.why}`
    if (decoded.as === 'error') waiting.settle({ as: 'error', ...decoded.error })
    else waiting.settle({ as: 'answer', answer: decoded.value })
    return null
  }

  #loseAll(): void {
    for (const waiting of [...this.#waiting.values()]) waiting.settle({ as: 'lost', why: 'no_daemon' })
  }

  #set(state: LinkState): void {
    if (this.#state.as === 'closed') return
    this.#state = state
    for (const listener of this.#listeners) listener(state)
  }
}
