/** Time, chance and order come from here and nowhere else (the tidy test bans Date.now, Math.random and setTimeout in
 *  the rest of the product), so that a whole run can be repeated from a seed. */
export interface World {
  /** Monotonic milliseconds; never the wall clock. Leases and deadlines live on it. */
  nowMs(): number
  /** Milliseconds since 1970, for signatures and records only: it may jump. */
  wallMs(): number
  /** A number in [0, 1). */
  random(): number
  /** Resolves after `ms`. */
  sleep(ms: number): Promise<void>
  /** Calls `run` once after `ms`, unless the returned function is called before. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void
}

/** The world outside: the machine's clock and chance. */
export const realWorld: World = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  random: () => Math.random(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** What `work` gives, or null when the deadline comes first. The work itself goes on: its owner must be
 *  able to stand a late answer (generations and tickets are for that). */
export async function beforeDeadline<Value>(
  world: World,
  deadlineMs: number,
  work: Promise<Value>,
): Promise<{ readonly value: Value } | null> {
  const left = deadlineMs - world.nowMs()
  if (left <= 0) {
    work.catch(() => undefined)
    return null
  }
  let cancel: () => void = () => undefined
  const late = new Promise<null>((resolve) => {
    cancel = world.after(left, () => resolve(null))
  })
  try {
    return await Promise.race([work.then((value) => ({ value })), late])
  } finally {
    cancel()
    work.catch(() => undefined)
  }
}
