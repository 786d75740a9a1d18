import { nearestWord } from '../tiers/block/nearest.ts'

/** ` Did you mean "x"?` for the nearest known word, or an empty string when none is near. */
export function suggestion(word: string, known: readonly string[], prefix = ''): string {
  const nearest = nearestWord(word, known)
  return nearest === null ? '' : ` Did you mean "${prefix}${nearest}"?`
}
