import { s3GapBytesMax, s3RunBytesMax } from '../block/limits.ts'
import { blockSpanBytes } from './pack.ts'

/** One wanted block of a pack: where it starts there, and its length. */
export type Piece = { readonly offset: number; readonly payloadBytes: number }
/** Blocks that one ranged GET brings, in the order of their offsets, without overlap. */
export type Run<P extends Piece> = {
  readonly first: number
  readonly last: number
  readonly pieces: readonly P[]
}

/** Cuts the wanted blocks of one pack into few ranged GETs: near ones together, none too long. Pure. */
export function planRuns<P extends Piece>(wanted: readonly P[]): readonly Run<P>[] {
  const runs: Run<P>[] = []
  let pieces: P[] = []
  let first = 0
  let end = 0
  for (const piece of wanted.toSorted((a, b) => a.offset - b.offset)) {
    const pieceEnd = piece.offset + blockSpanBytes(piece.payloadBytes)
    const joins =
      pieces.length > 0 &&
      // The same block wanted twice goes into a run of its own: one answer fills one span.
      piece.offset >= end &&
      piece.offset - end < s3GapBytesMax &&
      pieceEnd - first <= s3RunBytesMax
    if (!joins) {
      if (pieces.length > 0) runs.push({ first, last: end - 1, pieces })
      pieces = []
      first = piece.offset
    }
    pieces.push(piece)
    end = pieceEnd
  }
  if (pieces.length > 0) runs.push({ first, last: end - 1, pieces })
  return runs
}
