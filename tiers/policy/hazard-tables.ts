/** Shape of the learned tables. `bucketOf` cuts ages finely when young and coarsely when old; `midOf` is the
 *  middle of a bucket in the unit of the densities. `prior` is the weight, in events, of the curve over all
 *  classes that every class starts from. `ageWeight` damps the density of ages without events. */
export type HazardShape = {
  readonly classCount: number
  readonly bucketCount: number
  readonly midOf: (bucket: number) => number
  readonly prior: number
  readonly hitFloor: number
  readonly timeFloor: (bucket: number) => number
  readonly decay: number
}

/** Learns, per class of blocks and age since the last use, how many hits a block brings per unit of further
 *  residence. A hit at age a says that such a block paid; an eviction at age a, that it did not (so far). */
export class HazardTables {
  readonly #shape: HazardShape
  readonly #hits: Float64Array
  readonly #evictions: Float64Array
  /** Expected hits per unit of residence, by class * bucketCount + bucket. */
  readonly density: Float64Array
  readonly #mid: Float64Array

  constructor(shape: HazardShape) {
    this.#shape = shape
    const cells = shape.classCount * shape.bucketCount
    this.#hits = new Float64Array(cells)
    this.#evictions = new Float64Array(cells)
    this.density = new Float64Array(cells)
    for (let cell = 0; cell < cells; cell += 1) this.density[cell] = 1 / (1 + (cell % shape.bucketCount))
    this.#mid = Float64Array.from({ length: shape.bucketCount }, (_, bucket) => shape.midOf(bucket))
  }

  hit(cell: number): void {
    this.#hits[cell] = (this.#hits[cell] as number) + 1
  }

  evicted(cell: number): void {
    this.#evictions[cell] = (this.#evictions[cell] as number) + 1
  }

  /** Turns the counts into densities and lets the counts fade. */
  relearn(): void {
    const { classCount, bucketCount, prior, decay } = this.#shape
    const allHits = new Float64Array(bucketCount)
    const allEvictions = new Float64Array(bucketCount)
    let events = 0
    for (let cell = 0; cell < this.#hits.length; cell += 1) {
      const bucket = cell % bucketCount
      allHits[bucket] = (allHits[bucket] as number) + (this.#hits[cell] as number)
      allEvictions[bucket] = (allEvictions[bucket] as number) + (this.#evictions[cell] as number)
      events += (this.#hits[cell] as number) + (this.#evictions[cell] as number)
    }
    if (events <= 0) return
    for (let kind = 0; kind < classCount; kind += 1) {
      this.#relearnClass(kind * bucketCount, prior / events, allHits, allEvictions)
    }
    for (let cell = 0; cell < this.#hits.length; cell += 1) {
      this.#hits[cell] = (this.#hits[cell] as number) * decay
      this.#evictions[cell] = (this.#evictions[cell] as number) * decay
    }
  }

  #relearnClass(first: number, weight: number, allHits: Float64Array, allEvictions: Float64Array): void {
    const { bucketCount, hitFloor, timeFloor } = this.#shape
    let hits = 0
    let events = 0
    let residence = 0
    for (let bucket = bucketCount - 1; bucket >= 0; bucket -= 1) {
      const cell = first + bucket
      const hitsHere = (this.#hits[cell] as number) + weight * (allHits[bucket] as number)
      const goneHere = (this.#evictions[cell] as number) + weight * (allEvictions[bucket] as number)
      hits += hitsHere
      events += hitsHere + goneHere
      const mid = this.#mid[bucket] as number
      residence += events * (mid - (bucket > 0 ? (this.#mid[bucket - 1] as number) : 0))
      this.density[cell] = (hits + hitFloor) / (residence + timeFloor(bucket))
    }
  }
}
