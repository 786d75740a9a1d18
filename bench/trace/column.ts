import { sharedFloats, sharedInts } from './trace.ts'

/** A column of 32-bit integers that grows by half when it is full. */
export class IntColumn {
  items = new Int32Array(1_024)
  length = 0

  push(value: number): void {
    if (this.length === this.items.length) this.reserve(this.length + 1)
    this.items[this.length] = value
    this.length += 1
  }

  /** Makes room for `count` items in all. */
  reserve(count: number): void {
    if (count <= this.items.length) return
    const wider = new Int32Array(Math.max(count, Math.ceil(this.items.length * 1.5)))
    wider.set(this.items.subarray(0, this.length))
    this.items = wider
  }

  shared(): Int32Array {
    const copy = sharedInts(this.length)
    copy.set(this.items.subarray(0, this.length))
    return copy
  }
}

/** A column of doubles that grows by half when it is full. */
export class FloatColumn {
  items = new Float64Array(1_024)
  length = 0

  push(value: number): void {
    if (this.length === this.items.length) {
      const wider = new Float64Array(Math.ceil(this.items.length * 1.5))
      wider.set(this.items)
      this.items = wider
    }
    this.items[this.length] = value
    this.length += 1
  }

  shared(): Float64Array {
    const copy = sharedFloats(this.length)
    copy.set(this.items.subarray(0, this.length))
    return copy
  }
}
