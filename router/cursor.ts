import type { EventBatch } from '../tiers/block/event.ts'

/** How far a publisher's events were applied; null before its first snapshot. */
export type Cursor = { readonly publisher: string; readonly epoch: string; readonly sequence: number } | null

/** What a batch is to a reader at this cursor. Pure. */
export type Judged =
  | 'next'
  /** Applied already, or part of the snapshot. */
  | 'old'
  /** Batches before it are missing: a snapshot heals that. */
  | 'gap'
  /** The publisher started anew: everything known of it is void until a snapshot. */
  | 'epoch'

export function judge(cursor: Cursor, batch: Pick<EventBatch, 'publisher' | 'epoch' | 'sequence'>): Judged {
  if (cursor === null || batch.epoch !== cursor.epoch || batch.publisher !== cursor.publisher) return 'epoch'
  if (batch.sequence <= cursor.sequence) return 'old'
  return batch.sequence === cursor.sequence + 1 ? 'next' : 'gap'
}
