import { noRow, type Row } from './eviction.ts'

/** Gives blocks numbers that outlive their rows: a resident block is found by its row, an absent one by its name.
 *  A number is free again when the policy forgets it and no row uses it. All storage is bounded by `numberMax`. */
export class NameBook {
  readonly #numberOfRow: Int32Array
  readonly #rowOf: Int32Array
  readonly #nameOf: Float64Array
  readonly #numbers = new Map<number, number>()
  readonly #free: Int32Array
  #freeCount: number

  constructor(rowMax: number, numberMax: number) {
    this.#numberOfRow = new Int32Array(rowMax).fill(noRow)
    this.#rowOf = new Int32Array(numberMax).fill(noRow)
    this.#nameOf = new Float64Array(numberMax).fill(nameless)
    this.#free = Int32Array.from({ length: numberMax }, (_, at) => numberMax - 1 - at)
    this.#freeCount = numberMax
  }

  /** The number of a resident row, `noRow` for any other. */
  numberOfRow(row: Row): Row {
    return row === noRow ? noRow : (this.#numberOfRow[row] as number)
  }

  rowOf(number: Row): Row {
    return this.#rowOf[number] as number
  }

  /** The number of a name, a new one when it has none; `noRow` when all numbers are taken. */
  numberOfName(name: number): Row {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const number = this.#take()
    if (number === noRow) return noRow
    this.#nameOf[number] = name
    this.#numbers.set(name, number)
    return number
  }

  /** The number of a name, or `noRow` when it has none. */
  knownNumber(name: number): Row {
    return this.#numbers.get(name) ?? noRow
  }

  /** Binds a row that became resident, by its name if it has one. */
  bind(row: Row, name: number | undefined): Row {
    const named = name === undefined ? noRow : this.numberOfName(name)
    // Two rows with one name: the second stays nameless.
    const number = named !== noRow && this.#rowOf[named] === noRow ? named : this.#take()
    if (number === noRow) return noRow
    this.#rowOf[number] = row
    this.#numberOfRow[row] = number
    return number
  }

  /** The row of a number left. Answers whether the number still has a name to be known by. */
  unbind(row: Row): boolean {
    const number = this.#numberOfRow[row] as number
    this.#numberOfRow[row] = noRow
    this.#rowOf[number] = noRow
    return this.#nameOf[number] !== nameless
  }

  /** The policy forgot a number that no row uses. */
  release(number: Row): void {
    const name = this.#nameOf[number] as number
    if (name !== nameless) this.#numbers.delete(name)
    this.#nameOf[number] = nameless
    this.#free[this.#freeCount] = number
    this.#freeCount += 1
  }

  #take(): Row {
    if (this.#freeCount === 0) return noRow
    this.#freeCount -= 1
    return this.#free[this.#freeCount] as number
  }
}

/** Marks a number without a name; names are not negative. */
const nameless = -1
