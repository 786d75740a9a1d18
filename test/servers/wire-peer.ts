import { connect, type Socket } from 'node:net'
import {
  type Answer,
  type Ask,
  type Decoded,
  decodeAnswer,
  encodeAsk,
  frameHeaderBytes,
  type MessageName,
  readFrameHeader,
  wireVersion,
} from '../../tiers/block/wire.ts'

type Waiting = { readonly message: MessageName; readonly done: (answer: Decoded<unknown>) => void }

/** The engine's end of the wire, as plain as can be: it sends what it is told, right or wrong. */
export class WirePeer {
  readonly socket: Socket
  /** Resolves when the other side is gone. */
  readonly closed: Promise<void>
  /** Everything that answered no ask: refusals of frames without a number. */
  readonly strays: Decoded<unknown>[] = []
  readonly #waiting = new Map<number, Waiting>()
  #held = Buffer.alloc(0)
  #nextAsk = 1

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        for (const { done } of this.#waiting.values()) done({ as: 'refused', why: 'closed' })
        resolve()
      })
    })
  }

  static open(path: string): Promise<WirePeer> {
    return new Promise((resolve, reject) => {
      const socket = connect(path)
      socket.once('error', reject)
      socket.once('connect', () => resolve(new WirePeer(socket)))
    })
  }

  /** Connects and says hello. */
  static async attached(path: string, worker = 'worker-1'): Promise<WirePeer> {
    const peer = await WirePeer.open(path)
    await peer.value('hello', helloFrom(worker))
    return peer
  }

  ask<Name extends MessageName>(message: Name, fields: Ask<Name>): Promise<Decoded<Answer<Name>>> {
    if (this.socket.destroyed) return Promise.resolve({ as: 'refused', why: 'closed' })
    const ask = this.#nextAsk++
    const answer = new Promise<Decoded<Answer<Name>>>((resolve) => {
      this.#waiting.set(ask, { message, done: resolve as Waiting['done'] })
    })
    this.socket.write(encodeAsk(message, ask, fields))
    return answer
  }

  /** The answer's fields; fails on anything else. */
  async value<Name extends MessageName>(message: Name, fields: Ask<Name>): Promise<Answer<Name>> {
    const answer = await this.ask(message, fields)
    if (answer.as === 'value') return answer.value
    throw new Error(`${message} was not answered: ${JSON.stringify(answer)}`)
  }

  /** `CODE: sentence` of the error that answers; fails on anything else. */
  async refusal<Name extends MessageName>(message: Name, fields: Ask<Name>): Promise<string> {
    const answer = await this.ask(message, fields)
    if (answer.as === 'error') return `${answer.error.code}: ${answer.error.says}`
    throw new Error(`${message} was not refused: ${JSON.stringify(answer)}`)
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }

  #take(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk])
    while (this.#held.length >= frameHeaderBytes) {
      const read = readFrameHeader(this.#held.subarray(0, frameHeaderBytes))
      if (read.as === 'refused') throw new Error(`the daemon sent a bad frame: ${read.why}`)
      const { header } = read
      if (this.#held.length < header.frameBytes) return
      const body = this.#held.subarray(frameHeaderBytes, header.frameBytes)
      const waiting = this.#waiting.get(header.ask)
      const answer = decodeAnswer(waiting?.message ?? 'ping', header, body)
      this.#held = this.#held.subarray(header.frameBytes)
      this.#waiting.delete(header.ask)
      if (waiting === undefined) this.strays.push(answer)
      else waiting.done(answer)
    }
  }
}

export function helloFrom(worker: string): Ask<'hello'> {
  return { version: wireVersion, client: 'test', engine: 'test-engine', worker, processId: process.pid }
}

/** A namespace with blocks of 4 tokens and 1,024 bytes: K and V of 2 layers with pieces of 256 bytes. */
export function smallNamespace(tenant = 'default'): Ask<'openNamespace'> {
  return {
    tenant,
    model: 'model-1',
    revision: 'r1',
    adapter: '',
    engine: 'test-engine',
    rankIndex: 0,
    rankCount: 1,
    epoch: '',
    layout: {
      blockTokens: 4,
      dtype: 'f16',
      planes: [
        { name: 'k', layerCount: 2, pieceBytes: 256 },
        { name: 'v', layerCount: 2, pieceBytes: 256 },
      ],
    },
  }
}

/** Where blocks of `smallNamespace` lie in a region of `blockCount` blocks: layer after layer, K before V. */
export function smallPlace(blockCount: number) {
  const layerStride = blockCount * 256
  return {
    planes: [
      { baseOffset: 0, layerStride, blockStride: 256 },
      { baseOffset: 2 * layerStride, layerStride, blockStride: 256 },
    ],
  }
}

export function tokensOf(count: number, first = 0): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => first + i)
}
