/** Seeded chance (sfc32): the same seed gives the same numbers on every machine. */
export class Chance {
  #a = 0x9e3779b9
  #b = 0x243f6a88
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#c = seed | 0
    // The first outputs of sfc32 still show the seed.
    for (let round = 0; round < 15; round += 1) this.next()
  }

  /** Uniform in [0, 1). */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }

  /** A whole number in [low, high]. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  /** True with the given chance. */
  says(share: number): boolean {
    return this.next() < share
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  /** Log-normal with the given median and spread (sigma of the logarithm). */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
    return median * Math.exp(sigma * normal)
  }

  /** Index 0 .. count - 1 with weight 1 / (index + 1)^skew. */
  zipf(count: number, skew: number): number {
    let total = 0
    for (let index = 1; index <= count; index += 1) total += index ** -skew
    let left = this.next() * total
    for (let index = 1; index <= count; index += 1) {
      left -= index ** -skew
      if (left < 0) return index - 1
    }
    return count - 1
  }
}
