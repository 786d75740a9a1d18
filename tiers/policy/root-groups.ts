/** Share of the session starts from which on a prompt beginning gets curves of its own. Why: below it there are too few events to
 *  tell it from the rest, and a slot that changes hands often teaches nobody. */
const shareMin = 0.04
/** And starts (after fading) that it needs at least. Why: one long session is no application. */
const startsMin = 32
/** A slot changes hands only to a root with this many times the starts of its holder. */
const takeoverRatio = 2
/** Roots that are counted between two assignments, at most. */
const countedMax = 4_096

/** Gives the busiest prompt beginnings (system prompts, tools: in effect applications) a group number of their own, so
 *  that what is learned about one is not mixed with another. Group 0 is all the rest. */
export class RootGroups {
  readonly #slotOf = new Map<number, number>()
  readonly #rootOf: number[]
  readonly #starts = new Map<number, number>()
  #seen = 0

  constructor(slotCount: number) {
    this.#rootOf = new Array<number>(slotCount).fill(-1)
  }

  groupOf(root: number): number {
    return this.#slotOf.get(root) ?? 0
  }

  /** A session began under this root. */
  started(root: number): void {
    this.#seen += 1
    const starts = this.#starts.get(root)
    if (starts !== undefined || this.#starts.size < countedMax) this.#starts.set(root, (starts ?? 0) + 1)
  }

  /** Hands slots out anew by the session starts since the last time (which fade by half). Answers the slots that changed hands. */
  assign(): readonly number[] {
    const wanting = [...this.#starts]
      .filter(
        ([root, starts]) => starts >= Math.max(startsMin, shareMin * this.#seen) && !this.#slotOf.has(root),
      )
      .sort((a, b) => b[1] - a[1] || a[0] - b[0])
    const taken: number[] = []
    for (const [root, starts] of wanting) {
      const slot = this.#weakestSlot()
      const holder = this.#rootOf[slot] as number
      if (starts < takeoverRatio * (this.#starts.get(holder) ?? 0)) break
      this.#slotOf.delete(holder)
      this.#slotOf.set(root, slot)
      this.#rootOf[slot] = root
      taken.push(slot)
    }
    for (const [root, starts] of this.#starts) {
      if (starts > 1) this.#starts.set(root, starts / 2)
      else this.#starts.delete(root)
    }
    this.#seen /= 2
    return taken
  }

  #weakestSlot(): number {
    let weakest = 1
    for (let slot = 2; slot < this.#rootOf.length; slot += 1) {
      const starts = this.#starts.get(this.#rootOf[slot] as number) ?? 0
      if (starts < (this.#starts.get(this.#rootOf[weakest] as number) ?? 0)) weakest = slot
    }
    return weakest
  }
}
