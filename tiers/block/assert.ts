/** Ends the program's wrong path at once. On in production too: a broken invariant in a cache of somebody's
 *  KV must never be carried on with. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what)
}

/** Never reached when every case of a union is handled; the compiler checks it. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable value ${String(value)}`)
}

/** A broken invariant: a bug of ours, never of the input. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}
