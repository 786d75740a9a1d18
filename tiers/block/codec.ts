import { assert } from './assert.ts'

/** Bounded reading and writing of binary messages: known types only, every length checked against what is left and against
 *  its limit before a byte is allocated. No reflection, no keys from input. Little endian. */

/** Why bytes from outside were refused. Never leaves this folder as an exception: `decode` turns it into a value. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    // A Buffer's slice() is a view, a Uint8Array's a copy: what is read must never share memory with what comes next.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** The next `byteCount` bytes, as a view of the input. */
  take(byteCount: number, what: string): Uint8Array {
    if (byteCount > this.#bytes.length - this.#offset) throw new Malformed(`${what}: the frame ends early`)
    const start = this.#offset
    this.#offset += byteCount
    return this.#bytes.subarray(start, this.#offset)
  }

  /** An unsigned number of 1, 2, 4 or 8 bytes. Eight-byte numbers must be safe integers. */
  number(byteCount: 1 | 2 | 4 | 8, what: string): number {
    const start = this.#offset
    this.take(byteCount, what)
    if (byteCount === 1) return this.#view.getUint8(start)
    if (byteCount === 2) return this.#view.getUint16(start, true)
    if (byteCount === 4) return this.#view.getUint32(start, true)
    const high = this.#view.getUint32(start + 4, true)
    if (high >= 2 ** 21) throw new Malformed(`${what}: the number is too large`)
    return high * 2 ** 32 + this.#view.getUint32(start, true)
  }

  float(what: string): number {
    const start = this.#offset
    this.take(8, what)
    const value = this.#view.getFloat64(start, true)
    if (!Number.isFinite(value)) throw new Malformed(`${what}: not a finite number`)
    return value
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw new Malformed('bytes left over after the last field')
  }
}

export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(byteCount = 256) {
    this.#bytes = new Uint8Array(byteCount)
    this.#view = new DataView(this.#bytes.buffer)
  }

  #room(byteCount: number): number {
    const start = this.#length
    const wanted = start + byteCount
    if (wanted > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, start))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#length = wanted
    return start
  }

  put(bytes: Uint8Array): void {
    // First the room: it may move the bytes.
    const start = this.#room(bytes.length)
    this.#bytes.set(bytes, start)
  }

  number(byteCount: 1 | 2 | 4 | 8, value: number, what: string): void {
    assert(
      Number.isSafeInteger(value) && value >= 0 && value < 2 ** (8 * byteCount),
      `${what} fits its width`,
    )
    const start = this.#room(byteCount)
    if (byteCount === 1) this.#view.setUint8(start, value)
    else if (byteCount === 2) this.#view.setUint16(start, value, true)
    else if (byteCount === 4) this.#view.setUint32(start, value, true)
    else {
      this.#view.setUint32(start, value % 2 ** 32, true)
      this.#view.setUint32(start + 4, Math.floor(value / 2 ** 32), true)
    }
  }

  float(value: number, what: string): void {
    assert(Number.isFinite(value), `${what} is finite`)
    const start = this.#room(8)
    this.#view.setFloat64(start, value, true)
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}

/** How one field crosses the wire. */
export type Field<Value> = {
  /** Its form in the generated tables. */
  readonly form: string
  readonly read: (reader: Reader, what: string) => Value
  readonly write: (writer: Writer, value: Value, what: string) => void
}
// biome-ignore lint/suspicious/noExplicitAny: a record of fields of any value; the value types are inferred per field
type AnyField = Field<any>
export type FieldValue<F> = F extends Field<infer Value> ? Value : never
export type RecordOf<Fields extends Readonly<Record<string, AnyField>>> = {
  readonly [Name in keyof Fields]: FieldValue<Fields[Name]>
}

function unsigned(byteCount: 1 | 2 | 4 | 8): Field<number> {
  return {
    form: `u${byteCount * 8}`,
    read: (reader, what) => reader.number(byteCount, what),
    write: (writer, value, what) => writer.number(byteCount, value, what),
  }
}

export const u8 = unsigned(1)
export const u16 = unsigned(2)
export const u32 = unsigned(4)
export const u64 = unsigned(8)

export const f64: Field<number> = {
  form: 'f64',
  read: (reader, what) => reader.float(what),
  write: (writer, value, what) => writer.float(value, what),
}

/** UTF-8 text of at most `bytesMax` bytes. */
export function text(bytesMax: number): Field<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const encoder = new TextEncoder()
  return {
    form: `text(${bytesMax})`,
    read: (reader, what) => {
      const length = reader.number(2, what)
      if (length > bytesMax) throw new Malformed(`${what}: longer than ${bytesMax} bytes`)
      try {
        return decoder.decode(reader.take(length, what))
      } catch (error) {
        if (error instanceof Malformed) throw error
        throw new Malformed(`${what}: not UTF-8`)
      }
    },
    write: (writer, value, what) => {
      const bytes = encoder.encode(value)
      assert(bytes.length <= bytesMax, `${what} is at most ${bytesMax} bytes long`)
      writer.number(2, bytes.length, what)
      writer.put(bytes)
    },
  }
}

/** Exactly `byteCount` bytes. */
export function fixed(byteCount: number): Field<Uint8Array> {
  return {
    form: `bytes(${byteCount})`,
    read: (reader, what) => reader.take(byteCount, what).slice(),
    write: (writer, value, what) => {
      assert(value.length === byteCount, `${what} has ${byteCount} bytes`)
      writer.put(value)
    },
  }
}

/** At most `countMax` numbers of 4 bytes. */
export function u32List(countMax: number): Field<Uint32Array> {
  return {
    form: `u32[${countMax}]`,
    read: (reader, what) => {
      const count = reader.number(4, what)
      if (count > countMax) throw new Malformed(`${what}: more than ${countMax} entries`)
      return new Uint32Array(reader.take(count * 4, what).slice().buffer)
    },
    write: (writer, value, what) => {
      assert(value.length <= countMax, `${what} has at most ${countMax} entries`)
      writer.number(4, value.length, what)
      writer.put(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    },
  }
}

/** One of a fixed list of words, as its index. */
export function oneOf<const Words extends readonly string[]>(words: Words): Field<Words[number]> {
  return {
    form: words.join(' | '),
    read: (reader, what) => {
      const word = words[reader.number(1, what)]
      if (word === undefined) throw new Malformed(`${what}: unknown value`)
      return word
    },
    write: (writer, value, what) => writer.number(1, words.indexOf(value), what),
  }
}

/** At most `countMax` entries of one field. */
export function list<Value>(entry: Field<Value>, countMax: number): Field<readonly Value[]> {
  return {
    form: `list(${countMax}) of ${entry.form}`,
    read: (reader, what) => {
      const count = reader.number(4, what)
      if (count > countMax) throw new Malformed(`${what}: more than ${countMax} entries`)
      const values: Value[] = []
      for (let i = 0; i < count; i++) values.push(entry.read(reader, `${what}[${i}]`))
      return values
    },
    write: (writer, value, what) => {
      assert(value.length <= countMax, `${what} has at most ${countMax} entries`)
      writer.number(4, value.length, what)
      for (const [i, one] of value.entries()) entry.write(writer, one, `${what}[${i}]`)
    },
  }
}

/** Fields one after the other, in the order of the table. */
export function record<const Fields extends Readonly<Record<string, AnyField>>>(
  fields: Fields,
): Field<RecordOf<Fields>> {
  const entries = Object.entries(fields)
  return {
    form: `{ ${entries.map(([name, field]) => `${name}: ${field.form}`).join(', ')} }`,
    read: (reader, what) => {
      const value: Record<string, unknown> = {}
      for (const [name, field] of entries)
        value[name] = field.read(reader, what === '' ? name : `${what}.${name}`)
      return value as RecordOf<Fields>
    },
    write: (writer, value, what) => {
      for (const [name, field] of entries) {
        field.write(writer, (value as Record<string, unknown>)[name], what === '' ? name : `${what}.${name}`)
      }
    },
  }
}
