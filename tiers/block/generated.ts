import { assert } from './assert.ts'

/** Parts of a page that are made from tables in the source: they stand between two comments,
 *
 *    <!-- generated: config -->
 *    ...
 *    <!-- end: config -->
 *
 *  and are never written by hand. A test compares them with the tables. */

/** The page with each named part replaced. A part without its two comments is a mistake of the page's author. */
export function withGenerated(page: string, parts: Readonly<Record<string, string>>): string {
  let text = page
  for (const [name, part] of Object.entries(parts)) {
    const begin = `<!-- generated: ${name} -->\n`
    const end = `<!-- end: ${name} -->`
    const from = text.indexOf(begin)
    const to = text.indexOf(end)
    assert(from >= 0 && to > from, `the page has a place for the generated part "${name}"`)
    text = `${text.slice(0, from)}${begin}${part.trimEnd()}\n${text.slice(to)}`
  }
  return text
}

/** A Markdown table; a bar inside a cell is escaped. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return `${[line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')}\n`
}
