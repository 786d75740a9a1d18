/** Rising capacities, in blocks: the engines' own memory, then steps from a thousandth of the distinct blocks
 *  (or just above that memory) to all of them, evenly spaced by ratio. */
export function capacityGrid(hbmBlocks: number, distinctBlocks: number, stepCount: number): Int32Array {
  const smallest = Math.max(1, Math.floor(distinctBlocks / 1_000), Math.ceil(hbmBlocks * 1.05))
  const grid = new Set<number>([hbmBlocks])
  for (let step = 0; step < stepCount; step += 1) {
    const share = stepCount === 1 ? 1 : step / (stepCount - 1)
    const blocks = Math.round(smallest * (distinctBlocks / smallest) ** share)
    if (blocks > hbmBlocks) grid.add(blocks)
  }
  return Int32Array.from(grid).sort()
}
