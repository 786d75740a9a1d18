import { type EvictionPolicy, noNotes, noRow, type Row, type VisitNotes } from './eviction.ts'
import { RowLists } from './row-lists.ts'

/** How tenants share a tier.
 *  `quota`: fixed parts that nobody else may use. `shares`: parts that bind only while the tier is full and that
 *  follow what another block would bring each tenant. */
export type TenantSharing = 'quota' | 'shares'

export type TenantSizes = {
  readonly rowMax: number
  readonly capacityBlocks: number
  readonly tenantCount: number
  readonly sharing: TenantSharing
  /** Part of the capacity that each tenant keeps whatever the others bring; at most 1 / tenantCount. */
  readonly floorShare: number
  readonly rowsAreNames?: boolean
}

/** Ghosts per tenant, as a part of the capacity: hits among them tell what that much more space would bring. */
const ghostPart = 0.1
/** References after which shares are worked out anew, in capacities. */
const reviewEvery = 0.5
/** How far a share moves at a review, as a part of the capacity. Why slow: a share that jumps throws blocks away that
 *  the next review wants back. */
const shareStep = 0.02
const ghostsKept = 0.5

/** One policy per tenant inside one tier. The victim comes from the tenant that is furthest above its share; with `quota` from
 *  the tenant that wants room. A tenant at or below its floor gives nothing to the others. Blocks belong to one tenant,
 *  because the key contains it, so nothing is counted twice. */
export class TenantEviction implements EvictionPolicy {
  readonly name: string
  readonly #sizes: TenantSizes
  readonly #policies: readonly EvictionPolicy[]
  readonly #tenantOf: Int16Array
  readonly #held: Int32Array
  readonly #shares: Float64Array
  readonly #ghosts: readonly RowLists[]
  readonly #ghostHits: Float64Array
  readonly #floorBlocks: number
  #tenant = 0
  #references = 0

  constructor(sizes: TenantSizes, make: (tenant: number) => EvictionPolicy) {
    const { rowMax, tenantCount, capacityBlocks, floorShare } = sizes
    this.#sizes = sizes
    this.#policies = Array.from({ length: tenantCount }, (_, tenant) => make(tenant))
    this.name = `${this.#policies[0]?.name ?? 'none'} by tenant`
    this.#tenantOf = new Int16Array(rowMax).fill(-1)
    this.#held = new Int32Array(tenantCount)
    this.#shares = new Float64Array(tenantCount).fill(capacityBlocks / tenantCount)
    this.#ghosts = Array.from({ length: tenantCount }, () => new RowLists(rowMax, 1))
    this.#ghostHits = new Float64Array(tenantCount)
    this.#floorBlocks = Math.min(floorShare, 1 / tenantCount) * capacityBlocks
  }

  /** Blocks that each tenant holds now. */
  heldBlocks(): readonly number[] {
    return [...this.#held]
  }

  onVisit(
    rows: Int32Array,
    count: number,
    readyCount: number,
    nowMs: number,
    notes: VisitNotes = noNotes,
  ): void {
    this.#tenant = Math.min(notes.tenant, this.#policies.length - 1)
    this.#policyOf(this.#tenant).onVisit(rows, count, readyCount, nowMs, notes)
    this.#references += count
    if (this.#references >= reviewEvery * this.#sizes.capacityBlocks) this.#review()
  }

  onAdd(row: Row, parent: Row, position: number, chainLength: number, nowMs: number, name?: number): void {
    const tenant = this.#tenant
    const ghosts = this.#ghosts[tenant] as RowLists
    if (ghosts.listOf(row) !== 0) {
      ghosts.remove(row)
      this.#ghostHits[tenant] = (this.#ghostHits[tenant] as number) + 1
    }
    this.#tenantOf[row] = tenant
    this.#held[tenant] = (this.#held[tenant] as number) + 1
    this.#policyOf(tenant).onAdd(row, parent, position, chainLength, nowMs, name)
  }

  onAnswer(rows: Int32Array, count: number, answerTokens: number, names?: VisitNotes['names']): void {
    this.#policyOf(this.#tenant).onAnswer?.(rows, count, answerTokens, names)
  }

  onVisitEnd(): void {
    this.#policyOf(this.#tenant).onVisitEnd()
  }

  onDrop(row: Row, evicted: boolean, nowMs: number): void {
    const tenant = this.#tenantOf[row] as number
    if (tenant < 0) return
    this.#tenantOf[row] = -1
    this.#held[tenant] = (this.#held[tenant] as number) - 1
    this.#policyOf(tenant).onDrop(row, evicted, nowMs)
    if (!evicted || this.#sizes.rowsAreNames !== true) return
    const ghosts = this.#ghosts[tenant] as RowLists
    ghosts.pushHead(1, row)
    if (ghosts.lengthOf(1) > ghostPart * this.#sizes.capacityBlocks) ghosts.remove(ghosts.tail(1))
  }

  victim(held: (row: Row) => boolean, nowMs: number): Row {
    for (const tenant of this.#byExcess()) {
      const row = this.#policyOf(tenant).victim(held, nowMs)
      if (row !== noRow) return row
    }
    return noRow
  }

  /** Whether the tenant may bring in one more block without another one's leaving: always, unless quotas are fixed. */
  mayGrow(tenant: number): boolean {
    return (
      this.#sizes.sharing === 'shares' || (this.#held[tenant] as number) < (this.#shares[tenant] as number)
    )
  }

  /** Tenants to take from, the one furthest above its share first. */
  #byExcess(): readonly number[] {
    if (this.#sizes.sharing === 'quota') return [this.#tenant]
    const excess = (tenant: number): number =>
      (this.#held[tenant] as number) - (this.#shares[tenant] as number)
    return [...this.#policies.keys()]
      .filter((tenant) => tenant === this.#tenant || (this.#held[tenant] as number) > this.#floorBlocks)
      .sort((a, b) => excess(b) - excess(a) || a - b)
  }

  /** Moves a little share from the tenant whose ghosts were wished for least to the one whose were wished for most.
   *  A ghost hit is a hit that a tenth more of the tier would have been. */
  #review(): void {
    this.#references = 0
    const { capacityBlocks, sharing } = this.#sizes
    if (sharing === 'shares') {
      const order = [...this.#policies.keys()].sort(
        (a, b) => (this.#ghostHits[b] as number) - (this.#ghostHits[a] as number) || a - b,
      )
      const winner = order[0] as number
      const loser = order.findLast((tenant) => (this.#shares[tenant] as number) > this.#floorBlocks)
      if (loser !== undefined && (this.#ghostHits[winner] as number) > (this.#ghostHits[loser] as number)) {
        const room = (this.#shares[loser] as number) - this.#floorBlocks
        const moved = Math.min(shareStep * capacityBlocks, room)
        this.#shares[winner] = (this.#shares[winner] as number) + moved
        this.#shares[loser] = (this.#shares[loser] as number) - moved
      }
    }
    for (let tenant = 0; tenant < this.#ghostHits.length; tenant += 1) {
      this.#ghostHits[tenant] = (this.#ghostHits[tenant] as number) * ghostsKept
    }
  }

  #policyOf(tenant: number): EvictionPolicy {
    return this.#policies[tenant] as EvictionPolicy
  }
}
