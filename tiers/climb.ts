import { assert, unreachable } from './block/assert.ts'
import type { BlockKey, Slot, TierName } from './block/id.ts'
import type { LoadStop } from './block/wire.ts'
import type { OpenNamespace } from './namespaces.ts'
import { dropDamaged, type Parts } from './parts.ts'
import { noRow, type Row } from './policy/eviction.ts'
import type { Identity } from './table.ts'
import type { ColdTier, ReadResult, ReadWanted } from './tier.ts'

/** How one block fared on its way to host memory. */
export type Climbed =
  /** Sealed in host memory now; the tier is where it came from. */
  { readonly as: 'ready'; readonly from: TierName } | { readonly as: 'stopped'; readonly stop: LoadStop }

type Ticket = {
  readonly identity: Identity
  readonly row: Row
  readonly slot: Slot
  readonly settle: (climbed: Climbed) => void
  /** What the load is told when no tier gives the block. */
  readonly stop: LoadStop
}

/** Brings blocks from cold tiers into host slots. Whoever wants a block that is already on its way waits for the
 *  same climb. */
export class Climber {
  readonly #parts: Parts
  readonly #climbs = new Map<BlockKey, Promise<Climbed>>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get inFlight(): number {
    return this.#climbs.size
  }

  /** One promise per block, in their order. They may end after the deadline: the caller stops waiting, the climb
   *  goes on and leaves
   *  the block in host memory. */
  climb(
    opened: OpenNamespace,
    identities: readonly Identity[],
    deadlineMs: number,
  ): readonly Promise<Climbed>[] {
    const { table } = this.#parts.host
    const answers: Promise<Climbed>[] = []
    const fresh: Identity[] = []
    const settles = new Map<BlockKey, (climbed: Climbed) => void>()
    for (const identity of identities) {
      const { key } = identity
      const running = this.#climbs.get(key)
      if (running !== undefined) answers.push(running)
      else if (table.sealedRowOf(key) !== noRow) answers.push(Promise.resolve({ as: 'ready', from: 'host' }))
      else {
        const climb = new Promise<Climbed>((settle) => settles.set(key, settle))
        this.#climbs.set(key, climb)
        answers.push(climb)
        fresh.push(identity)
      }
    }
    const settle = (key: BlockKey, climbed: Climbed): void => {
      this.#climbs.delete(key)
      settles.get(key)?.(climbed)
    }
    if (fresh.length > 0) void this.#start(opened, fresh, deadlineMs, settle)
    return answers
  }

  async #start(
    opened: OpenNamespace,
    fresh: readonly Identity[],
    deadlineMs: number,
    settle: (key: BlockKey, climbed: Climbed) => void,
  ): Promise<void> {
    const { host, world } = this.#parts
    for (let first = 0; first < fresh.length; ) {
      const claims = await host.claimAll(fresh.slice(first))
      const tickets: Ticket[] = []
      for (const [i, claimed] of claims.entries()) {
        const identity = fresh[first + i]
        assert(identity !== undefined, 'every claim is of a block')
        const done = (climbed: Climbed): void => settle(identity.key, climbed)
        if (claimed.as === 'claimed')
          tickets.push({ identity, row: claimed.row, slot: claimed.slot, settle: done, stop: 'absent' })
        else if (claimed.as === 'known') done(this.#asFound(identity.key))
        else done({ as: 'stopped', stop: 'no_room' })
      }
      first += claims.length
      await this.#fromTiers(opened, tickets, 0, deadlineMs)
      host.table.admit(
        tickets.map(({ identity }) => identity),
        world.nowMs(),
      )
    }
  }

  /** The block came to host memory another way meanwhile, or an engine is storing it: then its bytes are not there yet. */
  #asFound(key: BlockKey): Climbed {
    const isSealed = this.#parts.host.table.sealedRowOf(key) !== noRow
    return isSealed ? { as: 'ready', from: 'host' } : { as: 'stopped', stop: 'absent' }
  }

  /** Reads each block from the nearest tier at or below `level` that has it; what that tier cannot give is tried below. */
  async #fromTiers(
    opened: OpenNamespace,
    tickets: readonly Ticket[],
    level: number,
    deadlineMs: number,
  ): Promise<void> {
    const tier = this.#parts.cold[level]
    if (tier === undefined) {
      for (const ticket of tickets) this.#refuse(ticket)
      return
    }
    const here = tickets.filter(({ identity }) => tier.bytesOf(identity.key) !== null)
    const below = tickets.filter(({ identity }) => tier.bytesOf(identity.key) === null)
    const waits: Promise<void>[] = []
    if (below.length > 0) waits.push(this.#fromTiers(opened, below, level + 1, deadlineMs))
    if (here.length > 0) waits.push(this.#read(opened, tier, level, here, deadlineMs))
    await Promise.all(waits)
  }

  async #read(
    opened: OpenNamespace,
    tier: ColdTier,
    level: number,
    tickets: readonly Ticket[],
    deadlineMs: number,
  ): Promise<void> {
    const wanted: ReadWanted[] = []
    for (const { identity, slot } of tickets) {
      wanted.push({
        wanted: {
          key: identity.key,
          namespace: opened.fingerprint,
          layout: opened.layout,
          payloadBytes: identity.payloadBytes,
          generation: null,
          checksum: null,
        },
        namespace: opened.id,
        into: this.#parts.host.spanOf(slot, identity.payloadBytes),
      })
    }
    const results = await tier.read(wanted, deadlineMs)
    const again: Ticket[] = []
    for (const [i, ticket] of tickets.entries()) {
      const result = results[i] ?? { as: 'missing' }
      if (this.#take(tier, ticket, result) === 'try_below') again.push({ ...ticket, stop: stopOf(result) })
    }
    if (again.length > 0) await this.#fromTiers(opened, again, level + 1, deadlineMs)
  }

  #take(tier: ColdTier, ticket: Ticket, result: ReadResult): 'done' | 'try_below' {
    const { table } = this.#parts.host
    const { identity, row, slot } = ticket
    switch (result.as) {
      case 'found': {
        const done = { slot, ok: true, checksum: result.seal.checksum }
        const outcome = table.finishFill(row, done)
        assert(outcome === 'sealed', 'a climb fills its own slot')
        this.#parts.meter.add('terrace_tier_climbed_blocks_total', { tier: tier.name })
        this.#parts.announcer.stored('host', identity.namespace, identity.route)
        ticket.settle({ as: 'ready', from: tier.name })
        return 'done'
      }
      case 'damaged':
        dropDamaged(this.#parts, tier, identity, result.why)
        return 'try_below'
      case 'busy': {
        if (result.quiet === undefined) return 'try_below'
        const { release } = table.abandonFill(row, slot)
        void result.quiet.then(release)
        ticket.settle({ as: 'stopped', stop: 'deadline' })
        return 'done'
      }
      case 'missing':
      case 'failed':
        return 'try_below'
      default:
        return unreachable(result)
    }
  }

  #refuse(ticket: Ticket): void {
    const { table } = this.#parts.host
    table.finishFill(ticket.row, { slot: ticket.slot, ok: false, checksum: 0 })
    ticket.settle({ as: 'stopped', stop: ticket.stop })
  }
}

/** What a load says when the last tier tried answered so. */
function stopOf(result: ReadResult): LoadStop {
  if (result.as === 'damaged') return 'damaged'
  return result.as === 'missing' ? 'absent' : 'tier_failed'
}
