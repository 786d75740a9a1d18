import type { Slot } from './block/id.ts'

/** Where one block stands in one tier that has slots. Only the table turns one state into another. */
export type BlockState =
  | { readonly at: 'filling'; readonly slot: Slot }
  /** Invariant: `checksum` was taken over the bytes after the copy that filled the slot had ended. */
  | { readonly at: 'sealed'; readonly slot: Slot; readonly checksum: number; readonly pins: number }
  /** Invariant: nobody can find the key any more, yet `pins` copies may still touch the slot. */
  | { readonly at: 'draining'; readonly slot: Slot; readonly pins: number }

export type Filling = Extract<BlockState, { at: 'filling' }>
export type Sealed = Extract<BlockState, { at: 'sealed' }>

/** How the copy that filled a slot ended. */
export type FillDone = {
  /** The slot as it was handed out to the one who began the copy. */
  readonly slot: Slot
  readonly ok: boolean
  readonly checksum: number
}

export type Filled =
  | { readonly as: 'sealed'; readonly state: Sealed }
  /** The slot goes back to its owner: a failed fill must not leak room nor become readable. */
  | { readonly as: 'refused'; readonly why: 'copy_failed'; readonly release: Slot }
  /** The completion belongs to an earlier owner of the slot: nothing changes. */
  | { readonly as: 'ignored'; readonly why: 'stale_generation' }

/** Whether two say the same slot of the same owner. A generation alone does not: every slot counts its own. */
export function sameSlot(a: Slot, b: Slot): boolean {
  return a.index === b.index && a.generation === b.generation
}

/** The only way to `sealed`: a completion that says ok and carries the slot with its current generation. */
export function finishFill(state: Filling, done: FillDone): Filled {
  if (!sameSlot(done.slot, state.slot)) return { as: 'ignored', why: 'stale_generation' }
  if (!done.ok) return { as: 'refused', why: 'copy_failed', release: state.slot }
  return { as: 'sealed', state: { at: 'sealed', slot: state.slot, checksum: done.checksum, pins: 0 } }
}
