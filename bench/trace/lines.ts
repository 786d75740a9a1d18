import { InputError } from '../failure.ts'

/** Longest line, in bytes. Why: a line of a million block ids has about 8 MB; what is longer is not a trace,
 *  and must not fill the memory. */
const lineBytesMax = 2 ** 26

/** Cuts pieces into lines. `onLine` sees each line in place (no copy unless a line spans pieces), without
 *  its end; empty lines are counted but not shown. */
export class LineCutter {
  /** Number of the line shown last, from 1. */
  lineNumber = 0
  #rest: Buffer = Buffer.alloc(0)
  readonly #label: string
  readonly #onLine: (bytes: Uint8Array, start: number, end: number, complete: boolean) => void

  constructor(
    label: string,
    onLine: (bytes: Uint8Array, start: number, end: number, complete: boolean) => void,
  ) {
    this.#label = label
    this.#onLine = onLine
  }

  push(piece: Buffer): void {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    let start = 0
    for (;;) {
      const end = bytes.indexOf(0x0a, start)
      if (end < 0) break
      this.#show(bytes, start, end, true)
      start = end + 1
    }
    this.#rest = bytes.subarray(start)
    if (this.#rest.length > lineBytesMax) {
      const line = this.lineNumber + 1
      throw new InputError(
        `${this.#label}:${line}: the line is longer than ${lineBytesMax} bytes, not a trace`,
      )
    }
  }

  /** Shows the last line when the input does not end with a line end. */
  finish(): void {
    if (this.#rest.length > 0) this.#show(this.#rest, 0, this.#rest.length, false)
    this.#rest = Buffer.alloc(0)
  }

  #show(bytes: Buffer, start: number, end: number, complete: boolean): void {
    this.lineNumber += 1
    const last = end > start && bytes[end - 1] === 0x0d ? end - 1 : end
    if (last > start) this.#onLine(bytes, start, last, complete)
  }
}
