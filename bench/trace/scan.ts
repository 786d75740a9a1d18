import type { RequestDraft } from './builder.ts'

/** Field names of a native line, with the column each goes to. */
const fieldOf: Readonly<Record<string, Field>> = {
  timestamp: 'arrivalMs',
  input_length: 'inputTokens',
  output_length: 'outputTokens',
  hash_ids: 'blocks',
  session_id: 'session',
  delay: 'delayMs',
  delay_ms: 'delayMs',
  tenant: 'tenant',
}
/** `other` is any name that is not ours: its value is stepped over. */
type Field =
  | 'other'
  | 'arrivalMs'
  | 'inputTokens'
  | 'outputTokens'
  | 'blocks'
  | 'session'
  | 'delayMs'
  | 'tenant'

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openList = 0x5b
const closeList = 0x5d
const openObject = 0x7b
const closeObject = 0x7d
const backslash = 0x5c

/** Digits of an integer that a double holds exactly, whatever they are. */
const digitsMax = 15

/** Reads native trace lines straight from bytes. It knows only the plain form of such a line and gives up
 *  on anything else; the caller then judges the line with a full JSON parser. So it is quick, never
 *  wrong, and needs no error messages of its own. */
export class LineScanner {
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #end = 0
  #number = 0
  /** Names seen so far by their bytes' cheap hash: lines repeat the same few names. */
  readonly #names = new Map<number, { readonly text: string; readonly field: Field | null }>()
  /** Bit per required field. */
  #seen = 0

  /** True when the line was understood and the draft is filled. */
  scan(bytes: Uint8Array, start: number, end: number, draft: RequestDraft): boolean {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#seen = 0
    if (!this.#take(openObject)) return false
    for (;;) {
      const field = this.#name()
      if (field === null || !this.#take(colon) || !this.#value(field, draft)) return false
      this.#blank()
      const next = this.#bytes[this.#at]
      this.#at += 1
      if (next === comma) continue
      if (next !== closeObject) return false
      this.#blank()
      return this.#at === this.#end && this.#seen === 15
    }
  }

  #blank(): void {
    while (this.#at < this.#end && (this.#bytes[this.#at] ?? 0) <= 0x20) this.#at += 1
  }

  #take(byte: number): boolean {
    this.#blank()
    if (this.#at >= this.#end || this.#bytes[this.#at] !== byte) return false
    this.#at += 1
    return true
  }

  /** The next name's field, or null for a name that is not plain. */
  #name(): Field | null {
    if (!this.#take(quote)) return null
    const start = this.#at
    let hash = 0
    while (this.#at < this.#end && this.#bytes[this.#at] !== quote) {
      hash = (Math.imul(hash, 31) + (this.#bytes[this.#at] ?? 0)) | 0
      this.#at += 1
    }
    const end = this.#at
    this.#at += 1
    const known = this.#names.get(hash)
    if (known !== undefined && this.#isName(known.text, start, end)) return known.field
    const text = textOf(this.#bytes, start, end)
    if (!/^\w+$/.test(text)) return null
    const field = Object.hasOwn(fieldOf, text) ? (fieldOf[text] ?? null) : 'other'
    if (known === undefined && field !== null) this.#names.set(hash, { text, field })
    return field
  }

  #isName(text: string, start: number, end: number): boolean {
    if (text.length !== end - start) return false
    for (let at = 0; at < text.length; at += 1) {
      if (this.#bytes[start + at] !== text.charCodeAt(at)) return false
    }
    return true
  }

  #value(field: Field, draft: RequestDraft): boolean {
    this.#blank()
    if (field === 'blocks') {
      this.#seen |= 1
      return draft.blockCount === 0 && this.#blocks(draft)
    }
    if (field === 'other')
      return this.#bytes[this.#at] === quote ? this.#string() !== null : this.#plainNumber()
    if (field === 'tenant' || (field === 'session' && this.#bytes[this.#at] === quote)) {
      const text = this.#string()
      if (text === null) return false
      draft[field] = text
      return true
    }
    if (!this.#plainNumber()) return false
    if (field !== 'arrivalMs' && this.#number >= 2 ** 31) return false
    if (field === 'arrivalMs') this.#seen |= 2
    if (field === 'inputTokens') this.#seen |= 4
    if (field === 'outputTokens') this.#seen |= 8
    draft[field] = this.#number
    return true
  }

  #string(): string | null {
    if (!this.#take(quote)) return null
    const start = this.#at
    for (; this.#at < this.#end; this.#at += 1) {
      const byte = this.#bytes[this.#at] ?? 0
      if (byte === quote) break
      if (byte === backslash || byte < 0x20 || byte > 0x7e) return null
    }
    this.#at += 1
    return textOf(this.#bytes, start, this.#at - 1)
  }

  /** A number of digits only, few enough to be exact: the rest is left to the full parser. */
  #plainNumber(): boolean {
    const start = this.#at
    let value = 0
    for (; this.#at < this.#end; this.#at += 1) {
      const digit = (this.#bytes[this.#at] ?? 0) - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    const length = this.#at - start
    const next = this.#bytes[this.#at]
    const leadingZero = length > 1 && this.#bytes[start] === 0x30
    this.#number = value
    return (
      length > 0 && length <= digitsMax && !leadingZero && next !== 0x2e && next !== 0x65 && next !== 0x45
    )
  }

  #blocks(draft: RequestDraft): boolean {
    const bytes = this.#bytes
    const end = this.#end
    if (!this.#take(openList)) return false
    let at = this.#at
    while (at < end && (bytes[at] ?? 0) <= 0x20) at += 1
    if (bytes[at] === closeList) {
      this.#at = at + 1
      return true
    }
    for (;;) {
      while (at < end && (bytes[at] ?? 0) <= 0x20) at += 1
      const start = at
      let value = 0
      let byte = 0
      for (; at < end; at += 1) {
        byte = bytes[at] ?? 0
        if (byte < 0x30 || byte > 0x39) break
        value = value * 10 + byte - 0x30
      }
      if (at === start || at - start > digitsMax || (at - start > 1 && bytes[start] === 0x30)) return false
      if (value < 2 ** 31) draft.pushBlock(value, 0)
      else draft.pushBlock(value | 0, Math.floor(value / 2 ** 32))
      while (at < end && (bytes[at] ?? 0) <= 0x20) at += 1
      byte = bytes[at] ?? 0
      at += 1
      if (byte === comma) continue
      this.#at = at
      return byte === closeList && at <= end
    }
  }
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
