/** Edits (insert, drop, replace, swap of neighbours) that turn one word into the other. */
export function editDistance(left: string, right: string): number {
  let before: number[] = []
  let row = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= right.length; j += 1) {
      const same = left[i - 1] === right[j - 1]
      let best = Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      if (swapped) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      next.push(best)
    }
    before = row
    row = next
  }
  return row[right.length] ?? 0
}

/** ` Did you mean "x"?` for the nearest known word, or an empty string when none is near. */
export function suggestion(word: string, known: readonly string[], prefix = ''): string {
  let nearest = ''
  let distance = Math.max(2, Math.ceil(word.length / 3)) + 1
  for (const candidate of known) {
    const away = candidate.startsWith(word) ? 1 : editDistance(word, candidate)
    if (away < distance) {
      nearest = candidate
      distance = away
    }
  }
  return nearest === '' ? '' : ` Did you mean "${prefix}${nearest}"?`
}
