/** Edits (insert, drop, replace, swap of neighbours) that turn one word into the other. */
export function editDistance(left: string, right: string): number {
  let twoBefore: number[] = []
  let before = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let i = 1; i <= left.length; i++) {
    const row = [i]
    for (let j = 1; j <= right.length; j++) {
      const replace = (before[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      let best = Math.min((row[j - 1] ?? 0) + 1, (before[j] ?? 0) + 1, replace)
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      if (swapped) best = Math.min(best, (twoBefore[j - 2] ?? 0) + 1)
      row.push(best)
    }
    twoBefore = before
    before = row
  }
  return before[right.length] ?? 0
}

/** The known word that a mistyped one most likely stands for, or null when none is near. */
export function nearestWord(word: string, known: readonly string[]): string | null {
  // Words longer than any of ours cannot be near; the bound keeps the table of distances small.
  const asked = word.slice(0, 64).toLowerCase()
  let nearest: string | null = null
  let distance = Math.max(2, Math.ceil(asked.length / 3)) + 1
  for (const candidate of known) {
    const lower = candidate.toLowerCase()
    const away = asked.length >= 3 && lower.startsWith(asked) ? 1 : editDistance(asked, lower)
    if (away < distance) {
      nearest = candidate
      distance = away
    }
  }
  return nearest
}
