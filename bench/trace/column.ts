/** Items from which a column lies in memory that grows in place. Below, it is copied: small columns are many. */
const inPlaceItems = 2 ** 20

/** Most items of a column. Why: node ids and offsets are 32-bit. Address space for them is reserved, memory is taken
 *  only as it is written. */
const itemsMax = 2 ** 31 - 1

type Numbers = Int32Array | Float64Array

/** Memory for `count` items that can grow to `itemsMax`, or to less where the system reserves less. */
function growable(count: number, itemBytes: number): SharedArrayBuffer {
  for (let max = itemsMax; ; max = Math.floor(max / 2)) {
    try {
      return new SharedArrayBuffer(count * itemBytes, { maxByteLength: max * itemBytes })
    } catch (error) {
      if (max / 2 < count) throw error
    }
  }
}

abstract class Column<Items extends Numbers> {
  abstract items: Items
  length = 0
  #memory: SharedArrayBuffer | null = null

  protected abstract view(buffer: ArrayBufferLike, length: number): Items

  /** Makes room for `count` items in all; new ones are 0. */
  reserve(count: number): void {
    if (count <= this.items.length) return
    const wanted = Math.min(itemsMax, Math.max(count, Math.ceil(this.items.length * 1.5)))
    const itemBytes = this.items.BYTES_PER_ELEMENT
    if (this.#memory !== null) {
      this.#memory.grow(wanted * itemBytes)
      this.items = this.view(this.#memory, wanted)
      return
    }
    const inPlace = wanted >= inPlaceItems
    if (inPlace) this.#memory = growable(wanted, itemBytes)
    const wider = this.view(this.#memory ?? new ArrayBuffer(wanted * itemBytes), wanted)
    wider.set(this.items)
    this.items = wider
  }

  push(value: number): void {
    if (this.length === this.items.length) this.reserve(this.length + 1)
    this.items[this.length] = value
    this.length += 1
  }

  /** The column in memory that workers can share. Of a large column it is the memory itself. */
  shared(): Items {
    if (this.#memory !== null) return this.view(this.#memory, this.length)
    const copy = this.view(new SharedArrayBuffer(this.length * this.items.BYTES_PER_ELEMENT), this.length)
    copy.set(this.items.subarray(0, this.length))
    return copy
  }
}

/** A growing column of 32-bit integers. */
export class IntColumn extends Column<Int32Array> {
  override items: Int32Array = new Int32Array(256)
  protected override view(buffer: ArrayBufferLike, length: number): Int32Array {
    return new Int32Array(buffer, 0, length)
  }
}

/** A growing column of doubles. */
export class FloatColumn extends Column<Float64Array> {
  override items: Float64Array = new Float64Array(256)
  protected override view(buffer: ArrayBufferLike, length: number): Float64Array {
    return new Float64Array(buffer, 0, length)
  }
}
