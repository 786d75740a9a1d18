import { Readable } from 'node:stream'
import type { Pace } from './pace.ts'

/** Bytes handed to the socket at once. */
export const sentPieceBytes = 256 * 1024

export type Fetched = {
  /** 206 for a range, 200 for the whole. */
  readonly status: number
  readonly contentRange: string | null
  readonly contentLength: number | null
}
/** Gets the bytes of an answer as they come; says when it has enough. */
export type Sink = {
  begin(fetched: Fetched): 'go_on' | 'enough'
  take(chunk: Uint8Array): 'go_on' | 'enough'
}

/** The parts of a body in pieces, out of the memory they lie in. Nothing is read from it once the request has ended: the memory may
 *  be somebody else's by then. */
export function* piecesOf(parts: readonly Uint8Array[], pace: Pace): Generator<Uint8Array> {
  for (const part of parts) {
    for (let start = 0; start < part.length; start += sentPieceBytes) {
      if (pace.signal.aborted) return
      const piece = part.subarray(start, start + sentPieceBytes)
      pace.moved(piece.length)
      yield piece
    }
  }
  pace.wait()
}

/** Moves a body into the sink, and ends it. The client cuts the connection of a request that has ended; whether a chunk is still on
 *  its way to us then, is decided here. */
export async function drain(body: unknown, sink: Pick<Sink, 'take'>, pace: Pace): Promise<void> {
  if (!(body instanceof Readable)) return
  try {
    for await (const chunk of body) {
      if (pace.signal.aborted || !(chunk instanceof Uint8Array)) return
      pace.moved(chunk.length)
      if (sink.take(chunk) === 'enough') return
    }
  } finally {
    endBody(body)
  }
}

/** Ends a body nobody reads to its end, and its connection with it. */
export function endBody(body: unknown): void {
  if (body instanceof Readable) body.destroy()
}
