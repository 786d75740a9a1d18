/** Text made safe for a page. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

type Attributes = Readonly<Record<string, string | number>>

/** One SVG element. Numbers are written to a tenth of a unit; `inside` is markup already. */
export function element(tag: string, attributes: Attributes, inside = ''): string {
  const written = Object.entries(attributes).map(([name, value]) => {
    return ` ${name}="${typeof value === 'number' ? at(value) : escaped(value)}"`
  })
  return `<${tag}${written.join('')}>${inside}</${tag}>`
}

/** A text element. */
export function label(text: string, attributes: Attributes): string {
  return element('text', attributes, escaped(text))
}

/** What the pointer shows over an element. */
export function tip(text: string): string {
  return `<title>${escaped(text)}</title>`
}

/** A coordinate in a path. */
export function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}
