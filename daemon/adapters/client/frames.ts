import { type FrameHeader, frameHeaderBytes, readFrameHeader } from '../../../tiers/block/wire.ts'

export type FrameTaken =
  | { readonly as: 'frame'; readonly header: FrameHeader; readonly body: Uint8Array }
  | { readonly as: 'more' }
  | { readonly as: 'refused'; readonly why: string }

/** Cuts a stream of bytes into frames. Holds at most one unfinished frame; a header that is refused ends the stream. */
export class FrameCutter {
  #pieces: Uint8Array[] = []
  #byteCount = 0

  push(piece: Uint8Array): void {
    this.#pieces.push(piece)
    this.#byteCount += piece.length
  }

  take(): FrameTaken {
    if (this.#byteCount < frameHeaderBytes) return { as: 'more' }
    const head = readFrameHeader(this.#peek(frameHeaderBytes))
    if (head.as === 'refused') return head
    const { frameBytes } = head.header
    if (this.#byteCount < frameBytes) return { as: 'more' }
    const whole = this.#peek(frameBytes)
    this.#drop(frameBytes)
    return { as: 'frame', header: head.header, body: whole.subarray(frameHeaderBytes) }
  }

  /** The first bytes in one piece; joins pieces only when they do not lie in the first one. */
  #peek(byteCount: number): Uint8Array {
    const first = this.#pieces[0]
    if (first !== undefined && first.length >= byteCount) return first.subarray(0, byteCount)
    const joined = Buffer.concat(this.#pieces)
    this.#pieces = [joined]
    return joined.subarray(0, byteCount)
  }

  #drop(byteCount: number): void {
    const first = this.#pieces[0]
    if (first === undefined) return
    if (first.length === byteCount) this.#pieces.shift()
    else this.#pieces[0] = first.subarray(byteCount)
    this.#byteCount -= byteCount
  }
}
