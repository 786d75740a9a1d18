import { frameBytesMax } from '../tiers/block/limits.ts'
import { type FrameHeader, frameHeaderBytes, readFrameHeader } from '../tiers/block/wire.ts'

export type FrameRead =
  | { readonly as: 'frame'; readonly header: FrameHeader; readonly body: Uint8Array }
  /** Nothing that follows can be trusted: the connection is over. `ask` is 0 when even that is unknown. */
  | { readonly as: 'refused'; readonly why: string; readonly ask: number }

/** Cuts what a socket gives into frames. Holds at most one unfinished frame, whose length was checked before any of it was kept;
 *  memory is taken for bytes that came, never for bytes that were announced. */
export class FrameReader {
  /** Longest frame taken now; the owner raises it once the peer has said hello. */
  frameBytesMax: number
  #chunks: Uint8Array[] = []
  #heldBytes = 0
  #header: FrameHeader | null = null
  #over = false

  constructor(firstFrameBytesMax: number) {
    this.frameBytesMax = Math.min(firstFrameBytesMax, frameBytesMax)
  }

  /** Bytes of an unfinished frame. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** The frames that `chunk` completes, in order, each made only when asked for. After a refusal nothing more comes. */
  *take(chunk: Uint8Array): Generator<FrameRead> {
    if (this.#over || chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#heldBytes += chunk.length
    while (!this.#over) {
      if (this.#header === null) {
        if (this.#heldBytes < frameHeaderBytes) return
        const read = readFrameHeader(this.#pull(frameHeaderBytes))
        if (read.as === 'refused') {
          this.#over = true
          yield { as: 'refused', why: read.why, ask: 0 }
          return
        }
        this.#header = read.header
      }
      const header = this.#header
      if (header.frameBytes > this.frameBytesMax) {
        this.#over = true
        yield { as: 'refused', why: `frame.length: above ${this.frameBytesMax}`, ask: header.ask }
        return
      }
      if (this.#heldBytes < header.frameBytes - frameHeaderBytes) return
      this.#header = null
      yield { as: 'frame', header, body: this.#pull(header.frameBytes - frameHeaderBytes) }
    }
  }

  /** Takes the first `byteCount` bytes out of what is held; copies only when they lie in several chunks. */
  #pull(byteCount: number): Uint8Array {
    this.#heldBytes -= byteCount
    const first = this.#chunks[0]
    if (byteCount === 0 || first === undefined) return new Uint8Array(0)
    if (first.length > byteCount) {
      this.#chunks[0] = first.subarray(byteCount)
      return first.subarray(0, byteCount)
    }
    if (first.length === byteCount) {
      this.#chunks.shift()
      return first
    }
    const bytes = new Uint8Array(byteCount)
    let filled = 0
    let used = 0
    while (filled < byteCount) {
      const chunk = this.#chunks[used]
      if (chunk === undefined) break
      const part = chunk.subarray(0, byteCount - filled)
      bytes.set(part, filled)
      filled += part.length
      if (part.length < chunk.length) {
        this.#chunks[used] = chunk.subarray(part.length)
        break
      }
      used += 1
    }
    this.#chunks = this.#chunks.slice(used)
    return bytes
  }
}
