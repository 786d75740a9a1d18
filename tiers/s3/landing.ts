import { assert } from '../block/assert.ts'
import { sealByteCount } from '../block/seal.ts'
import type { Piece, Run } from './run.ts'
import type { Fetched, Sink } from './stream.ts'

export type LandingPiece = Piece & {
  /** Host memory that takes the payload. */
  readonly window: Uint8Array
}
/** Why an answer is not the bytes that were asked for. */
export type WrongAnswer = 'short' | 'other_range' | 'other_length'

/** Lands the answer of one ranged GET: seals in a side buffer, payloads straight in host memory, all else nowhere. Keeps
 *  its own count of bytes: an answer can end early and look complete. */
export class Landing<P extends LandingPiece> implements Sink {
  readonly #run: Run<P>
  readonly #packBytes: number
  readonly #landed: (piece: P, seal: Uint8Array) => void
  readonly #seal = new Uint8Array(sealByteCount)
  /** Offset in the pack of the next byte to come. */
  #at: number
  #next = 0
  #wrong: WrongAnswer | null = null

  constructor(run: Run<P>, packBytes: number, landed: (piece: P, seal: Uint8Array) => void) {
    this.#run = run
    this.#packBytes = packBytes
    this.#landed = landed
    this.#at = run.first
  }

  /** The first thing that was wrong with the answer, or null. */
  wrong(): WrongAnswer | null {
    if (this.#wrong !== null) return this.#wrong
    return this.#next < this.#run.pieces.length ? 'short' : null
  }

  begin(fetched: Fetched): 'go_on' | 'enough' {
    this.#wrong = null
    const ranged = fetched.status === 206
    if (ranged) {
      const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fetched.contentRange ?? '')
      if (Number(range?.[3]) !== this.#packBytes) return this.#refuse('other_length')
      if (Number(range?.[1]) !== this.#run.first || Number(range?.[2]) !== this.#run.last) {
        return this.#refuse('other_range')
      }
    } else if (fetched.contentLength !== null && fetched.contentLength !== this.#packBytes) {
      return this.#refuse('other_length')
    }
    // A store that knows no ranges sends the whole object. On a second try, blocks that have landed are passed over.
    this.#at = ranged ? this.#run.first : 0
    return 'go_on'
  }

  take(chunk: Uint8Array): 'go_on' | 'enough' {
    let start = 0
    while (start < chunk.length) {
      const piece = this.#run.pieces[this.#next]
      if (piece === undefined) {
        this.#at += chunk.length - start
        // The padding after the last block belongs to the range; more does not.
        return this.#at > this.#run.last + 1 ? 'enough' : 'go_on'
      }
      start += this.#step(piece, chunk, start)
    }
    return 'go_on'
  }

  /** Moves the bytes up to the next border: end of gap, seal, payload. Returns how many. */
  #step(piece: P, chunk: Uint8Array, start: number): number {
    const left = chunk.length - start
    const inPiece = this.#at - piece.offset
    if (inPiece < 0) return this.#pass(Math.min(left, -inPiece))
    if (inPiece < sealByteCount) {
      const count = Math.min(left, sealByteCount - inPiece)
      this.#seal.set(chunk.subarray(start, start + count), inPiece)
      return this.#pass(count)
    }
    const inPayload = inPiece - sealByteCount
    assert(inPayload < piece.payloadBytes, 'a landed block is left behind')
    const count = Math.min(left, piece.payloadBytes - inPayload)
    piece.window.set(chunk.subarray(start, start + count), inPayload)
    this.#pass(count)
    if (inPayload + count === piece.payloadBytes) {
      this.#next += 1
      this.#landed(piece, this.#seal)
    }
    return count
  }

  #pass(count: number): number {
    this.#at += count
    return count
  }

  #refuse(why: WrongAnswer): 'enough' {
    this.#wrong = why
    return 'enough'
  }
}
