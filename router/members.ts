import { jsonDepthMax } from '../tiers/block/limits.ts'

/** One member of the top-level object, as offsets into the body: from the quote of its name to the end of its
 *  value. */
export type Member = {
  readonly name: string
  readonly start: number
  readonly valueStart: number
  readonly end: number
}
type Members =
  | { readonly as: 'members'; readonly members: readonly Member[] }
  | { readonly as: 'refused'; readonly why: string }

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

class BadJson extends Error {}

/** Finds the top-level members of a JSON object without building it: the bytes go to the worker as they came,
 *  and no walk can be made deep by the client. Strict about structure (what ends where), so that no parser
 *  behind us can see another member than we do; what a number looks like inside is the worker's business. */
export function membersOf(body: Buffer): Members {
  try {
    return { as: 'members', members: new Scan(body).object() }
  } catch (error) {
    if (error instanceof BadJson) return { as: 'refused', why: error.message }
    throw error
  }
}

class Scan {
  readonly #body: Buffer
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  object(): Member[] {
    const members: Member[] = []
    this.#space()
    if (this.#body[this.#at] !== openBrace) throw new BadJson('the body is not a JSON object')
    this.#at += 1
    this.#space()
    if (this.#body[this.#at] === closeBrace) this.#at += 1
    else {
      do members.push(this.#member())
      while (this.#another())
    }
    this.#space()
    if (this.#at !== this.#body.length) throw new BadJson('the body goes on after its JSON object')
    return members
  }

  #member(): Member {
    this.#space()
    const start = this.#at
    const name = this.#name()
    this.#space()
    if (this.#body[this.#at] !== colon) throw new BadJson('a JSON member has no colon')
    this.#at += 1
    this.#space()
    const valueStart = this.#at
    this.#value()
    const end = this.#at
    this.#space()
    return { name, start, valueStart, end }
  }

  /** After a member: true when another follows, false past the closing brace. */
  #another(): boolean {
    const byte = this.#body[this.#at]
    if (byte !== comma && byte !== closeBrace)
      throw new BadJson('a JSON member is not followed by "," or "}"')
    this.#at += 1
    return byte === comma
  }

  #name(): string {
    const start = this.#at
    if (this.#body[start] !== quote) throw new BadJson('a JSON member has no name')
    this.#string()
    const text = this.#body.toString('utf8', start, this.#at)
    try {
      return JSON.parse(text) as string
    } catch {
      throw new BadJson('a JSON member has a malformed name')
    }
  }

  #value(): void {
    const byte = this.#body[this.#at]
    if (byte === quote) this.#string()
    else if (byte === openBrace || byte === openBracket) this.#nested()
    else this.#scalar()
  }

  /** Objects and lists inside a value. Closers are matched on a stack of at most `jsonDepthMax`; commas and
   *  colons inside are left to the worker. */
  #nested(): void {
    const body = this.#body
    const closers = new Uint8Array(jsonDepthMax)
    // The top-level object is the first level.
    let depth = 1
    while (this.#at < body.length) {
      const byte = body[this.#at]
      if (byte === quote) {
        this.#string()
        continue
      }
      this.#at += 1
      if (byte === openBrace || byte === openBracket) {
        if (depth >= jsonDepthMax) throw new BadJson(`the JSON is nested deeper than ${jsonDepthMax}`)
        closers[depth] = byte + 2
        depth += 1
      } else if (byte === closeBrace || byte === closeBracket) {
        depth -= 1
        if (closers[depth] !== byte) throw new BadJson('the JSON has mismatched brackets')
        if (depth === 1) return
      } else if (byte === 0x2f || byte === 0x27) throw new BadJson('the JSON has a comment or a single quote')
    }
    throw new BadJson('the JSON ends inside a value')
  }

  #string(): void {
    const body = this.#body
    const first = body.indexOf(quote, this.#at + 1)
    if (first === -1) throw new BadJson('the JSON ends inside a string')
    if (body[first - 1] !== backslash) {
      this.#at = first + 1
      return
    }
    // An escape before the quote: byte by byte from here, so that a string of nothing but escapes stays
    // linear.
    let at = body.indexOf(backslash, this.#at + 1)
    while (at < body.length) {
      const byte = body[at]
      if (byte === quote) {
        this.#at = at + 1
        return
      }
      at += byte === backslash ? 2 : 1
    }
    throw new BadJson('the JSON ends inside a string')
  }

  #scalar(): void {
    const start = this.#at
    while (this.#at < this.#body.length && isScalarByte(this.#body[this.#at] ?? 0)) this.#at += 1
    if (this.#at === start) throw new BadJson('a JSON member has no value')
  }

  #space(): void {
    const body = this.#body
    for (;;) {
      const byte = body[this.#at]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
      this.#at += 1
    }
  }
}

/** Letters, digits and `+ - .`: numbers and the words true, false, null. */
function isScalarByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  )
}
