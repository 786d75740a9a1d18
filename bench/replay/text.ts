import { mix } from '../trace/trie.ts'

/** Short common words: with today's vocabularies each is one token when a blank stands before it. */
const words = (
  'the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you ' +
  'were all her she there would their we him been has when who will no more if out so up said what its about than into ' +
  'them can only other time new some could these two may first then do any like my now over such our man me even most ' +
  'made after also did many off before must well back through years where much your way down should because long each ' +
  'just state those people too mr how little good world make very year still see own work men day get here old life both'
).split(' ')

/** Text that stands for one block of a trace: always the same for the same block and salt, and of another kind for
 *  another block. One word is about one token. */
export function blockText(node: number, wordCount: number, salt: number): string {
  let state = mix(node, salt)
  let text = ''
  for (let word = 0; word < wordCount; word += 1) {
    state = mix(state, word)
    text += ` ${words[(state >>> 0) % words.length]}`
  }
  return text
}

/** The prompt of a request of so many tokens: the texts of its blocks, root first; the last one cut to what the prompt has left.
 *  `scale` is the factor that the tokens have already. */
export function promptText(
  path: readonly number[],
  tokens: number,
  blockTokens: number,
  scale: number,
  salt: number,
): string {
  const wordsPerBlock = Math.max(1, Math.round(blockTokens * scale))
  let left = tokens
  let text = ''
  for (const node of path) {
    const wordCount = Math.min(wordsPerBlock, left)
    if (wordCount <= 0) break
    text += blockText(node, wordCount, salt)
    left -= wordCount
  }
  return text.trimStart()
}
