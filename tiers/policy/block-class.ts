const firstUseClasses = 8 * 3 * 2
const laterUseClasses = 6 * 6 * 4 * 2

/** Number of block classes. */
export const blockClassCount = firstUseClasses + laterUseClasses

/** Upper edges of the gap classes, in milliseconds: tool calls, quick answers, reading, thinking, a pause. */
const gapEdgesMs = [10_000, 30_000, 90_000, 300_000] as const

function gapClass(gapMs: number): number {
  let kind = 0
  while (kind < gapEdgesMs.length && gapMs >= (gapEdgesMs[kind] as number)) kind += 1
  return kind
}

/** 0 for 1, 1 for 2..3, 2 for 4..7, at most 7. */
const doublings = (count: number): number => Math.min(7, 31 - Math.clz32(Math.max(1, count)))

/** The class of a block, 0 .. blockClassCount - 1, from what tells most about its next use:
 *  `uses` so far, this one included; `gapMs`, the smoothed time between its uses (unused for the first);
 *  `newWith`, how many blocks were new together with it (a short addition mostly comes from a conversation that goes on, a
 *  long one from a document that is asked about once); `turn`, how often the session had been continued;
 *  `isTail`, the last block of the request, mostly a partial one that never comes back. */
export function blockClassOf(
  uses: number,
  gapMs: number,
  newWith: number,
  turn: number,
  isTail: boolean,
): number {
  const tail = isTail ? 1 : 0
  if (uses <= 1) {
    const turns = turn >= 3 ? 2 : turn >= 1 ? 1 : 0
    return (doublings(newWith) * 3 + turns) * 2 + tail
  }
  const used = uses >= 33 ? 5 : uses >= 17 ? 4 : uses >= 9 ? 3 : uses >= 5 ? 2 : uses >= 3 ? 1 : 0
  return firstUseClasses + ((used * 6 + gapClass(gapMs)) * 4 + (doublings(newWith) >> 1)) * 2 + tail
}
