import { BadRecord } from './reader.ts'

/** Deepest nesting accepted. Why: events have four levels; a bound keeps hostile input from the stack. */
const depthMax = 16

/** Reads MessagePack values one after another. Integers beyond 2^53 are BigInt, binary is a hex text, maps are
 *  objects without prototype, extensions are null. */
export class MsgpackReader {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get done(): boolean {
    return this.at >= this.#bytes.length
  }

  value(depth = 0): unknown {
    if (depth > depthMax) throw new BadRecord(`byte ${this.at}: nested deeper than ${depthMax}`)
    const tag = this.#take(1).readUInt8(0)
    if (tag < 0x80) return tag
    if (tag < 0x90) return this.#map(tag & 15, depth)
    if (tag < 0xa0) return this.#list(tag & 15, depth)
    if (tag < 0xc0) return this.#text(tag & 31)
    if (tag >= 0xe0) return tag - 256
    return this.#tagged(tag, depth)
  }

  #tagged(tag: number, depth: number): unknown {
    switch (tag) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#take(this.#length(2 ** (tag - 0xc4))).toString('hex')
      case 0xca:
        return this.#take(4).readFloatBE(0)
      case 0xcb:
        return this.#take(8).readDoubleBE(0)
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#length(2 ** (tag - 0xcc))
      case 0xcf:
        return narrow(this.#take(8).readBigUInt64BE(0))
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const width = 2 ** (tag - 0xd0)
        return this.#take(width).readIntBE(0, width)
      }
      case 0xd3:
        return narrow(this.#take(8).readBigInt64BE(0))
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.#take(1 + 2 ** (tag - 0xd4))
        return null
      case 0xc7:
      case 0xc8:
      case 0xc9:
        this.#take(this.#length(2 ** (tag - 0xc7)) + 1)
        return null
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#length(2 ** (tag - 0xd9)))
      case 0xdc:
      case 0xdd:
        return this.#list(this.#length(2 ** (tag - 0xdb)), depth)
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(2 ** (tag - 0xdd)), depth)
      default:
        throw new BadRecord(`byte ${this.at - 1}: 0x${tag.toString(16)} starts no MessagePack value`)
    }
  }

  #take(count: number): Buffer {
    if (this.at + count > this.#bytes.length)
      throw new BadRecord(`byte ${this.at}: cut off in a MessagePack value`)
    const part = this.#bytes.subarray(this.at, this.at + count)
    this.at += count
    return part
  }

  #length(width: number): number {
    return this.#take(width).readUIntBE(0, width)
  }

  #text(length: number): string {
    return this.#take(length).toString('utf8')
  }

  #list(count: number, depth: number): unknown[] {
    this.#mustFit(count)
    const list: unknown[] = []
    for (let index = 0; index < count; index += 1) list.push(this.value(depth + 1))
    return list
  }

  #map(count: number, depth: number): Record<string, unknown> {
    this.#mustFit(count * 2)
    const map: Record<string, unknown> = Object.create(null)
    for (let index = 0; index < count; index += 1) {
      const key = this.value(depth + 1)
      if (typeof key !== 'string') throw new BadRecord(`byte ${this.at}: the name of a map entry is no text`)
      map[key] = this.value(depth + 1)
    }
    return map
  }

  /** Every value takes at least a byte: a count beyond the rest is refused before anything is made. */
  #mustFit(count: number): void {
    if (count > this.#bytes.length - this.at)
      throw new BadRecord(`byte ${this.at}: cut off, ${count} values announced`)
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
